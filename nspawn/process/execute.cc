#include "nspawn/process/execute.h"

#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/fd.h"
#include "base/files.h"
#include "base/text.h"

namespace nspawn {
namespace {

using base::Code;
using base::Error;
using base::Result;
using base::Status;
using base::UniqueFd;

constexpr std::string_view kDefaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

// The kernel's capability sets of this process, as masks.
struct HeldCapabilities {
  uint64_t effective = 0;
  uint64_t permitted = 0;
  uint64_t inheritable = 0;
};

Result<HeldCapabilities> ReadCapabilities() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2]{};
  if (::syscall(SYS_capget, &header, data) != 0) return base::ErrnoError("read the capabilities");
  const auto join = [](uint32_t low, uint32_t high) { return uint64_t{high} << 32 | low; };
  return HeldCapabilities{join(data[0].effective, data[1].effective), join(data[0].permitted, data[1].permitted),
                          join(data[0].inheritable, data[1].inheritable)};
}

Status WriteCapabilities(const HeldCapabilities& held) {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  __user_cap_data_struct data[2]{};
  for (int i = 0; i < 2; ++i) {
    data[i].effective = static_cast<uint32_t>(held.effective >> 32 * i);
    data[i].permitted = static_cast<uint32_t>(held.permitted >> 32 * i);
    data[i].inheritable = static_cast<uint32_t>(held.inheritable >> 32 * i);
  }
  if (::syscall(SYS_capset, &header, data) != 0) return base::ErrnoError("set the capabilities");
  return base::Ok();
}

Status DropBoundingSet(uint64_t keep) {
  for (unsigned number = 0; number < 64; ++number) {
    if ((keep >> number & 1) != 0) continue;
    if (::prctl(PR_CAPBSET_DROP, number, 0, 0, 0) == 0) continue;
    if (errno == EINVAL) break;  // the kernel knows no more
    return base::ErrnoError("drop a capability from the bounding set");
  }
  return base::Ok();
}

Status RaiseAmbientSet(uint64_t raise) {
  if (::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0) {
    return base::ErrnoError("clear the ambient capabilities");
  }
  for (unsigned number = 0; number < 64; ++number) {
    if ((raise >> number & 1) == 0) continue;
    if (::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, number, 0, 0) != 0) {
      return base::ErrnoError("raise an ambient capability");
    }
  }
  return base::Ok();
}

Status InstallSeccomp(std::string_view filter, uint32_t flags) {
  if (filter.empty() || filter.size() % sizeof(sock_filter) != 0 ||
      filter.size() / sizeof(sock_filter) > BPF_MAXINSNS) {
    return base::InvalidArgument("the seccomp filter has a wrong size");
  }
  std::vector<sock_filter> instructions(filter.size() / sizeof(sock_filter));
  std::memcpy(instructions.data(), filter.data(), filter.size());
  const sock_fprog program{static_cast<unsigned short>(instructions.size()), instructions.data()};
  if (::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program) != 0) {
    return base::ErrnoError("install the seccomp filter");
  }
  return base::Ok();
}

// Takes errno. It is the pod's author who can mend what is wrong with a path.
Error WorkingDirectoryError(const std::string& directory) {
  const bool wrong = errno == ENOTDIR || errno == ELOOP || errno == ENAMETOOLONG;
  Error error = base::ErrnoError("enter the working directory " + base::Printable(directory));
  return wrong ? std::move(error).WithCode(Code::kInvalidArgument) : error;
}

// A working directory outside of the root, which a leaked descriptor could have led to, has no absolute name.
Status CheckWorkingDirectory() {
  char name[PATH_MAX];
  if (::syscall(SYS_getcwd, name, sizeof name) < 0) return base::ErrnoError("get the working directory");
  if (name[0] != '/') {
    return Error(Code::kPermissionDenied, "the working directory lies outside of the container's root filesystem");
  }
  return base::Ok();
}

// A pipe or a terminal of ours belongs to the user, who may then open it again as /dev/stdin, /dev/tty and so on.
Status GiveStandardStreams(uint32_t uid) {
  for (const int fd : {0, 1, 2}) {
    struct stat info {};
    if (::fstat(fd, &info) != 0) return base::ErrnoError("stat the standard streams");
    const bool ours = S_ISFIFO(info.st_mode) || (S_ISCHR(info.st_mode) && ::isatty(fd) == 1);
    if (ours && info.st_uid != uid && ::fchown(fd, uid, static_cast<gid_t>(-1)) != 0) {
      return base::ErrnoError("give the standard streams to the user");
    }
  }
  return base::Ok();
}

