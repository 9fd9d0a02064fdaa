#include "nspawn/spawner.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <future>
#include <string>
#include <thread>

#include "base/files.h"
#include "nspawn/capabilities.h"
#include "nspawn/seccomp.h"
#include "spawner_fixture.h"
#include "temporary_directory.h"

namespace nspawn {
namespace {

using namespace std::chrono_literals;
using base::Code;
using Clock = std::chrono::steady_clock;

// Whether a process is dead within a second.
bool EndsSoon(pid_t pid) {
  for (int i = 0; i < 100; ++i) {
    const auto state = base::ReadFile("/proc/" + std::to_string(pid) + "/stat", 1000);
    if (!state.ok() || state->find(") Z ") != std::string::npos) return true;
    std::this_thread::sleep_for(10ms);
  }
  return false;
}

TEST_F(SpawnerRun, GivesExitCodeAndBothStreams) {
  const auto result = spawner_->Run(Shell("echo out; echo err >&2; exit 3"));
  ASSERT_TRUE(result.ok()) << result.error().message();
  EXPECT_EQ(result->exit_code, 3);
  EXPECT_EQ(result->standard_output, "out\n");
  EXPECT_EQ(result->standard_error, "err\n");
}

TEST_F(SpawnerRun, ASignalIsAnExitCodeAbove128) {
  EXPECT_EQ(spawner_->Run(Shell("kill -TERM $$"))->exit_code, 128 + SIGTERM);
}

TEST_F(SpawnerRun, PassesStandardInputAndNothingOfItsOwn) {
  ProgramRequest request = Shell("cat; env; pwd; umask; ls -l /proc/self/fd | grep -c -e '->'");
  request.standard_input = std::string(300000, 'x') + "\n";
  request.environment = {"ONLY=this"};
  const auto result = spawner_->Run(request);
  ASSERT_TRUE(result.ok());
  ASSERT_GT(result->standard_output.size(), 300001U);
  EXPECT_EQ(result->standard_output.substr(0, 300001), request.standard_input);
  const std::string rest = result->standard_output.substr(300001);
  EXPECT_NE(rest.find("ONLY=this\n"), std::string::npos);
  EXPECT_EQ(rest.find("HOME="), std::string::npos);
  // The three streams and the folder that ls reads.
  EXPECT_NE(rest.find("\n/\n0022\n4\n"), std::string::npos) << rest;
}

TEST_F(SpawnerRun, SignalsAreAsInANewProcess) {
  const auto result = spawner_->Run(Shell("grep -E 'Sig(Blk|Ign)' /proc/self/status"));
  EXPECT_EQ(result->standard_output, "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
}

TEST_F(SpawnerRun, AProgramThatIsNotThereIsNotFound) {
  ProgramRequest request = Shell("");
  request.program = "/opt/cni/bin/nonexistent";
  const auto result = spawner_->Run(request);
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().code(), Code::kNotFound);
  EXPECT_EQ(result.error().message(),
            "exec: \"/opt/cni/bin/nonexistent\": stat /opt/cni/bin/nonexistent: no such file or directory");
}

TEST_F(SpawnerRun, AScriptWhoseInterpreterIsMissingSaysSo) {
  const TemporaryDirectory directory;
  directory.Write("script", "#!/no/such/interpreter\n");
  std::filesystem::permissions(directory.path() + "/script", static_cast<std::filesystem::perms>(0755));
  ProgramRequest request = Shell("");
  request.program = directory.path() + "/script";
  const auto result = spawner_->Run(request);
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().code(), Code::kNotFound);
  EXPECT_NE(result.error().message().find("interpreter"), std::string::npos) << result.error().message();
}

TEST_F(SpawnerRun, ATimeoutKillsTheProcessAndItsChildren) {
  const TemporaryDirectory directory;
  ProgramRequest request = Shell("echo before; sleep 60 & echo $! > " + directory.path() + "/child; wait");
  request.timeout = 300ms;
  const auto start = Clock::now();
  const auto result = spawner_->Run(request);
  EXPECT_LT(Clock::now() - start, 5s);
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().code(), Code::kDeadlineExceeded);
  EXPECT_EQ(result.error().message(), "timeout 0.3s exceeded");
  EXPECT_TRUE(EndsSoon(std::stoi(*base::ReadFile(directory.path() + "/child", 100))));
}

