#include "nspawn/bundle.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <map>

#include "base/fault.h"
#include "base/fd.h"
#include "base/files.h"
#include "base/text.h"
#include "base/trace.h"

namespace nspawn {
namespace {

using base::ErrnoError;
using base::Result;
using base::Status;

// Environment and mounts of a container come in gRPC messages of at most 16 MiB.
constexpr size_t kMostSpec = size_t{32} << 20;
constexpr size_t kMostSmall = size_t{1} << 20;

// The whole bundle is new and gets its name when it is complete: its files need no renaming of their own.
Status WriteNew(const std::string& path, std::string_view content) {
  const base::UniqueFd fd(open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!fd) return ErrnoError("creating " + path);
  return base::WriteAll(fd.get(), content).Wrap("writing " + path);
}

std::string EncodeCgroupFiles(const CgroupFiles& files) {
  std::string out;
  for (const auto& [file, value] : files) {
    out += file;
    out += '=';
    out += value;
    out += '\0';
  }
  return out;
}

std::optional<int64_t> Number(const std::map<std::string, std::string, std::less<>>& values, std::string_view key) {
  const auto found = values.find(key);
  if (found == values.end()) return std::nullopt;
  const auto number = base::ParseUnsigned(found->second);
  if (!number || *number > INT64_MAX) return std::nullopt;
  return static_cast<int64_t>(*number);
}

}  // namespace

bool Bundles::Exists(const std::string& name) const {
  struct stat info {};
  return !name.empty() && name.front() != '.' && name.find('/') == std::string::npos &&
         stat(Path(name).c_str(), &info) == 0 && S_ISDIR(info.st_mode);
}

Status Bundles::WriteInto(const std::string& directory, const ContainerSpec& spec, const std::string& unit_text,
                          const CgroupFiles& cgroup_files) const {
  RETURN_IF_ERROR(base::MakeDirectories(directory + "/usr/lib/systemd/system"));
  if (mkdir((directory + "/rootfs").c_str(), 0755) != 0) return ErrnoError("creating rootfs");
  RETURN_IF_ERROR(WriteNew(directory + "/init", ""));
  RETURN_IF_ERROR(WriteNew(directory + "/usr/lib/os-release", "ID=cri-nspawn\nPRETTY_NAME=\"Container " + spec.name +
                                                                  "\"\nPORTABLE_PREFIXES=" + spec.name + "\n"));
  RETURN_IF_ERROR(WriteNew(directory + "/usr/lib/systemd/system/" + spec.name + ".service", unit_text));
  RETURN_IF_ERROR(WriteNew(directory + "/spec", Encode(spec.process)));
  if (spec.process.seccomp) {
    RETURN_IF_ERROR(
        WriteNew(directory + "/seccomp", std::string_view(spec.seccomp_program.data(), spec.seccomp_program.size())));
  }
  for (const char* stream : {"/stdout", "/stderr"}) {
    if (!spec.process.unit_output && mkfifo((directory + stream).c_str(), 0600) != 0)
      return ErrnoError("creating the FIFO " + directory + stream);
  }
  if (spec.process.open_stdin && !spec.process.terminal && mkfifo((directory + "/stdin").c_str(), 0600) != 0) {
    return ErrnoError("creating the FIFO " + directory + "/stdin");
  }
  RETURN_IF_ERROR(WriteNew(directory + "/stop-signal", spec.stop_signal.empty() ? "SIGTERM" : spec.stop_signal));
  if (!cgroup_files.empty()) RETURN_IF_ERROR(WriteNew(directory + "/cgroup", EncodeCgroupFiles(cgroup_files)));
  return {};
}

Status Bundles::Write(const ContainerSpec& spec, const std::string& unit_text, const CgroupFiles& cgroup_files) const {
  const base::TraceSpan span("disk", "write bundle", spec.name);
  RETURN_IF_ERROR(base::MakeDirectories(root_, 0700));
  const std::string staging = root_ + "/." + spec.name + "." + base::RandomHex(4);
  if (mkdir(staging.c_str(), 0755) != 0) return ErrnoError("creating " + staging);
  Status status = WriteInto(staging, spec, unit_text, cgroup_files);
  FAULT_POINT("container create: bundle staged");
  if (status.ok() && renameat2(AT_FDCWD, staging.c_str(), AT_FDCWD, Path(spec.name).c_str(), RENAME_NOREPLACE) != 0) {
    status = ErrnoError("renaming " + staging + " to " + Path(spec.name));
  }
  if (!status.ok()) (void)base::RemoveTree(staging);
  return std::move(status).Wrap("writing the bundle of container " + spec.name);
}

Status Bundles::Remove(const std::string& name) const {
  const base::TraceSpan span("disk", "remove bundle", name);
  const std::string removing = root_ + "/." + name + "." + base::RandomHex(4);
  if (rename(Path(name).c_str(), removing.c_str()) != 0) {
    if (errno == ENOENT) return {};
    return ErrnoError("renaming the bundle " + Path(name));
  }
  FAULT_POINT("container remove: bundle renamed");
  return base::RemoveTree(removing).Wrap("removing the bundle of container " + name);
}

Result<std::vector<std::string>> Bundles::List() const {
  auto names = base::ListDirectory(root_);
  if (!names.ok()) {
    if (names.error().code() == base::Code::kNotFound) return std::vector<std::string>();
    return std::move(names).Wrap("listing bundles");
  }
  std::erase_if(*names, [](const std::string& name) { return name.front() == '.'; });
  return names;
}

Status Bundles::RemoveIncomplete() const {
  const auto names = base::ListDirectory(root_);
  if (!names.ok()) return names.error().code() == base::Code::kNotFound ? Status() : names.error();
  for (const std::string& name : *names) {
    if (name.front() == '.') RETURN_IF_ERROR(base::RemoveTree(Path(name)).Wrap("removing an incomplete bundle"));
  }
  return {};
}

Result<ProcessSpec> Bundles::ReadSpec(const std::string& name) const {
  ASSIGN_OR_RETURN(const std::string encoded, base::ReadFile(Path(name) + "/spec", kMostSpec));
  return Decode(encoded).Wrap("reading " + Path(name) + "/spec");
}

Result<std::string> Bundles::ReadStopSignal(const std::string& name) const {
  return base::ReadFile(Path(name) + "/stop-signal", kMostSmall);
}

Result<CgroupFiles> Bundles::ReadCgroupFiles(const std::string& name) const {
  CgroupFiles files;
  const auto content = base::ReadFile(Path(name) + "/cgroup", kMostSmall);
  if (!content.ok()) {
    if (content.error().code() == base::Code::kNotFound) return files;
    return content.error();
  }
  for (const std::string_view entry : base::Split(*content, '\0')) {
    const size_t equals = entry.find('=');
    if (equals != std::string_view::npos) files.emplace_back(entry.substr(0, equals), entry.substr(equals + 1));
  }
  return files;
}

Status Bundles::WriteCgroupFiles(const std::string& name, const CgroupFiles& files) const {
  return base::WriteFileAtomic(Path(name) + "/cgroup", EncodeCgroupFiles(files));
}

bool Bundles::IsStarting(const std::string& name) const {
  return access((Path(name) + "/starting").c_str(), F_OK) == 0;
}

Status Bundles::MarkStarting(const std::string& name) const {
  return base::WriteFileAtomic(Path(name) + "/starting", "");
}

void Bundles::ClearStarting(const std::string& name) const {
  // A later start that is cut off must not be taken for the one that got so far.
  unlink((Path(name) + "/user").c_str());
  unlink((Path(name) + "/starting").c_str());
}

bool Bundles::IsStarted(const std::string& name) const {
  return access((Path(name) + "/started").c_str(), F_OK) == 0;
}

Status Bundles::MarkStarted(const std::string& name) const {
  return base::WriteFileAtomic(Path(name) + "/started", "");
}

Result<std::optional<Identity>> Bundles::ReadUser(const std::string& name) const {
  const std::string path = Path(name) + "/user";
  const auto content = base::ReadFile(path, kMostSmall);
  if (!content.ok()) {
    if (content.error().code() == base::Code::kNotFound) return std::optional<Identity>();
    return content.error();
  }
  // Nothing as well for what init was killed in writing: it is only told, and must not keep a node from starting.
  return ParseIdentity(*content);
}

std::optional<SliceOomKills> Bundles::ReadOomKills(const std::string& name) const {
  const auto content = base::ReadFile(Path(name) + "/oom-kills", kMostSmall);
  if (!content.ok()) return std::nullopt;
  const size_t space = content->find(' ');
  const auto gone = base::ParseUnsigned(content->substr(0, space));
  if (!gone || space == std::string::npos) return std::nullopt;
  return SliceOomKills{.slice = content->substr(space + 1), .gone = *gone};
}

void Bundles::KeepOomKills(const std::string& name, const SliceOomKills& kills) const {
  // Without it an exit by SIGKILL is not told from one for want of memory.
  (void)base::WriteFileAtomic(Path(name) + "/oom-kills", std::to_string(kills.gone) + " " + kills.slice);
}

void Bundles::AskForSteps(const std::string& name) const {
  (void)base::WriteFileAtomic(Path(name) + "/steps", "");
}

void Bundles::TraceSteps(const std::string& name, int track) const {
  const auto content = base::ReadFile(Path(name) + "/steps", kMostSmall);
  if (!content.ok()) return;
  int64_t begin = 0;
  for (const std::string_view line : base::Split(*content, '\n')) {
    const size_t space = line.find(' ');
    const auto end = base::ParseUnsigned(line.substr(0, space));
    if (!end || space == std::string_view::npos) continue;
    // Two processes tell theirs, in one row: each step from the last one's end on.
    if (begin != 0) base::TraceSpanOf(track, "init", line.substr(space + 1), name, begin, static_cast<int64_t>(*end));
    begin = static_cast<int64_t>(*end);
  }
}

Status Bundles::WriteExit(const std::string& name, const Exit& exit) const {
  std::string content = "code=" + std::to_string(exit.code);
  content += "\nsignal=" + std::to_string(exit.signal);
  content += "\noom_killed=" + std::to_string(exit.oom_killed ? 1 : 0);
  content += "\nstarted_at=" + std::to_string(exit.started_at);
  content += "\nfinished_at=" + std::to_string(exit.finished_at) + "\n";
  return base::WriteFileAtomic(Path(name) + "/exit", content);
}

Result<std::optional<Exit>> Bundles::ReadExit(const std::string& name) const {
  const std::string path = Path(name) + "/exit";
  const auto content = base::ReadFile(path, kMostSmall);
  if (!content.ok()) {
    if (content.error().code() == base::Code::kNotFound) return std::optional<Exit>();
    return content.error();
  }
  std::map<std::string, std::string, std::less<>> values;
  for (const std::string_view line : base::Split(*content, '\n')) {
    const size_t equals = line.find('=');
    if (equals != std::string_view::npos) values.emplace(line.substr(0, equals), line.substr(equals + 1));
  }
  const auto code = Number(values, "code");
  const auto signal = Number(values, "signal");
  const auto oom_killed = Number(values, "oom_killed");
  const auto started_at = Number(values, "started_at");
  const auto finished_at = Number(values, "finished_at");
  if (!code || !signal || !oom_killed || !started_at || !finished_at) {
    return base::Internal(path + " does not say how the container ended");
  }
  return std::optional<Exit>(
      Exit{static_cast<int>(*code), static_cast<int>(*signal), *oom_killed != 0, *started_at, *finished_at});
}

}  // namespace nspawn