Status BecomeUser(const Execution& execution) {
  const Identity& identity = execution.identity;
  const ProcessSpec& spec = execution.spec;
  const std::string directory = spec.working_directory.empty() ? "/" : spec.working_directory;
  // As root first; where root may not enter (a file server that maps it to nobody), the user may.
  const bool entered = ::chdir(directory.c_str()) == 0;
  if (!entered && errno != EACCES && errno != EPERM) return WorkingDirectoryError(directory);

  RETURN_IF_ERROR(GiveStandardStreams(identity.uid));
  RETURN_IF_ERROR(DropBoundingSet(spec.capabilities.bounding));
  if (::prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0) return base::ErrnoError("keep capabilities");
  if (::setgroups(identity.groups.size(), identity.groups.data()) != 0) return base::ErrnoError("set the groups");
  if (::setresgid(identity.gid, identity.gid, identity.gid) != 0) return base::ErrnoError("set the group");
  if (::setresuid(identity.uid, identity.uid, identity.uid) != 0) return base::ErrnoError("set the user");

  if (!entered && ::chdir(directory.c_str()) != 0) return WorkingDirectoryError(directory);
  RETURN_IF_ERROR(CheckWorkingDirectory());

  ASSIGN_OR_RETURN(HeldCapabilities held, ReadCapabilities());
  if (spec.no_new_privileges && ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
    return base::ErrnoError("set no_new_privs");
  }
  if (spec.seccomp && !spec.no_new_privileges) {
    // This needs CAP_SYS_ADMIN, so it comes before the last capabilities go.
    held.effective = held.permitted;
    RETURN_IF_ERROR(WriteCapabilities(held));
    RETURN_IF_ERROR(InstallSeccomp(execution.seccomp, spec.seccomp_flags));
  }
  const uint64_t permitted = spec.capabilities.permitted & held.permitted;
  RETURN_IF_ERROR(WriteCapabilities(
      {.effective = permitted, .permitted = permitted, .inheritable = spec.capabilities.inheritable & held.permitted}));
  RETURN_IF_ERROR(RaiseAmbientSet(spec.capabilities.ambient & permitted & spec.capabilities.inheritable));
  if (spec.seccomp && spec.no_new_privileges) RETURN_IF_ERROR(InstallSeccomp(execution.seccomp, spec.seccomp_flags));
  return base::Ok();
}

std::vector<char*> Pointers(const std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  pointers.reserve(strings.size() + 1);
  for (const std::string& text : strings) pointers.push_back(const_cast<char*>(text.c_str()));
  pointers.push_back(nullptr);
  return pointers;
}

// What execve(2) meant by `number`, for a program that was named with a path or found in PATH.
Error ExecError(const std::string& name, const std::string& path, int number) {
  const std::string quoted = "exec: \"" + base::Printable(name, 256) + "\": ";
  if (number == ENOENT && ::faccessat(AT_FDCWD, path.c_str(), F_OK, AT_SYMLINK_NOFOLLOW) == 0) {
    return base::NotFound(quoted +
                          "it is there, but what it needs to run (the interpreter of a script, the loader of a "
                          "program, the target of a link) is not: no such file or directory");
  }
  if (number == ENOENT || number == ENOTDIR) {
    return base::NotFound(quoted + "stat " + base::Printable(path, 256) + ": no such file or directory");
  }
  if (number == EACCES) return {Code::kPermissionDenied, quoted + "permission denied"};
  if (number == ENOEXEC) {
    return base::InvalidArgument(quoted + "exec format error (made for another architecture, or a script without #!)");
  }
  if (number == E2BIG) return base::InvalidArgument(quoted + "the arguments and the environment are too long");
  return Error::FromErrno(number, quoted + "exec");
}

Error ExecuteProgram(const std::vector<std::string>& arguments, const std::vector<std::string>& environment) {
  const std::string& name = arguments[0];
  if (name.find('/') != std::string::npos) return ExecuteFile(name, arguments, environment);
  const std::vector<char*> argv = Pointers(arguments);
  const std::vector<char*> envp = Pointers(environment);
  std::string_view search = kDefaultPath;
  for (const std::string& variable : environment) {
    if (variable.compare(0, 5, "PATH=") == 0) search = std::string_view(variable).substr(5);
  }
  bool denied = false;
  for (const std::string_view directory : base::Split(search, ':')) {
    // An empty part would mean the working directory, which a PATH of an image should not.
    if (directory.empty()) continue;
    const std::string path = std::string(directory) + "/" + name;
    ::execve(path.c_str(), argv.data(), envp.data());
    const int number = errno;
    const bool missing = number == ENOENT || number == ENOTDIR;
    if (missing && ::faccessat(AT_FDCWD, path.c_str(), F_OK, AT_SYMLINK_NOFOLLOW) != 0) continue;
    if (number == EACCES) {
      denied = true;
      continue;
    }
    return ExecError(name, path, number);
  }
  const std::string quoted = "exec: \"" + base::Printable(name, 256) + "\": ";
  if (denied) return {Code::kPermissionDenied, quoted + "permission denied"};
  return base::NotFound(quoted + "executable file not found in $PATH");
}

}  // namespace

