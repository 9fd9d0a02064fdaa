#include "nspawn/seccomp_profile.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <functional>

#include "nspawn/capabilities.h"

namespace nspawn {
namespace {

using testing::HasSubstr;

constexpr int kKilled = 1000;

// Runs `probe` under a profile in a process of its own and gives what it returned (0 to 255), or kKilled and the
// signal.
int Under(const std::string& json, const std::function<int()>& probe, uint64_t capabilities = kDefaultCapabilities) {
  const auto profile = CompileSeccompProfile(json, capabilities);
  if (!profile.ok()) {
    ADD_FAILURE() << profile.error().message();
    return -1;
  }
  const pid_t pid = ::fork();
  if (pid == 0) {
    const sock_fprog filter{static_cast<unsigned short>(profile->program.size() / sizeof(sock_filter)),
                            reinterpret_cast<sock_filter*>(const_cast<char*>(profile->program.data()))};
    if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, profile->flags, &filter) != 0) {
      ::_exit(255);
    }
    // Around _exit() sanitizers make calls of their own, which the profile may refuse.
    ::syscall(SYS_exit_group, probe());
    ::_exit(255);
  }
  int status = 0;
  ::waitpid(pid, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : kKilled + WTERMSIG(status);
}

int ErrnoOf(long result) {
  return result < 0 ? errno : 0;
}
int Chmod() {
  return ErrnoOf(::syscall(SYS_fchmodat, AT_FDCWD, "/nonexistent", 0600));
}
int Personality(unsigned long value) {
  return ErrnoOf(::syscall(SYS_personality, value));
}

// A profile that lets everything pass but for `rules`.
std::string Allowing(const std::string& rules) {
  return R"({"defaultAction":"SCMP_ACT_ALLOW","syscalls":[)" + rules + "]}";
}

base::Error ErrorOf(const std::string& json) {
  const auto profile = CompileSeccompProfile(json, kDefaultCapabilities);
  return profile.ok() ? base::Internal("it was accepted") : profile.error();
}

TEST(SeccompProfile, CallsCanBeRefusedWithAnErrorOfChoice) {
  EXPECT_EQ(Under(Allowing(""), Chmod), ENOENT);
  EXPECT_EQ(Under(Allowing(R"({"names":["fchmodat"],"action":"SCMP_ACT_ERRNO"})"), Chmod), EPERM);
  EXPECT_EQ(Under(Allowing(R"({"names":["fchmodat"],"action":"SCMP_ACT_ERRNO","errnoRet":5})"), Chmod), EIO);
  EXPECT_EQ(Under(Allowing(R"({"name":"fchmodat","action":"SCMP_ACT_ERRNO"})"), Chmod), EPERM);
}

TEST(SeccompProfile, CallsCanKillTheProcess) {
  EXPECT_EQ(Under(Allowing(R"({"names":["fchmodat"],"action":"SCMP_ACT_KILL_PROCESS"})"), Chmod), kKilled + SIGSYS);
#ifndef __SANITIZE_THREAD__  // it ends one thread, and the sanitizer has one of its own
  EXPECT_EQ(Under(Allowing(R"({"names":["fchmodat"],"action":"SCMP_ACT_KILL"})"), Chmod), kKilled + SIGSYS);
#endif
  EXPECT_EQ(Under(Allowing(R"({"names":["fchmodat"],"action":"SCMP_ACT_TRAP"})"), Chmod), kKilled + SIGSYS);
  EXPECT_EQ(Under(Allowing(R"({"names":["fchmodat"],"action":"SCMP_ACT_LOG"})"), Chmod), ENOENT);
}

TEST(SeccompProfile, WhatADefaultRefusesIsToldFromWhatIsNewerThanTheProfile) {
  const std::string json = R"({"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":5,"syscalls":[
    {"names":["read","write","exit_group","rt_sigreturn","fchmodat"],"action":"SCMP_ACT_ALLOW"}]})";
  EXPECT_EQ(Under(json, Chmod), ENOENT);
  EXPECT_EQ(Under(json, [] { return ErrnoOf(::syscall(SYS_mkdirat, AT_FDCWD, "/nonexistent/x", 0)); }), EIO);
  EXPECT_EQ(Under(json, [] { return ErrnoOf(::syscall(SYS_clone3, nullptr, 0)); }), ENOSYS);
}