TEST_F(SpawnerRun, AProcessThatIsKilledTakesItsChildrenAlong) {
  const auto result = spawner_->Run(Shell("sleep 60 & echo $!; kill -KILL $$"));
  ASSERT_TRUE(result.ok()) << result.error().message();
  EXPECT_EQ(result->exit_code, 128 + SIGKILL);
  EXPECT_TRUE(EndsSoon(std::stoi(result->standard_output)));
}

TEST_F(SpawnerRun, TooMuchOutputKillsTheProcess) {
  ProgramRequest request = Shell("yes");
  request.most_output = 100000;
  const auto result = spawner_->Run(request);
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().code(), Code::kResourceExhausted);
}

TEST_F(SpawnerRun, AChildThatKeepsTheOutputOpenDoesNotHoldUpTheAnswer) {
  const auto start = Clock::now();
  const auto result = spawner_->Run(Shell("sleep 30 & echo $!"));
  EXPECT_LT(Clock::now() - start, 5s);
  ASSERT_TRUE(result.ok());
  ::kill(std::stoi(result->standard_output), SIGKILL);
}

TEST_F(SpawnerRun, CallsRunSideBySide) {
  std::vector<std::future<base::Result<ProcessOutput>>> calls;
  const auto start = Clock::now();
  for (int i = 0; i < 20; ++i) {
    calls.push_back(std::async(std::launch::async, [&, i] {
      return spawner_->Run(Shell("sleep 0.5; echo " + std::to_string(i) + "; exit " + std::to_string(i)));
    }));
  }
  for (int i = 0; i < 20; ++i) {
    const auto result = calls[static_cast<size_t>(i)].get();
    ASSERT_TRUE(result.ok());
    EXPECT_EQ(result->exit_code, i);
    EXPECT_EQ(result->standard_output, std::to_string(i) + "\n");
  }
  EXPECT_LT(Clock::now() - start, 8s);
}

TEST_F(SpawnerRun, RefusesWhatCannotBePassed) {
  ProgramRequest request = Shell("true");
  request.environment = {std::string("A=b\0C=d", 7)};
  EXPECT_EQ(spawner_->Run(request).error().code(), Code::kInvalidArgument);
  request = Shell("true");
  request.program = "sh";
  EXPECT_EQ(spawner_->Run(request).error().code(), Code::kInvalidArgument);
  request = Shell("true");
  request.arguments.emplace_back(5 << 20, 'x');
  EXPECT_EQ(spawner_->Run(request).error().code(), Code::kInvalidArgument);
  request.arguments.back().resize(200000);
  const auto result = spawner_->Run(request);
  ASSERT_FALSE(result.ok());
  EXPECT_NE(result.error().message().find("too long"), std::string::npos) << result.error().message();
}

TEST_F(SpawnerRun, LeaksNoDescriptor) {
  const auto count = [] {
    size_t descriptors = 0;
    for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) descriptors += !entry.path().empty();
    return descriptors;
  };
  (void)spawner_->Run(Shell("true"));
  const size_t before = count();
  for (int i = 0; i < 20; ++i) (void)spawner_->Run(Shell("true"));
  EXPECT_EQ(count(), before);
}

TEST_F(SpawnerRun, ItsEndIsSeen) {
  pollfd death{spawner_->DeathFd(), POLLIN, 0};
  EXPECT_EQ(::poll(&death, 1, 0), 0);
  ASSERT_EQ(::syscall(SYS_pidfd_send_signal, spawner_->DeathFd(), SIGKILL, nullptr, 0), 0);
  EXPECT_EQ(::poll(&death, 1, 5000), 1);
  const auto result = spawner_->Run(Shell("true"));
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().code(), Code::kUnavailable);
}