void ResetSignals() {
  struct sigaction action {};
  action.sa_handler = SIG_DFL;
  // The C library keeps two real-time signals to itself and refuses them; those were never changed.
  for (int number = 1; number < NSIG; ++number) ::sigaction(number, &action, nullptr);
}

Status ResetProcess() {
  ::setsid();  // fails only for who leads a process group already
  ::umask(0022);
  sigset_t none;
  sigemptyset(&none);
  if (::sigprocmask(SIG_SETMASK, &none, nullptr) != 0) return base::ErrnoError("unblock signals");
  return base::Ok();
}

Status SetStandardStreams(int input, int output, int error) {
  if (::dup2(input, 0) < 0 || ::dup2(output, 1) < 0 || ::dup2(error, 2) < 0) {
    return base::ErrnoError("set the standard streams");
  }
  return base::Ok();
}

Status SetOomScoreAdjust(int proc, int value) {
  const UniqueFd file(::openat(proc, "self/oom_score_adj", O_WRONLY | O_CLOEXEC));
  if (!file) return base::ErrnoError("open /proc/self/oom_score_adj");
  Status written = base::WriteAll(file.get(), std::to_string(value));
  if (!written.ok() && (written.error().number() == EACCES || written.error().number() == EPERM)) return base::Ok();
  return std::move(written).Wrap("set the OOM score adjustment");
}

Status SetAppArmorProfile(int proc, const std::string& profile) {
  if (profile.empty()) return base::Ok();
  UniqueFd file(::openat(proc, "thread-self/attr/apparmor/exec", O_WRONLY | O_CLOEXEC));
  if (!file) file.reset(::openat(proc, "thread-self/attr/exec", O_WRONLY | O_CLOEXEC));
  const std::string doing = "apply the AppArmor profile " + base::Printable(profile, 256);
  if (!file) return base::ErrnoError(doing);
  Status written = base::WriteAll(file.get(), "exec " + profile);
  if (written.ok()) return written;
  if (written.error().number() == EINVAL) {
    return Error(Code::kFailedPrecondition, doing + ": AppArmor does not run on this host");
  }
  if (written.error().number() == ENOENT) return base::NotFound(doing + ": it is not loaded on this host");
  return std::move(written).Wrap(doing);
}

Status SetSelinuxLabel(int proc, const std::string& label) {
  if (label.empty()) return base::Ok();
  const std::string doing = "apply the SELinux label " + base::Printable(label, 256);
  const UniqueFd file(::openat(proc, "thread-self/attr/exec", O_WRONLY | O_CLOEXEC));
  if (!file) return base::ErrnoError(doing);
  return base::WriteAll(file.get(), label).Wrap(doing);
}

Error ExecuteFile(const std::string& path, const std::vector<std::string>& arguments,
                  const std::vector<std::string>& environment) {
  ::execve(path.c_str(), Pointers(arguments).data(), Pointers(environment).data());
  return ExecError(path, path, errno);
}

Error Execute(const Execution& execution) {
  if (execution.arguments.empty() || execution.arguments[0].empty()) {
    return base::InvalidArgument("no command is given");
  }
  std::vector<std::string> environment = execution.spec.environment;
  const auto has = [&](std::string_view name) {
    for (const std::string& variable : environment) {
      if (variable.compare(0, name.size(), name) == 0) return true;
    }
    return false;
  };
  if (!has("HOME=")) environment.push_back("HOME=" + execution.identity.home);
  if (execution.terminal && !has("TERM=")) environment.emplace_back("TERM=xterm");

  if (::close_range(3, ~0U, CLOSE_RANGE_CLOEXEC) != 0) return base::ErrnoError("close descriptors");
  if (Status status = BecomeUser(execution); !status.ok()) return std::move(status).error();
  return ExecuteProgram(execution.arguments, environment);
}

}  // namespace nspawn
