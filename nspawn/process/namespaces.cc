#include "nspawn/process/namespaces.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "nspawn/process/mount_api.h"

namespace nspawn {

using base::Result;
using base::Status;
using base::UniqueFd;

Result<UniqueFd> OpenProc() {
  return NewFilesystem("proc", {}, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
}

Result<UniqueFd> OpenNamespace(int proc, int pid, const std::string& kind, uint64_t inode) {
  const std::string path = std::to_string(pid) + "/ns/" + kind;
  UniqueFd fd(::openat(proc, path.c_str(), O_RDONLY | O_CLOEXEC));
  const int number = errno;
  struct stat info {};
  if (fd && ::fstat(fd.get(), &info) != 0) return base::ErrnoError("stat /proc/" + path);
  // A zombie has no namespaces any more; another inode number means that another process has the number now.
  if ((!fd && number == ENOENT) || (fd && inode != 0 && info.st_ino != inode)) {
    return base::Error(base::Code::kFailedPrecondition, "the process " + std::to_string(pid) + ", whose " + kind +
                                                            " namespace is to be joined, is gone");
  }
  if (!fd) return base::Error::FromErrno(number, "open /proc/" + path);
  return fd;
}

Status EnterNamespace(int fd, int type, const std::string& kind) {
  if (::setns(fd, type) != 0) return base::ErrnoError("join a " + kind + " namespace");
  return base::Ok();
}

Status CheckProgramReadOnly(int proc) {
  const UniqueFd program(::openat(proc, "self/exe", O_PATH | O_CLOEXEC));
  struct statvfs info {};
  if (!program || ::fstatvfs(program.get(), &info) != 0) return base::ErrnoError("look at the program's own file");
  if ((info.f_flag & ST_RDONLY) != 0) return base::Ok();
  return base::Error(base::Code::kFailedPrecondition,
                     "the program must lie on a read-only mount, out of the containers' reach");
}

Status ExecuteReadOnly(char** arguments) {
  const UniqueFd proc(::open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (proc && CheckProgramReadOnly(proc.get()).ok()) return base::Ok();
  const UniqueFd program(::openat(proc.get(), "self/exe", O_PATH | O_CLOEXEC));
  if (!program) return base::ErrnoError("open the program's own file");
  ASSIGN_OR_RETURN(const UniqueFd clone, CloneMount(program.get(), "", false));
  RETURN_IF_ERROR(ChangeMount(clone.get(), MOUNT_ATTR_RDONLY, 0, false));
  ::syscall(SYS_execveat, clone.get(), "", arguments, environ, AT_EMPTY_PATH);
  return base::ErrnoError("execute the program from a read-only mount");
}

Result<int> CloneProcess(uint64_t flags, int cgroup, UniqueFd* pidfd) {
  int new_pidfd = -1;
  clone_args arguments{};
  arguments.flags = flags;
  if (pidfd != nullptr) {
    arguments.flags |= CLONE_PIDFD;
    arguments.pidfd = reinterpret_cast<uintptr_t>(&new_pidfd);
  }
  if (cgroup >= 0) {
    arguments.flags |= CLONE_INTO_CGROUP;
    arguments.cgroup = static_cast<uint64_t>(cgroup);
  }
  // A sibling has the exit signal of the caller, and must not name one.
  if ((flags & CLONE_PARENT) == 0) arguments.exit_signal = SIGCHLD;
  const long pid = ::syscall(SYS_clone3, &arguments, sizeof arguments);
  if (pid < 0) return base::ErrnoError("clone a process");
  if (pid > 0 && pidfd != nullptr) pidfd->reset(new_pidfd);
  return static_cast<int>(pid);
}

}  // namespace nspawn
