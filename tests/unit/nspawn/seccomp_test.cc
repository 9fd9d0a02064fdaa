#include "nspawn/seccomp.h"

#include <gtest/gtest.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <functional>

#include "nspawn/capabilities.h"

namespace nspawn {
namespace {

// Runs `probe` under the profile in a process of its own and gives what it returned (0 to 255), or -1 when it was
// killed.
int Under(uint64_t capabilities, const std::function<int()>& probe) {
  const auto program = DefaultSeccompProgram(capabilities);
  if (!program.ok()) {
    ADD_FAILURE() << program.error().message();
    return -1;
  }
  const pid_t pid = ::fork();
  if (pid == 0) {
    const sock_fprog filter{static_cast<unsigned short>(program->size() / sizeof(sock_filter)),
                            reinterpret_cast<sock_filter*>(const_cast<char*>(program->data()))};
    if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || ::prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) != 0) {
      ::_exit(255);
    }
    ::_exit(probe());
  }
  int status = 0;
  ::waitpid(pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

int ErrnoOf(long result) {
  return result < 0 ? errno : 0;
}

constexpr uint64_t kAdmin = uint64_t{1} << CAP_SYS_ADMIN;

TEST(Seccomp, OrdinaryCallsWork) {
  EXPECT_EQ(Under(kDefaultCapabilities, [] { return ErrnoOf(::syscall(SYS_getpid)); }), 0);
  EXPECT_EQ(Under(kDefaultCapabilities, [] { return ErrnoOf(::socket(AF_UNIX, SOCK_STREAM, 0)); }), 0);
  EXPECT_EQ(Under(kDefaultCapabilities, [] { return ErrnoOf(::syscall(SYS_close_range, 100, 200, 0)); }), 0);
}

TEST(Seccomp, AForkWorksAndANewNamespaceDoesNot) {
  EXPECT_EQ(Under(kDefaultCapabilities,
                  [] {
                    const pid_t child = ::fork();
                    if (child == 0) ::_exit(0);
                    return ErrnoOf(::waitpid(child, nullptr, 0));
                  }),
            0);
  EXPECT_EQ(Under(kDefaultCapabilities, [] { return ErrnoOf(::syscall(SYS_clone, CLONE_NEWUSER, 0, 0, 0, 0)); }),
            EPERM);
  EXPECT_EQ(Under(kDefaultCapabilities, [] { return ErrnoOf(::unshare(CLONE_NEWUTS)); }), EPERM);
}

TEST(Seccomp, CallsOfTheHostAreRefused) {
  for (const long call :
       {SYS_mount, SYS_umount2, SYS_reboot, SYS_kexec_load, SYS_init_module, SYS_bpf, SYS_keyctl, SYS_add_key,
        SYS_setns, SYS_pivot_root, SYS_swapon, SYS_open_by_handle_at, SYS_io_uring_setup, SYS_userfaultfd}) {
    EXPECT_EQ(Under(kDefaultCapabilities, [call] { return ErrnoOf(::syscall(call, 0, 0, 0, 0, 0, 0)); }), EPERM)
        << call;
  }
}

TEST(Seccomp, Clone3AsksTheLibraryToFallBack) {
  EXPECT_EQ(Under(kDefaultCapabilities, [] { return ErrnoOf(::syscall(SYS_clone3, nullptr, 0)); }), ENOSYS);
}

TEST(Seccomp, ACallNewerThanTheLibraryIsUnknown) {
  EXPECT_EQ(Under(kDefaultCapabilities, [] { return ErrnoOf(::syscall(1000)); }), ENOSYS);
}

TEST(Seccomp, VirtualMachineSocketsAreRefused) {
  EXPECT_EQ(Under(kDefaultCapabilities, [] { return ErrnoOf(::socket(AF_VSOCK, SOCK_STREAM, 0)); }), EPERM);
}

TEST(Seccomp, TheAdministratorsCapabilityOpensItsCalls) {
  EXPECT_EQ(Under(kDefaultCapabilities | kAdmin, [] { return ErrnoOf(::syscall(SYS_clone3, nullptr, 0)); }), EINVAL);
  EXPECT_NE(Under(kDefaultCapabilities | kAdmin, [] { return ErrnoOf(::syscall(SYS_mount, 0, 0, 0, 0, 0)); }), EPERM);
}

TEST(Seccomp, ChrootNeedsItsCapability) {
  EXPECT_EQ(Under(kDefaultCapabilities, [] { return ErrnoOf(::chroot("/nonexistent")); }), ENOENT);
  EXPECT_EQ(Under(0, [] { return ErrnoOf(::chroot("/nonexistent")); }), EPERM);
}

TEST(Seccomp, IsTheSameForSetsThatDifferInNothingItLooksAt) {
  const auto first = DefaultSeccompProgram(kDefaultCapabilities);
  const auto second = DefaultSeccompProgram(kDefaultCapabilities & ~(uint64_t{1} << CAP_CHOWN));
  ASSERT_TRUE(first.ok() && second.ok());
  EXPECT_EQ(*first, *second);
  EXPECT_LE(first->size() / sizeof(sock_filter), static_cast<size_t>(BPF_MAXINSNS));
}

}  // namespace
}  // namespace nspawn
