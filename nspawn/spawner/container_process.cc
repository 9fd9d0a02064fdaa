#include "nspawn/spawner/container_process.h"

#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <string>

#include "base/files.h"
#include "base/message.h"
#include "base/text.h"
#include "nspawn/process/bundle.h"
#include "nspawn/process/execute.h"
#include "nspawn/process/namespaces.h"
#include "nspawn/process/terminal.h"
#include "nspawn/process/user.h"
#include "nspawn/process/user_namespace.h"
#include "nspawn/process_spec.h"

namespace nspawn {
namespace {

using base::Code;
using base::Error;
using base::Result;
using base::Status;
using base::UniqueFd;

constexpr const char* kCgroupRoot = "/sys/fs/cgroup";

// The cgroup (v2) of a process, as "/kubepods.slice/…".
Result<std::string> CgroupOf(int proc, int pid) {
  const std::string path = std::to_string(pid) + "/cgroup";
  const UniqueFd file(::openat(proc, path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return base::ErrnoError("open /proc/" + path);
  ASSIGN_OR_RETURN(const std::string table, base::ReadAll(file.get(), 64 * 1024, "/proc/" + path));
  constexpr std::string_view kPrefix = "0::";
  for (const std::string_view line : base::Split(table, '\n')) {
    if (line.substr(0, kPrefix.size()) == kPrefix) return std::string(line.substr(kPrefix.size()));
  }
  return base::Internal("/proc/" + path + " names no cgroup of version 2");
}

bool IsSameOrBelow(std::string_view path, std::string_view directory) {
  return path.substr(0, directory.size()) == directory &&
         (path.size() == directory.size() || path[directory.size()] == '/');
}

// A pidfd becomes readable when its process ends.
bool IsRunning(int pidfd) {
  pollfd poll_process{pidfd, POLLIN, 0};
  return ::poll(&poll_process, 1, 0) == 0;
}

Error Gone(int pid) {
  return {Code::kFailedPrecondition, "the container's process " + std::to_string(pid) + " is not running"};
}

// Gives the pipes of the process to its user, before the user namespace is joined in which nobody could.
Status GiveStreams(int proc, const SpawnRequest& request, const ProcessSpec& spec) {
  const UniqueFd root(
      ::openat(proc, (std::to_string(request.pid) + "/root").c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!root) return Gone(request.pid);
  ASSIGN_OR_RETURN(const Identity identity, ResolveUser(root.get(), spec.user));
  RETURN_IF_ERROR(CheckMapped(spec, identity));
  for (const int fd : {0, 1, 2}) RETURN_IF_ERROR(GivePipe(spec, identity, fd));
  return base::Ok();
}

}  // namespace

Result<ContainerHandles> FindContainer(int proc, const SpawnRequest& request) {
  ContainerHandles container;
  container.process.reset(static_cast<int>(::syscall(SYS_pidfd_open, request.pid, 0)));
  if (!container.process) {
    if (errno == ESRCH || errno == EINVAL) return Gone(request.pid);
    return base::ErrnoError("open process " + std::to_string(request.pid));
  }
  Result<std::string> cgroup = CgroupOf(proc, request.pid);
  if (!cgroup.ok()) return Gone(request.pid);
  if (request.cgroup.size() < 2 || !IsSameOrBelow(*cgroup, request.cgroup)) return Gone(request.pid);
  Result<UniqueFd> pid_namespace = OpenNamespace(proc, request.pid, "pid");
  if (!pid_namespace.ok()) return Gone(request.pid);
  container.pid_namespace = *std::move(pid_namespace);
  for (int resource = 0; resource < RLIM_NLIMITS; ++resource) {
    rlimit& limit = container.limits[static_cast<size_t>(resource)];
    // Needs CAP_SYS_RESOURCE for a process of another user; without it the process keeps the daemon's.
    if (::prlimit(request.pid, static_cast<__rlimit_resource>(resource), nullptr, &limit) != 0) {
      (void)::getrlimit(static_cast<__rlimit_resource>(resource), &limit);
    }
  }
  // Its own cgroup, which may lie below the unit's: where groups are made inside, the unit's may hold no process.
  container.cgroup.reset(::open((kCgroupRoot + *cgroup).c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!container.cgroup) return base::ErrnoError("open the cgroup " + *cgroup);
  // Still alive: so all that was read by its number was of this process, and not of a later one with the same.
  if (!IsRunning(container.process.get())) return Gone(request.pid);
  return container;
}

Error ExecuteInContainer(int proc, const SpawnRequest& request, const ContainerHandles& container, int answers) {
  const auto prepare = [&]() -> Status {
    ASSIGN_OR_RETURN(const Bundle bundle, ReadBundle(request.bundle));
    for (int resource = 0; resource < RLIM_NLIMITS; ++resource) {
      (void)::setrlimit(static_cast<__rlimit_resource>(resource), &container.limits[static_cast<size_t>(resource)]);
    }
    RETURN_IF_ERROR(SetOomScoreAdjust(proc, bundle.spec.oom_score_adjust));
    int namespaces = CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNET | CLONE_NEWCGROUP;
    if (HasUserNamespace(bundle.spec)) {
      RETURN_IF_ERROR(GiveStreams(proc, request, bundle.spec));
      namespaces |= CLONE_NEWUSER;
    }
    if (::setns(container.process.get(), namespaces) != 0) {
      if (errno == ESRCH) return Gone(request.pid);
      return base::ErrnoError("join the container's namespaces");
    }
    if (HasUserNamespace(bundle.spec)) RETURN_IF_ERROR(BecomeRootInside());
    const UniqueFd root(::open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!root) return base::ErrnoError("open the container's root");
    if (request.terminal) {
      ASSIGN_OR_RETURN(const Terminal terminal, OpenTerminal(proc, root.get(), "/dev/ptmx"));
      RETURN_IF_ERROR(UseTerminal(terminal.slave.get()));
      RETURN_IF_ERROR(base::SendMessage(answers, kTerminalAnswer, {terminal.master.get()}));
    }
    ASSIGN_OR_RETURN(const Identity identity, ResolveUser(root.get(), bundle.spec.user));
    RETURN_IF_ERROR(SetAppArmorProfile(proc, bundle.spec.apparmor_profile));
    RETURN_IF_ERROR(SetSelinuxLabel(proc, bundle.spec.selinux_process_label));
    return Execute({.spec = bundle.spec,
                    .identity = identity,
                    .arguments = request.arguments,
                    .seccomp = bundle.seccomp,
                    .terminal = request.terminal});
  };
  return prepare().error();
}

}  // namespace nspawn