TEST(SpawnerStart, AProgramThatIsNotThereIsAnError) {
  const auto started = Spawner::Start("/nonexistent/spawner");
  ASSERT_FALSE(started.ok());
  EXPECT_EQ(started.error().code(), Code::kNotFound);
}

TEST(SpawnerStart, AnotherProgramIsAnError) {
  if (::geteuid() != 0) GTEST_SKIP() << "the spawner needs root";
  const auto started = Spawner::Start("/bin/true");
  ASSERT_FALSE(started.ok());
  EXPECT_EQ(started.error().code(), Code::kUnavailable);
}

TEST_F(SpawnerExec, JoinsEveryNamespaceAndTheCgroup) {
  EXPECT_EQ(Output("hostname"), "inside\n");
  EXPECT_EQ(Output("cut -d: -f3 /proc/self/cgroup | tail -n 1"), "/\n");
  EXPECT_EQ(Output("cat /proc/1/comm"), "nspawn_process_\n");
  for (const std::string kind : {"mnt", "pid", "ipc", "uts", "net", "cgroup"}) {
    EXPECT_EQ(Output("readlink /proc/self/ns/" + kind) + "",
              std::filesystem::read_symlink("/proc/" + std::to_string(pid_) + "/ns/" + kind).string() + "\n");
  }
}

TEST_F(SpawnerExec, IsTheUserWithTheEnvironmentOfTheContainer) {
  EXPECT_EQ(Output("id -u; id -g; id -G; pwd; echo $GREETING"), "1000\n1000\n1000\n/tmp\nhello\n");
  EXPECT_EQ(Output("cat /proc/self/oom_score_adj"), "321\n");
  EXPECT_EQ(Output("grep NoNewPrivs /proc/self/status"), "NoNewPrivs:\t1\n");
  EXPECT_EQ(Output("grep CapBnd /proc/self/status"), "CapBnd:\t00000000a80425fb\n");
  EXPECT_EQ(Output("grep CapEff /proc/self/status"), "CapEff:\t0000000000000000\n");
}

TEST_F(SpawnerExec, KeepsTheCapabilitiesOfTheSpecification) {
  spec_.capabilities.permitted = spec_.capabilities.inheritable = spec_.capabilities.ambient = 1;
  WriteSpec();
  EXPECT_EQ(Output("grep -E 'Cap(Eff|Amb)' /proc/self/status"),
            "CapEff:\t0000000000000001\nCapAmb:\t0000000000000001\n");
  spec_.user.uid = 0;
  spec_.capabilities.permitted = kDefaultCapabilities;
  spec_.capabilities.inheritable = spec_.capabilities.ambient = 0;
  WriteSpec();
  EXPECT_EQ(Output("grep CapEff /proc/self/status"), "CapEff:\t00000000a80425fb\n");
}

TEST_F(SpawnerExec, RunsUnderTheSeccompFilterOfTheBundle) {
  const auto program = DefaultSeccompProgram(kDefaultCapabilities);
  ASSERT_TRUE(program.ok());
  bundle_.Write("seccomp", std::string(program->begin(), program->end()));
  spec_.seccomp = true;
  for (const bool no_new_privileges : {true, false}) {
    spec_.no_new_privileges = no_new_privileges;
    WriteSpec();
    EXPECT_EQ(Output("grep Seccomp: /proc/self/status"), "Seccomp:\t2\n");
    EXPECT_NE(Exec("unshare -r true")->exit_code, 0);
  }
  std::filesystem::remove(bundle_.path() + "/seccomp");
  EXPECT_FALSE(Exec("true").ok()) << "it must not run without the filter";
  bundle_.Write("seccomp", "12345");
  EXPECT_FALSE(Exec("true").ok());
}

TEST_F(SpawnerExec, TheUserCanOpenTheOutputByName) {
  EXPECT_EQ(Output("echo x > /proc/self/fd/1"), "x\n");
}

