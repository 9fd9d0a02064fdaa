#include "nspawn/checkpoint.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <optional>

#include "base/fd.h"
#include "base/files.h"
#include "base/text.h"
#include "nspawn/process/bundle.h"

namespace nspawn {
namespace {

using base::Code;
using base::Error;
using base::Result;
using base::Status;

constexpr const char* kCriuPrograms[] = {"/usr/local/sbin/criu", "/usr/sbin/criu", "/usr/local/bin/criu",
                                         "/usr/bin/criu"};
constexpr const char* kStreams[] = {"/stdin", "/stdout", "/stderr"};
constexpr size_t kMostMountTable = 16 << 20;
constexpr size_t kMostProcFile = 1 << 20;
// criu's own limit for the time until all processes have stopped.
constexpr char kFreezeSeconds[] = "10";

std::string ProcFile(pid_t pid, const std::string& file) {
  return "/proc/" + std::to_string(pid) + "/" + file;
}

std::string Hexadecimal(uint64_t number) {
  char text[17];
  std::snprintf(text, sizeof text, "%llx", static_cast<unsigned long long>(number));
  return text;
}

// The mount through which descriptor `fd` of process `pid` was opened.
std::optional<uint64_t> MountOf(pid_t pid, const std::string& fd) {
  const auto info = base::ReadFile(ProcFile(pid, "fdinfo/" + fd), kMostProcFile);
  if (!info.ok()) return std::nullopt;
  constexpr std::string_view kKey = "mnt_id:";
  for (const std::string_view line : base::Split(*info, '\n')) {
    if (!line.starts_with(kKey)) continue;
    const size_t digits = line.find_first_not_of(" \t", kKey.size());
    if (digits != std::string_view::npos) return base::ParseUnsigned(line.substr(digits));
  }
  return std::nullopt;
}

// Names the FIFOs that process `pid` has open. They were opened in a mount namespace that is gone: only descriptors can
// tell by which mount.
void NameStreams(pid_t pid, const std::array<std::optional<struct stat>, 3>& fifos, StreamNames& names) {
  const auto descriptors = base::ListDirectory(ProcFile(pid, "fd"));
  if (!descriptors.ok()) return;
  for (const std::string& fd : *descriptors) {
    struct stat info {};
    if (::stat(ProcFile(pid, "fd/" + fd).c_str(), &info) != 0) continue;
    for (size_t i = 0; i < fifos.size(); ++i) {
      if (!fifos[i] || !names[i].empty() || info.st_dev != fifos[i]->st_dev || info.st_ino != fifos[i]->st_ino)
        continue;
      if (const auto mount = MountOf(pid, fd)) {
        names[i] = "file[" + Hexadecimal(*mount) + ":" + Hexadecimal(info.st_ino) + "]";
      }
    }
  }
}

// A process may have closed its standard streams that its children still have, so all of the container's are asked.
Result<StreamNames> FindStreams(const CheckpointRequest& request) {
  std::array<std::optional<struct stat>, 3> fifos;
  for (size_t i = 0; i < fifos.size(); ++i) {
    struct stat info {};
    if (::stat((request.bundle + kStreams[i]).c_str(), &info) == 0 && S_ISFIFO(info.st_mode)) fifos[i] = info;
  }
  StreamNames names;
  ASSIGN_OR_RETURN(const std::string processes,
                   base::ReadFile("/sys/fs/cgroup" + request.cgroup + "/cgroup.procs", kMostProcFile));
  for (const std::string_view line : base::Split(processes, '\n')) {
    const auto pid = base::ParseUnsigned(line);
    if (pid && *pid > 0 && *pid < INT32_MAX) NameStreams(static_cast<pid_t>(*pid), fifos, names);
  }
  return names;
}

}  // namespace

Result<std::string> CgroupOf(pid_t pid) {
  ASSIGN_OR_RETURN(const std::string table, base::ReadFile(ProcFile(pid, "cgroup"), kMostProcFile));
  constexpr std::string_view kPrefix = "0::";
  for (const std::string_view line : base::Split(table, '\n')) {
    if (line.starts_with(kPrefix)) return std::string(line.substr(kPrefix.size()));
  }
  return base::Internal("process " + std::to_string(pid) + " is in no cgroup of version 2");
}

Result<std::string> FindCriu() {
  for (const char* program : kCriuPrograms) {
    if (::access(program, X_OK) == 0) return std::string(program);
  }
  return Error(Code::kUnimplemented,
               "checkpoints need criu, which is not installed on this node (neither /usr/sbin/criu nor "
               "/usr/local/sbin/criu is there)");
}

Status CheckDumpable(const ProcessSpec& spec) {
  if (spec.pid.kind != NamespaceTarget::Kind::kNew) {
    return {Code::kFailedPrecondition,
            "a checkpoint can only be taken of a container with a PID namespace of its own (PID mode CONTAINER)"};
  }
  if (spec.user_namespace.kind != NamespaceTarget::Kind::kHost) {
    return {Code::kFailedPrecondition, "a checkpoint of a container with a user namespace cannot be taken"};
  }
  if (spec.terminal) {
    return {Code::kFailedPrecondition, "a checkpoint of a container with a terminal cannot be taken"};
  }
  return base::Ok();
}

bool IsStreamName(const std::string& text) {
  if (text.empty()) return true;
  constexpr std::string_view kPrefix = "file[";
  if (text.size() > 64 || !text.starts_with(kPrefix) || !text.ends_with(']')) return false;
  const std::string_view inner = std::string_view(text).substr(kPrefix.size(), text.size() - kPrefix.size() - 1);
  const auto parts = base::Split(inner, ':');
  return parts.size() == 2 && std::all_of(parts.begin(), parts.end(), [](std::string_view part) {
           return !part.empty() && part.find_first_not_of("0123456789abcdef") == std::string_view::npos;
         });
}

std::vector<std::string> DumpArguments(const CheckpointRequest& request, const std::string& criu,
                                       const std::vector<std::string>& external_mounts, const StreamNames& streams) {
  std::vector<std::string> arguments = {criu, "dump", "--tree", std::to_string(request.pid), "--images-dir",
                                        request.images_directory, "--log-file", "dump.log", "-v2", "--leave-running",
                                        "--timeout", kFreezeSeconds,
                                        // systemd makes the cgroups.
                                        "--manage-cgroups=ignore", "--file-locks",
                                        // The other side of a connection goes on with the container that stays.
                                        "--tcp-close", "--ext-unix-sk", "--action-script", request.helper};
  for (const std::string& point : external_mounts) {
    arguments.emplace_back("--external");
    arguments.push_back("mnt[" + point + "]:" + point);
  }
  for (const std::string& stream : streams) {
    if (stream.empty()) continue;
    arguments.emplace_back("--external");
    arguments.push_back(stream);
  }
  return arguments;
}

Result<StreamNames> TakeCheckpoint(Spawner& spawner, const CheckpointRequest& request) {
  ASSIGN_OR_RETURN(const std::string criu, FindCriu());
  ASSIGN_OR_RETURN(const Bundle bundle, ReadBundle(request.bundle));
  RETURN_IF_ERROR(CheckDumpable(bundle.spec));
  ASSIGN_OR_RETURN(const std::string table, base::ReadFile(ProcFile(request.pid, "mountinfo"), kMostMountTable));
  ASSIGN_OR_RETURN(const std::vector<MountPoint> mounts, ParseMountTable(table));
  ASSIGN_OR_RETURN(const StreamNames streams, FindStreams(request));

  ASSIGN_OR_RETURN(const std::string pod_cgroup, CgroupOf(request.pod_leader).Wrap("the pod's machine"));
  ProgramRequest program;
  program.program = request.helper;
  program.arguments = {request.helper, pod_cgroup, std::to_string(request.pid), request.cgroup};
  for (std::string& word : DumpArguments(request, criu, ExternalMounts(mounts), streams)) {
    program.arguments.push_back(std::move(word));
  }
  program.environment = {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
                         "LAYER_DIRECTORY=" + bundle.spec.upper_directory, "LAYER_ARCHIVE=" + request.layer_archive};
  ASSIGN_OR_RETURN(const ProcessOutput output, spawner.Run(program));
  if (output.exit_code == 0) return streams;
  // Without a log it never came to run criu.
  const auto log = base::ReadFile(request.images_directory + "/dump.log", kLongestCriuLog);
  std::string reason = log.ok() ? CriuFailure(*log) : log.error().message();
  // What packs the layer has only this way to say why it could not.
  if (!output.standard_error.empty()) reason += "; " + base::Printable(output.standard_error, 1000);
  return base::Internal("criu dump ended with code " + std::to_string(output.exit_code) + ": " + reason);
}

}  // namespace nspawn