TEST(SeccompProfile, ConditionsOnArgumentsMustAllHold) {
  const auto refuses = [](const std::string& arguments) {
    return Allowing(R"({"names":["personality"],"action":"SCMP_ACT_ERRNO","errnoRet":5,"args":[)" + arguments + "]}");
  };
  const auto probe = [&](const std::string& arguments, unsigned long value) {
    return Under(refuses(arguments), [value] { return Personality(value); });
  };
  constexpr unsigned long kQuery = 0xffffffff;
  EXPECT_EQ(probe(R"({"index":0,"value":4294967295,"op":"SCMP_CMP_EQ"})", kQuery), EIO);
  EXPECT_EQ(probe(R"({"index":0,"value":4294967295,"op":"SCMP_CMP_EQ"})", 0), 0);
  EXPECT_EQ(probe(R"({"index":0,"value":0,"op":"SCMP_CMP_NE"})", kQuery), EIO);
  EXPECT_EQ(probe(R"({"index":0,"value":1,"op":"SCMP_CMP_LT"})", 0), EIO);
  EXPECT_EQ(probe(R"({"index":0,"value":0,"op":"SCMP_CMP_LE"})", 0), EIO);
  EXPECT_EQ(probe(R"({"index":0,"value":1,"op":"SCMP_CMP_GE"})", 0), 0);
  EXPECT_EQ(probe(R"({"index":0,"value":0,"op":"SCMP_CMP_GT"})", kQuery), EIO);
  EXPECT_EQ(probe(R"({"index":0,"value":255,"valueTwo":255,"op":"SCMP_CMP_MASKED_EQ"})", kQuery), EIO);
  EXPECT_EQ(probe(R"({"index":0,"value":255,"valueTwo":1,"op":"SCMP_CMP_MASKED_EQ"})", kQuery), 0);
  const std::string both = R"({"index":0,"value":0,"op":"SCMP_CMP_EQ"},{"index":1,"value":7,"op":"SCMP_CMP_EQ"})";
  EXPECT_EQ(Under(refuses(both), [] { return ErrnoOf(::syscall(SYS_personality, 0, 7)); }), EIO);
  EXPECT_EQ(Under(refuses(both), [] { return ErrnoOf(::syscall(SYS_personality, 0, 8)); }), 0);
}

TEST(SeccompProfile, TwoConditionsOnOneArgumentAreTwoRules) {
  const std::string json = Allowing(R"({"names":["personality"],"action":"SCMP_ACT_ERRNO","errnoRet":5,"args":[
    {"index":0,"value":0,"op":"SCMP_CMP_EQ"},{"index":0,"value":4294967295,"op":"SCMP_CMP_EQ"}]})");
  EXPECT_EQ(Under(json, [] { return Personality(0); }), EIO);
  EXPECT_EQ(Under(json, [] { return Personality(0xffffffff); }), EIO);
  EXPECT_EQ(Under(json, [] { return Personality(8); }), 0);
}

TEST(SeccompProfile, UnknownCallsAreLeftOut) {
  EXPECT_EQ(Under(Allowing(R"({"names":["made_up","fchmodat"],"action":"SCMP_ACT_ERRNO"})"), Chmod), EPERM);
}

TEST(SeccompProfile, ARuleOfTheDefaultActionChangesNothing) {
  EXPECT_EQ(Under(Allowing(R"({"names":["fchmodat"],"action":"SCMP_ACT_ALLOW"})"), Chmod), ENOENT);
}

TEST(SeccompProfile, RulesMayDependOnCapabilitiesArchitectureAndKernel) {
  const auto under = [](const std::string& condition, uint64_t capabilities = kDefaultCapabilities) {
    return Under(Allowing(R"({"names":["fchmodat"],"action":"SCMP_ACT_ERRNO",)" + condition + "}"), Chmod,
                 capabilities);
  };
  constexpr uint64_t kAdmin = uint64_t{1} << CAP_SYS_ADMIN;
  EXPECT_EQ(under(R"("includes":{"caps":["CAP_SYS_ADMIN"]})"), ENOENT);
  EXPECT_EQ(under(R"("includes":{"caps":["CAP_SYS_ADMIN"]})", kAdmin), EPERM);
  EXPECT_EQ(under(R"("excludes":{"caps":["CAP_SYS_ADMIN"]})"), EPERM);
  EXPECT_EQ(under(R"("excludes":{"caps":["CAP_SYS_ADMIN"]})", kAdmin), ENOENT);
  EXPECT_EQ(under(R"("includes":{"arches":["s390"]})"), ENOENT);
  EXPECT_EQ(under(R"("includes":{"arches":["amd64","arm64"]})"), EPERM);
  EXPECT_EQ(under(R"("excludes":{"arches":["amd64","arm64"]})"), ENOENT);
  EXPECT_EQ(under(R"("includes":{"minKernel":"4.8"})"), EPERM);
  EXPECT_EQ(under(R"("includes":{"minKernel":"1000.0"})"), ENOENT);
  EXPECT_EQ(under(R"("excludes":{"minKernel":"4.8"})"), ENOENT);
}

