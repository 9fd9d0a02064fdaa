#include "nspawn/seccomp.h"

#include <linux/capability.h>
#include <sched.h>
#include <seccomp.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstdlib>
#include <map>
#include <memory>
#include <mutex>

#include "nspawn/seccomp_filter.h"

namespace nspawn {
namespace {

using base::Result;
using base::Status;

// Allowed to everybody, as in the default profiles of Docker and containerd.
constexpr const char* kAlways[] = {
    "accept", "accept4", "access", "adjtimex", "alarm", "bind", "brk", "cachestat", "capget", "capset", "chdir",
    "chmod", "chown", "chown32", "clock_adjtime", "clock_adjtime64", "clock_getres", "clock_getres_time64",
    "clock_gettime", "clock_gettime64", "clock_nanosleep", "clock_nanosleep_time64", "close", "close_range", "connect",
    "copy_file_range", "creat", "dup", "dup2", "dup3", "epoll_create", "epoll_create1", "epoll_ctl", "epoll_ctl_old",
    "epoll_pwait", "epoll_pwait2", "epoll_wait", "epoll_wait_old", "eventfd", "eventfd2", "execve", "execveat", "exit",
    "exit_group", "faccessat", "faccessat2", "fadvise64", "fadvise64_64", "fallocate", "fanotify_mark", "fchdir",
    "fchmod", "fchmodat", "fchmodat2", "fchown", "fchown32", "fchownat", "fcntl", "fcntl64", "fdatasync", "fgetxattr",
    "flistxattr", "flock", "fork", "fremovexattr", "fsetxattr", "fstat", "fstat64", "fstatat64", "fstatfs", "fstatfs64",
    "fsync", "ftruncate", "ftruncate64", "futex", "futex_requeue", "futex_time64", "futex_wait", "futex_waitv",
    "futex_wake", "futimesat", "get_robust_list", "get_thread_area", "getcpu", "getcwd", "getdents", "getdents64",
    "getegid", "getegid32", "geteuid", "geteuid32", "getgid", "getgid32", "getgroups", "getgroups32", "getitimer",
    "getpeername", "getpgid", "getpgrp", "getpid", "getppid", "getpriority", "getrandom", "getresgid", "getresgid32",
    "getresuid", "getresuid32", "getrlimit", "getrusage", "getsid", "getsockname", "getsockopt", "gettid",
    "gettimeofday", "getuid", "getuid32", "getxattr", "getxattrat", "inotify_add_watch", "inotify_init",
    "inotify_init1", "inotify_rm_watch", "io_cancel", "io_destroy", "io_getevents", "io_pgetevents",
    "io_pgetevents_time64", "io_setup", "io_submit", "ioctl", "ioprio_get", "ioprio_set", "ipc", "kill",
    "landlock_add_rule", "landlock_create_ruleset", "landlock_restrict_self", "lchown", "lchown32", "lgetxattr", "link",
    "linkat", "listen", "listmount", "listxattr", "listxattrat", "llistxattr", "_llseek", "lremovexattr", "lseek",
    "lsetxattr", "lstat", "lstat64", "madvise", "map_shadow_stack", "membarrier", "memfd_create", "memfd_secret",
    "mincore", "mkdir", "mkdirat", "mknod", "mknodat", "mlock", "mlock2", "mlockall", "mmap", "mmap2", "mprotect",
    "mq_getsetattr", "mq_notify", "mq_open", "mq_timedreceive", "mq_timedreceive_time64", "mq_timedsend",
    "mq_timedsend_time64", "mq_unlink", "mremap", "mseal", "msgctl", "msgget", "msgrcv", "msgsnd", "msync", "munlock",
    "munlockall", "munmap", "name_to_handle_at", "nanosleep", "_newselect", "newfstatat", "open", "openat", "openat2",
    "pause", "pidfd_open", "pidfd_send_signal", "pipe", "pipe2", "pkey_alloc", "pkey_free", "pkey_mprotect", "poll",
    "ppoll", "ppoll_time64", "prctl", "pread64", "preadv", "preadv2", "prlimit64", "process_mrelease",
    "process_vm_readv", "process_vm_writev", "pselect6", "pselect6_time64", "ptrace", "pwrite64", "pwritev", "pwritev2",
    "read", "readahead", "readlink", "readlinkat", "readv", "recv", "recvfrom", "recvmmsg", "recvmmsg_time64",
    "recvmsg", "remap_file_pages", "removexattr", "removexattrat", "rename", "renameat", "renameat2", "restart_syscall",
    "rmdir", "rseq", "rt_sigaction", "rt_sigpending", "rt_sigprocmask", "rt_sigqueueinfo", "rt_sigreturn",
    "rt_sigsuspend", "rt_sigtimedwait", "rt_sigtimedwait_time64", "rt_tgsigqueueinfo", "sched_get_priority_max",
    "sched_get_priority_min", "sched_getaffinity", "sched_getattr", "sched_getparam", "sched_getscheduler",
    "sched_rr_get_interval", "sched_rr_get_interval_time64", "sched_setaffinity", "sched_setattr", "sched_setparam",
    "sched_setscheduler", "sched_yield", "seccomp", "select", "semctl", "semget", "semop", "semtimedop",
    "semtimedop_time64", "send", "sendfile", "sendfile64", "sendmmsg", "sendmsg", "sendto", "set_robust_list",
    "set_thread_area", "set_tid_address", "setfsgid", "setfsgid32", "setfsuid", "setfsuid32", "setgid", "setgid32",
    "setgroups", "setgroups32", "setitimer", "setpgid", "setpriority", "setregid", "setregid32", "setresgid",
    "setresgid32", "setresuid", "setresuid32", "setreuid", "setreuid32", "setrlimit", "setsid", "setsockopt", "setuid",
    "setuid32", "setxattr", "setxattrat", "shmat", "shmctl", "shmdt", "shmget", "shutdown", "sigaltstack", "signalfd",
    "signalfd4", "sigprocmask", "sigreturn", "socketcall", "socketpair", "splice", "stat", "stat64", "statfs",
    "statfs64", "statmount", "statx", "symlink", "symlinkat", "sync", "sync_file_range", "syncfs", "sysinfo", "tee",
    "tgkill", "time", "timer_create", "timer_delete", "timer_getoverrun", "timer_gettime", "timer_gettime64",
    "timer_settime", "timer_settime64", "timerfd_create", "timerfd_gettime", "timerfd_gettime64", "timerfd_settime",
    "timerfd_settime64", "times", "tkill", "truncate", "truncate64", "ugetrlimit", "umask", "uname", "unlink",
    "unlinkat", "uretprobe", "utime", "utimensat", "utimensat_time64", "utimes", "vfork", "vmsplice", "wait4", "waitid",
    "waitpid", "write", "writev",
    // Of one architecture each; libseccomp leaves out what an architecture has not.
    "arch_prctl", "modify_ldt", "arm_fadvise64_64", "arm_sync_file_range", "sync_file_range2", "breakpoint",
    "cacheflush", "set_tls"};

struct CapabilityCalls {
  unsigned capability;
  std::vector<const char*> names;
};

// Allowed to who has the capability; the kernel checks it again in each.
const std::vector<CapabilityCalls>& CallsOfCapabilities() {
  static const std::vector<CapabilityCalls> kCalls = {
      {CAP_DAC_READ_SEARCH, {"open_by_handle_at"}},
      {CAP_SYS_ADMIN,
       {"bpf",       "clone",           "clone3",         "fanotify_init", "fsconfig",      "fsmount",
        "fsopen",    "fspick",          "lookup_dcookie", "mount",         "mount_setattr", "move_mount",
        "open_tree", "perf_event_open", "quotactl",       "quotactl_fd",   "setdomainname", "sethostname",
        "setns",     "syslog",          "umount",         "umount2",       "unshare"}},
      {CAP_SYS_BOOT, {"reboot"}},
      {CAP_SYS_CHROOT, {"chroot"}},
      {CAP_SYS_MODULE, {"delete_module", "init_module", "finit_module"}},
      {CAP_SYS_PACCT, {"acct"}},
      {CAP_SYS_PTRACE, {"kcmp", "pidfd_getfd", "process_madvise"}},
      {CAP_SYS_RAWIO, {"iopl", "ioperm"}},
      {CAP_SYS_TIME, {"settimeofday", "stime", "clock_settime", "clock_settime64"}},
      {CAP_SYS_TTY_CONFIG, {"vhangup"}},
      {CAP_SYS_NICE, {"get_mempolicy", "mbind", "set_mempolicy", "set_mempolicy_home_node"}},
      {CAP_SYSLOG, {"syslog"}},
      {CAP_BPF, {"bpf"}},
      {CAP_PERFMON, {"perf_event_open"}},
  };
  return kCalls;
}

// personality(2) values: the default, 32-bit Linux, both without address randomisation's base change, and the query.
constexpr uint64_t kPersonalities[] = {0x0, 0x0008, 0x20000, 0x20008, 0xffffffff};

// A call that would make a new namespace needs CAP_SYS_ADMIN.
constexpr uint64_t kNamespaceFlags =
    CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWCGROUP;

struct Architecture {
  uint32_t number;
  const char* name;
};

#if defined(__x86_64__)
constexpr Architecture kArchitectures[] = {{SCMP_ARCH_X86_64, "x86-64"}, {SCMP_ARCH_X86, "x86"}};
#elif defined(__aarch64__)
constexpr Architecture kArchitectures[] = {{SCMP_ARCH_AARCH64, "arm64"}, {SCMP_ARCH_ARM, "arm"}};
#else
#error "the default seccomp profile is written for x86-64 and arm64"
#endif

// The greatest system call number of an architecture that libseccomp knows.
uint32_t GreatestCall(uint32_t architecture) {
  for (int number = 1023; number > 0; --number) {
    const std::unique_ptr<char, void (*)(void*)> name(seccomp_syscall_resolve_num_arch(architecture, number),
                                                      &std::free);
    if (name) return static_cast<uint32_t>(number);
  }
  return 0;
}

// libseccomp's own macros are C, not C++.
constexpr scmp_arg_cmp FirstArgument(scmp_compare comparison, uint64_t datum) {
  return {0, comparison, datum, 0};
}

Status AddRules(SeccompFilter& filter, uint64_t capabilities) {
  for (const char* name : kAlways) RETURN_IF_ERROR(filter.AddRule(SCMP_ACT_ALLOW, name));
  for (const CapabilityCalls& calls : CallsOfCapabilities()) {
    if ((capabilities >> calls.capability & 1) == 0) continue;
    for (const char* name : calls.names) RETURN_IF_ERROR(filter.AddRule(SCMP_ACT_ALLOW, name));
  }
  for (const uint64_t personality : kPersonalities) {
    RETURN_IF_ERROR(filter.AddRule(SCMP_ACT_ALLOW, "personality", {FirstArgument(SCMP_CMP_EQ, personality)}));
  }
  // A virtual machine's socket family is not bounded by network namespaces.
  RETURN_IF_ERROR(filter.AddRule(SCMP_ACT_ALLOW, "socket", {FirstArgument(SCMP_CMP_NE, AF_VSOCK)}));
  if ((capabilities >> CAP_SYS_ADMIN & 1) == 0) {
    RETURN_IF_ERROR(filter.AddRule(SCMP_ACT_ALLOW, "clone", {FirstArgument(SCMP_CMP_MASKED_EQ, kNamespaceFlags)}));
    // Its flags lie in memory that a filter cannot read; with ENOSYS the C library takes clone instead.
    RETURN_IF_ERROR(filter.AddRule(SCMP_ACT_ERRNO(ENOSYS), "clone3"));
  }
  return base::Ok();
}

Result<std::vector<char>> Compile(uint64_t capabilities) {
  ASSIGN_OR_RETURN(SeccompFilter filter, SeccompFilter::Make(SCMP_ACT_ERRNO(EPERM)));
  for (const Architecture& architecture : kArchitectures) {
    RETURN_IF_ERROR(filter.AddArchitecture(architecture.number, architecture.name));
    // What libseccomp does not know is newer than it.
    filter.SetGreatestCall(architecture.number, GreatestCall(architecture.number));
  }
#if defined(__x86_64__)
  RETURN_IF_ERROR(filter.AddArchitecture(SCMP_ARCH_X32, "x32"));
#endif
  RETURN_IF_ERROR(AddRules(filter, capabilities));
  return filter.Compile();
}

}  // namespace

Result<std::vector<char>> DefaultSeccompProgram(uint64_t capabilities) {
  static std::mutex mutex;
  static std::map<uint64_t, std::vector<char>> programs;
  // Only the capabilities that make a difference, so that few programs serve all containers.
  uint64_t key = 0;
  for (const CapabilityCalls& calls : CallsOfCapabilities()) key |= capabilities & (uint64_t{1} << calls.capability);
  const std::lock_guard lock(mutex);
  if (const auto found = programs.find(key); found != programs.end()) return found->second;
  ASSIGN_OR_RETURN(std::vector<char> program, Compile(key));
  return programs.emplace(key, std::move(program)).first->second;
}

}  // namespace nspawn