TEST_F(SpawnerExec, MissingCommandsAreErrors) {
  const auto missing = spawner_->Exec(Request({"nope"}), {});
  ASSERT_FALSE(missing.ok());
  EXPECT_EQ(missing.error().code(), Code::kNotFound);
  EXPECT_EQ(missing.error().message(), "exec: \"nope\": executable file not found in $PATH");
  EXPECT_EQ(spawner_->Exec(Request({"/bin/nope"}), {}).error().code(), Code::kNotFound);
  EXPECT_EQ(spawner_->Exec(Request({"/etc/passwd"}), {}).error().code(), Code::kPermissionDenied);
  EXPECT_EQ(spawner_->Exec(Request({}), {}).error().code(), Code::kInvalidArgument);
  EXPECT_EQ(spawner_->Exec(Request({""}), {}).error().code(), Code::kInvalidArgument);
}

TEST_F(SpawnerExec, ATimeoutKillsWhatRunsInside) {
  ExecRequest request = Request({"sh", "-c", "sleep 60 & sleep 60"});
  request.timeout = 200ms;
  const auto result = spawner_->Exec(request, {});
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().code(), Code::kDeadlineExceeded);
  // Only the stand-in is left, and what counts.
  EXPECT_EQ(Output("sleep 0.1; ls /proc | grep -c '^[0-9]'"), "4\n");
}

TEST_F(SpawnerExec, ACancelledCallEndsAtOnce) {
  std::stop_source source;
  std::jthread canceller([&] {
    std::this_thread::sleep_for(200ms);
    source.request_stop();
  });
  const auto start = Clock::now();
  const auto result = spawner_->Exec(Request({"sleep", "60"}), source.get_token());
  EXPECT_LT(Clock::now() - start, 5s);
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().code(), Code::kCancelled);
}

TEST_F(SpawnerExec, OutputIsKeptToSixteenMebibytesAndTheRestRead) {
  const auto result = Exec("head -c 20000000 /dev/zero; echo done >&2; exit 5");
  ASSERT_TRUE(result.ok()) << result.error().message();
  EXPECT_EQ(result->standard_output.size(), 16U << 20);
  EXPECT_EQ(result->standard_error, "done\n");
  EXPECT_EQ(result->exit_code, 5);
}

TEST_F(SpawnerExec, AProcessOfAnotherCgroupIsNotEntered) {
  ExecRequest request = Request({"true"});
  for (const std::string& cgroup :
       std::vector<std::string>{"/other", "", "/", cgroup_ + "x", cgroup_.substr(0, cgroup_.size() - 1)}) {
    request.cgroup = cgroup;
    const auto result = spawner_->Exec(request, {});
    ASSERT_FALSE(result.ok()) << cgroup;
    EXPECT_EQ(result.error().code(), Code::kFailedPrecondition);
  }
  request = Request({"true"});
  request.pid = 1 << 22;
  EXPECT_EQ(spawner_->Exec(request, {}).error().code(), Code::kFailedPrecondition);
}

TEST_F(SpawnerExec, AfterTheContainersEndThereIsNothingToEnter) {
  ::kill(pid_, SIGKILL);
  siginfo_t info{};
  ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(pid_), &info, WEXITED | WNOWAIT), 0);
  EXPECT_EQ(Exec("true").error().code(), Code::kFailedPrecondition) << "a zombie";
  // The spawner itself must not be left in the dead namespace.
  EXPECT_EQ(spawner_->Run(Shell("exit 9"))->exit_code, 9);
}

TEST_F(SpawnerExec, HostProgramsRunOnTheHostAfterwards) {
  EXPECT_EQ(Output("true"), "");
  const auto result = spawner_->Run(Shell("readlink /proc/self/ns/pid"));
  EXPECT_EQ(result->standard_output, std::filesystem::read_symlink("/proc/self/ns/pid").string() + "\n");
}

}  // namespace
}  // namespace nspawn