TEST(SeccompProfile, FurtherArchitecturesAndFlagsAreTaken) {
  const auto profile = CompileSeccompProfile(
      R"({"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_X86_64","SCMP_ARCH_X86","SCMP_ARCH_X32",
          "SCMP_ARCH_AARCH64","SCMP_ARCH_ARM"],"flags":["SECCOMP_FILTER_FLAG_LOG","SECCOMP_FILTER_FLAG_SPEC_ALLOW",
          "SECCOMP_FILTER_FLAG_TSYNC"]})",
      0);
  ASSERT_TRUE(profile.ok()) << profile.error().message();
  EXPECT_EQ(profile->flags, SECCOMP_FILTER_FLAG_LOG | SECCOMP_FILTER_FLAG_SPEC_ALLOW);
}

TEST(SeccompProfile, TheMapOfArchitecturesNamesThoseOfThisMachine) {
  const std::string json = R"({"defaultAction":"SCMP_ACT_ALLOW","archMap":[
    {"architecture":"SCMP_ARCH_OF_TOMORROW","subArchitectures":["SCMP_ARCH_X"]},
    {"architecture":"SCMP_ARCH_X86_64","subArchitectures":["SCMP_ARCH_X86","SCMP_ARCH_X32"]},
    {"architecture":"SCMP_ARCH_AARCH64","subArchitectures":["SCMP_ARCH_ARM"]}],
    "syscalls":[{"names":["fchmodat"],"action":"SCMP_ACT_ERRNO"}]})";
  EXPECT_EQ(Under(json, Chmod), EPERM);
}

TEST(SeccompProfile, WhatIsUnknownIsNamed) {
  EXPECT_THAT(ErrorOf(R"({"defaultAction":"SCMP_ACT_SING"})").message(), HasSubstr("no action \"SCMP_ACT_SING\""));
  EXPECT_THAT(ErrorOf(Allowing(R"({"names":["read"],"action":"ALLOW"})")).message(),
              HasSubstr("\"syscalls\"[0]: there is no action \"ALLOW\""));
  EXPECT_THAT(
      ErrorOf(Allowing(R"({"names":["read"],"action":"SCMP_ACT_ERRNO","args":[{"op":"SCMP_CMP_LIKE"}]})")).message(),
      HasSubstr("no operator \"SCMP_CMP_LIKE\""));
  EXPECT_THAT(ErrorOf(R"({"defaultAction":"SCMP_ACT_ALLOW","architectures":["SCMP_ARCH_PDP11"]})").message(),
              HasSubstr("no architecture \"SCMP_ARCH_PDP11\""));
  EXPECT_THAT(ErrorOf(R"({"defaultAction":"SCMP_ACT_ALLOW","flags":["FAST"]})").message(),
              HasSubstr("no flag \"FAST\""));
  EXPECT_THAT(
      ErrorOf(Allowing(R"({"names":["read"],"action":"SCMP_ACT_ERRNO","args":[{"index":6,"op":"SCMP_CMP_EQ"}]})"))
          .message(),
      HasSubstr("no argument 6"));
}

TEST(SeccompProfile, ListenersAreNotSupported) {
  EXPECT_EQ(ErrorOf(Allowing(R"({"names":["read"],"action":"SCMP_ACT_NOTIFY"})")).code(), base::Code::kUnimplemented);
  EXPECT_EQ(ErrorOf(R"({"defaultAction":"SCMP_ACT_ALLOW","listenerPath":"/run/x"})").code(),
            base::Code::kUnimplemented);
}

TEST(SeccompProfile, HostileDocumentsAreRefused) {
  for (const std::string json :
       {"", "{}", "[]", "null", R"({"defaultAction":7})", R"({"defaultAction":"SCMP_ACT_ALLOW","syscalls":{}})",
        R"({"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":5000})",
        R"({"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":-1})",
        R"({"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"action":"SCMP_ACT_LOG"}]})",
        R"({"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["a\u0000b"],"action":"SCMP_ACT_LOG"}]})",
        R"({"defaultAction":"SCMP_ACT_ALLOW","syscalls":[null]})"}) {
    EXPECT_EQ(ErrorOf(json).code(), base::Code::kInvalidArgument) << json;
  }
  std::string many = R"("read")";
  for (int i = 0; i < 10000; ++i) many += R"(,"read")";
  EXPECT_THAT(ErrorOf(Allowing(R"({"names":[)" + many + R"(],"action":"SCMP_ACT_LOG"})")).message(),
              HasSubstr("more than"));
}

TEST(SeccompProfile, AFileThatIsMissingIsNotFound) {
  const auto profile = LoadSeccompProfile("/nonexistent/profile.json", 0);
  ASSERT_FALSE(profile.ok());
  EXPECT_EQ(profile.error().code(), base::Code::kNotFound);
  EXPECT_THAT(profile.error().message(), HasSubstr("/nonexistent/profile.json"));
}

}  // namespace
}  // namespace nspawn
