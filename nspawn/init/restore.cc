#include "nspawn/init/restore.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <string_view>
#include <utility>

#include "base/fd.h"
#include "base/files.h"
#include "base/text.h"
#include "nspawn/criu.h"
#include "nspawn/init/root_filesystem.h"
#include "nspawn/init/sysctls.h"
#include "nspawn/process/execute.h"
#include "nspawn/process/mount_api.h"
#include "nspawn/process/namespaces.h"
#include "nspawn/process/root_path.h"
#include "nspawn/process/user.h"

namespace nspawn {
namespace {

using base::Code;
using base::Error;
using base::Result;
using base::Status;
using base::UniqueFd;

constexpr int kStreams = 3;

std::string RootOf(const Restore& restore) {
  return restore.directory + "/rootfs";
}
std::string WorkOf(const Restore& restore) {
  return restore.directory + "/work";
}

// A mount namespace with all that the host has.
Status CopyHostMounts(int proc) {
  ASSIGN_OR_RETURN(const UniqueFd host, OpenNamespace(proc, 1, "mnt"));
  RETURN_IF_ERROR(EnterNamespace(host.get(), CLONE_NEWNS, "mount"));
  if (::unshare(CLONE_NEWNS) != 0) return base::ErrnoError("copy the host's mounts");
  return base::Ok();
}

// Whoever the program ran as may open its streams again as /dev/stdout and so on.
Status GiveStreams(const Streams& streams, uint32_t uid) {
  for (const UniqueFd* stream : {&streams.input, &streams.output, &streams.error}) {
    if (*stream && ::fchown(stream->get(), uid, static_cast<gid_t>(-1)) != 0) {
      return base::ErrnoError("give the standard streams to the user");
    }
  }
  return base::Ok();
}

Status MakeRoot(const Setup& setup, const Restore& restore) {
  const ProcessSpec& spec = setup.bundle.spec;
  RETURN_IF_ERROR(WriteSysctls(setup.proc, spec.sysctls));
  // The procfs in it is one of the host's processes. It only carries what is mounted inside of it: criu makes the
  // container's own.
  ASSIGN_OR_RETURN(const RootFilesystem made, MakeRootFilesystem(spec, setup.proc, setup.maps, RootOf(restore)));
  if (spec.read_only_root) RETURN_IF_ERROR(MakeReadOnly(made.root.get()));
  ASSIGN_OR_RETURN(const Identity identity, ResolveUser(made.root.get(), spec.user));
  RETURN_IF_ERROR(base::WriteAll(setup.user_file, FormatIdentity(identity)).Wrap("write the bundle's user"));
  return GiveStreams(setup.streams, identity.uid);
}

// The mount points below the container's root, as the container will see them.
Result<std::vector<std::string>> MountPointsOf(const Restore& restore, int proc) {
  ASSIGN_OR_RETURN(const std::string table, ReadMountTable(proc));
  ASSIGN_OR_RETURN(const std::vector<MountPoint> all, ParseMountTable(table));
  const std::string prefix = RootOf(restore) + "/";
  std::vector<MountPoint> mounts;
  for (const MountPoint& mount : all) {
    if (mount.path.compare(0, prefix.size(), prefix) != 0) continue;
    mounts.push_back({mount.path.substr(prefix.size() - 1), mount.type});
  }
  return ExternalMounts(mounts);
}

// The new process: becomes criu.
[[noreturn]] void ExecuteCriu(const Restore& restore, const Streams& streams,
                              const std::vector<std::string>& arguments) {
  const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  // Above the places that are filled.
  constexpr int kAbove = kFirstStream + kStreams;
  int copies[kStreams];
  const UniqueFd* const all[kStreams] = {&streams.input, &streams.output, &streams.error};
  for (int i = 0; i < kStreams; ++i) copies[i] = ::fcntl(*all[i] ? all[i]->get() : null.get(), F_DUPFD, kAbove);
  for (int i = 0; i < kStreams; ++i) {
    if (::dup2(null.get(), i) < 0) ::_exit(127);
  }
  for (int i = 0; i < kStreams; ++i) {
    if (::dup2(copies[i], kFirstStream + i) < 0) ::_exit(127);
  }
  if (::close_range(kAbove, ~0U, CLOSE_RANGE_CLOEXEC) != 0 || ::chdir("/") != 0) ::_exit(127);
  (void)ExecuteFile(restore.criu, arguments, {"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"});
  ::_exit(127);
}

Status RunCriu(const Setup& setup, const Restore& restore) {
  ASSIGN_OR_RETURN(const std::vector<std::string> mounts, MountPointsOf(restore, setup.proc));
  const std::vector<std::string> arguments = RestoreArguments(restore, mounts, setup.bundle.spec.apparmor_profile);
  ASSIGN_OR_RETURN(const int criu, CloneProcess(0));
  if (criu == 0) ExecuteCriu(restore, setup.streams, arguments);
  int status = 0;
  while (::waitpid(criu, &status, 0) < 0) {
    if (errno != EINTR) return base::ErrnoError("wait for criu");
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return base::Ok();
  const Result<std::string> log = base::ReadFile(WorkOf(restore) + "/restore.log", kLongestCriuLog);
  return base::Internal("criu restore: " + (log.ok() ? CriuFailure(*log) : log.error().message()));
}

}  // namespace

std::vector<std::string> RestoreArguments(const Restore& restore, const std::vector<std::string>& mounts,
                                          const std::string& apparmor_profile) {
  const std::string root = RootOf(restore);
  std::vector<std::string> arguments = {restore.criu,
                                        "restore",
                                        "--images-dir",
                                        restore.directory + "/checkpoint",
                                        "--work-dir",
                                        WorkOf(restore),
                                        "--log-file",
                                        "restore.log",
                                        "-v2",
                                        "--pidfile",
                                        WorkOf(restore) + "/pid",
                                        "--root",
                                        root,
                                        "--restore-detached",
                                        "--leave-stopped",
                                        "--manage-cgroups=ignore",
                                        "--file-locks",
                                        "--tcp-close",
                                        "--ext-unix-sk"};
  if (!apparmor_profile.empty()) {
    arguments.emplace_back("--lsm-profile");
    arguments.push_back("apparmor:" + apparmor_profile);
  }
  for (const std::string& point : mounts) {
    arguments.emplace_back("--external");
    arguments.push_back("mnt[" + point + "]:" + root + point);
  }
  for (size_t i = 0; i < restore.streams.size() && i < kStreams; ++i) {
    if (restore.streams[i].empty()) continue;
    arguments.emplace_back("--inherit-fd");
    arguments.push_back("fd[" + std::to_string(kFirstStream + static_cast<int>(i)) + "]:" + restore.streams[i]);
  }
  return arguments;
}

Result<int> RestoreProcesses(const Setup& setup, const Restore& restore) {
  ResetSignals();
  RETURN_IF_ERROR(ResetProcess());
  if (!setup.bundle.spec.privileged && ::unshare(CLONE_NEWCGROUP) != 0) {
    return base::ErrnoError("make a cgroup namespace");
  }
  RETURN_IF_ERROR(CopyHostMounts(setup.proc));
  RETURN_IF_ERROR(MakeRoot(setup, restore));
  RETURN_IF_ERROR(RunCriu(setup, restore));
  ASSIGN_OR_RETURN(const std::string text, base::ReadFile(WorkOf(restore) + "/pid", 64));
  const std::string_view digits = std::string_view(text).substr(0, text.find_first_not_of("0123456789"));
  const std::optional<uint64_t> pid = base::ParseUnsigned(digits);
  if (!pid || *pid < 2 || *pid > INT32_MAX) return base::Internal("criu tells no number of the restored process");
  return static_cast<int>(*pid);
}

Status ResumeProcesses(int proc, int pid) {
  ASSIGN_OR_RETURN(const UniqueFd processes, OpenNamespace(proc, pid, "pid"));
  RETURN_IF_ERROR(EnterNamespace(processes.get(), CLONE_NEWPID, "pid"));
  ASSIGN_OR_RETURN(const int helper, CloneProcess(0));
  if (helper == 0) {
    // All but the first of the namespace.
    ::kill(-1, SIGCONT);
    ::_exit(0);
  }
  while (::waitpid(helper, nullptr, 0) < 0 && errno == EINTR) continue;
  if (::kill(pid, SIGCONT) != 0) return base::ErrnoError("let the restored process go on");
  return base::Ok();
}

}  // namespace nspawn
