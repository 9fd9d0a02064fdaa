#include "nspawn/container.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <chrono>
#include <mutex>
#include <thread>

#include "base/files.h"
#include "mock_bus.h"
#include "nspawn/process/user.h"

namespace nspawn {
namespace {

using namespace std::chrono_literals;
using base::Code;
using base::Error;
using ::testing::_;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::NiceMock;
using ::testing::Return;

constexpr char kUnit[] = "web.service";

class ContainerTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/container_test.XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    directory_ = name;
    cgroup_ = directory_ + "/cgroup/test.slice/web.service";
    ASSERT_TRUE(base::MakeDirectories(cgroup_).ok());
    ASSERT_TRUE(base::WriteFileAtomic(cgroup_ + "/cgroup.kill", "").ok());
    Restart();
  }
  void TearDown() override {
    containers_.reset();
    EXPECT_TRUE(base::RemoveTree(directory_).ok());
  }

  // As a new run of the daemon.
  void Restart() {
    auto containers =
        Containers::Make(bus_, {directory_ + "/containers", "/usr/lib/cri-nspawn/init", directory_ + "/cgroup",
                                directory_ + "/units", directory_ + "/attached", directory_ + "/images"});
    ASSERT_TRUE(containers.ok());
    containers_ = *std::move(containers);
    containers_->OnExit([this](const std::string& name, const Exit& exit) {
      const std::lock_guard lock(exits_mutex_);
      exits_.emplace_back(name, exit);
    });
  }

  ContainerSpec Spec() {
    ContainerSpec spec;
    spec.name = "web";
    spec.slice = "test.slice";
    spec.process.arguments = {"/bin/sh"};
    spec.process.upper_directory = directory_ + "/upper";
    spec.process.work_directory = directory_ + "/work";
    (void)base::MakeDirectories(spec.process.upper_directory + "/file");
    (void)base::MakeDirectories(spec.process.work_directory + "/work");
    return spec;
  }

  // The unit's job ends well with the container's process running.
  void StartsAs(const ServiceState& state, const std::string& job = "done") {
    ON_CALL(bus_, StartUnit(kUnit)).WillByDefault([this, state, job](const std::string& unit) {
      bus_.Tell(unit, state);
      return base::Result<std::string>(job);
    });
  }
  void CreateAndStart() {
    StartsAs(Running(4711));
    ASSERT_TRUE(containers_->Create(Spec()).ok());
    const auto started = containers_->Start("web");
    ASSERT_TRUE(started.ok()) << started.error().message();
  }
  // Ends the container when its cgroup is killed, as the kernel would.
  std::jthread KernelThatKills() {
    return std::jthread([this](const std::stop_token& stop) {
      while (!stop.stop_requested()) {
        if (*base::ReadFile(cgroup_ + "/cgroup.kill", 10) == "1") {
          bus_.Tell(kUnit, Ended(CLD_KILLED, SIGKILL, "signal"));
          return;
        }
        std::this_thread::sleep_for(1ms);
      }
    });
  }
  Error StartError() {
    auto started = containers_->Start("web");
    EXPECT_FALSE(started.ok());
    return started.ok() ? base::Internal("it started") : started.error();
  }

  std::string directory_;
  std::string cgroup_;
  NiceMock<MockBus> bus_;
  std::unique_ptr<Containers> containers_;
  std::vector<std::pair<std::string, Exit>> Exits() {
    const std::lock_guard lock(exits_mutex_);
    return exits_;
  }

 private:
  std::mutex exits_mutex_;
  std::vector<std::pair<std::string, Exit>> exits_;  // guarded by exits_mutex_
};

TEST_F(ContainerTest, CreationAttachesTheBundleByItsExactName) {
  EXPECT_CALL(bus_, AttachImage(directory_ + "/containers/web", "web", "cri-nspawn"));
  ASSERT_TRUE(containers_->Create(Spec()).ok());
  const auto found = containers_->Find("web");
  ASSERT_TRUE(found.ok());
  EXPECT_EQ(found->state, Container::State::kCreated);
  EXPECT_EQ(containers_->BundleDirectory("web"), directory_ + "/containers/web");
}

TEST_F(ContainerTest, WhatPortabledHasSystemdDoIsTakenBack) {
  ASSERT_TRUE(containers_->Create(Spec()).ok());
  const auto drop_in = base::ReadFile(directory_ + "/units/web.service.d/50-cri-nspawn.conf", 4096);
  ASSERT_TRUE(drop_in.ok()) << drop_in.error().message();
  EXPECT_THAT(*drop_in, AllOf(HasSubstr("\nRootDirectory=\n"), HasSubstr("\nBindReadOnlyPaths=\n")));
}

TEST_F(ContainerTest, FailedCreationLeavesNothing) {
  EXPECT_CALL(bus_, AttachImage(_, _, _)).WillOnce([](auto&&...) {
    return base::Status(Error(Code::kUnavailable, "portabled is away"));
  });
  EXPECT_CALL(bus_, DetachImage(directory_ + "/containers/web"));
  const auto status = containers_->Create(Spec());
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code(), Code::kUnavailable);
  EXPECT_THAT(status.error().message(), AllOf(HasSubstr("web"), HasSubstr("portabled is away")));
  EXPECT_THAT(*base::ListDirectory(directory_ + "/containers"), IsEmpty());
  EXPECT_EQ(containers_->Find("web").error().code(), Code::kNotFound);
}

TEST_F(ContainerTest, FailedCreationTakesWhatAKilledPortabledLeft) {
  const std::string drop_ins = directory_ + "/attached/web.service.d";
  EXPECT_CALL(bus_, AttachImage(_, _, _)).WillOnce([&](auto&&...) {
    EXPECT_TRUE(base::MakeDirectories(drop_ins).ok());
    EXPECT_TRUE(base::WriteFileAtomic(drop_ins + "/20-portable.conf", "[Service]\n").ok());
    return base::Status(Error(Code::kUnavailable, "portabled is away"));
  });
  EXPECT_CALL(bus_, DetachImage(_)).WillOnce([](auto&&) { return base::Status(base::NotFound("not attached")); });
  EXPECT_EQ(containers_->Create(Spec()).error().code(), Code::kUnavailable);
  EXPECT_THAT(*base::ListDirectory(directory_ + "/attached"), IsEmpty());
}

TEST_F(ContainerTest, RemovalTakesTheLinkThatAKilledPortabledLeft) {
  ASSERT_TRUE(containers_->Create(Spec()).ok());
  ASSERT_TRUE(base::MakeDirectories(directory_ + "/images").ok());
  ASSERT_EQ(::symlink((directory_ + "/containers/web").c_str(), (directory_ + "/images/web").c_str()), 0);
  EXPECT_CALL(bus_, DetachImage(_)).WillOnce([](auto&&) { return base::Status(base::NotFound("not attached")); });
  ASSERT_TRUE(containers_->Remove("web").ok());
  EXPECT_THAT(*base::ListDirectory(directory_ + "/images"), IsEmpty());
}

TEST_F(ContainerTest, SecondCreationDoesNotDisturbTheFirst) {
  ASSERT_TRUE(containers_->Create(Spec()).ok());
  EXPECT_CALL(bus_, DetachImage(_)).Times(0);
  const auto again = containers_->Create(Spec());
  ASSERT_FALSE(again.ok());
  EXPECT_EQ(again.error().code(), Code::kAlreadyExists);
  EXPECT_TRUE(containers_->Find("web").ok());
}

TEST_F(ContainerTest, NamesThatAreNoUnitNamesAreRefused) {
  for (const char* name : {"", "../web", "a/b", ".web", "a b", "Web", "-a", "web\nX=1"}) {
    ContainerSpec spec = Spec();
    spec.name = name;
    const auto status = containers_->Create(spec);
    ASSERT_FALSE(status.ok()) << name;
    EXPECT_EQ(status.error().code(), Code::kInvalidArgument);
  }
}

TEST_F(ContainerTest, BadResourcesAreRefusedBeforeAnythingIsMade) {
  ContainerSpec spec = Spec();
  spec.resources.cpuset_cpus = "x";
  EXPECT_CALL(bus_, AttachImage(_, _, _)).Times(0);
  EXPECT_EQ(containers_->Create(spec).error().code(), Code::kInvalidArgument);
}

TEST_F(ContainerTest, StartGivesTheRunningContainer) {
  CreateAndStart();
  const auto found = containers_->Find("web");
  ASSERT_TRUE(found.ok());
  EXPECT_EQ(found->state, Container::State::kRunning);
  EXPECT_EQ(found->pid, 4711);
  EXPECT_EQ(found->cgroup, "/test.slice/web.service");
  EXPECT_EQ(found->started_at, 1'700'000'000'000'000'000);
  EXPECT_CALL(bus_, StartUnit(_)).Times(0);
  EXPECT_TRUE(containers_->Start("web").ok()) << "a repeated start finds it running";
}

TEST_F(ContainerTest, ProgramThatEndsAtOnceHasStarted) {
  StartsAs(Ended(CLD_EXITED, 3, "exit-code"));
  ASSERT_TRUE(containers_->Create(Spec()).ok());
  const auto started = containers_->Start("web");
  ASSERT_TRUE(started.ok()) << started.error().message();
  EXPECT_EQ(started->state, Container::State::kExited);
  EXPECT_EQ(started->exit.code, 3);
  ASSERT_EQ(Exits().size(), 1U);
  EXPECT_EQ(*base::ReadFile(cgroup_ + "/cgroup.kill", 10), "1") << "what it left behind is killed";
}

TEST_F(ContainerTest, WhatInitReportedIsTheErrorOfTheStart) {
  ServiceState state = Running(4711);
  // init says that it is about to run the program, and takes it back.
  ON_CALL(bus_, StartUnit(kUnit)).WillByDefault([&](const std::string& unit) {
    bus_.Tell(unit, state);
    state.status_text = "error NotFound: exec /bin/nope: No such file or directory";
    bus_.Tell(unit, state);
    state.main_pid = 0;
    state.exit_code = CLD_EXITED;
    state.exit_status = 1;
    bus_.Tell(unit, state);
    return base::Result<std::string>("failed");
  });
  ASSERT_TRUE(containers_->Create(Spec()).ok());
  const Error error = StartError();
  EXPECT_EQ(error.code(), Code::kNotFound);
  EXPECT_THAT(error.message(), HasSubstr("exec /bin/nope: No such file or directory"));
  EXPECT_THAT(Exits(), IsEmpty());
  EXPECT_EQ(containers_->Find("web")->state, Container::State::kCreated);
  EXPECT_EQ(base::ReadFile(directory_ + "/containers/web/starting", 10).error().code(), Code::kNotFound);
}

TEST_F(ContainerTest, FailuresOfSystemdAreTold) {
  ServiceState state;
  state.exit_code = CLD_EXITED;
  state.exit_status = 226;
  state.result = "exit-code";
  StartsAs(state, "failed");
  ASSERT_TRUE(containers_->Create(Spec()).ok());
  EXPECT_THAT(StartError().message(), AllOf(HasSubstr("mount namespace"), HasSubstr("226")));
  state = {};
  state.result = "oom-kill";
  StartsAs(state, "failed");
  EXPECT_EQ(StartError().code(), Code::kResourceExhausted);
  state.result = "timeout";
  StartsAs(state, "timeout");
  EXPECT_EQ(StartError().code(), Code::kDeadlineExceeded);
  ON_CALL(bus_, StartUnit(kUnit)).WillByDefault([](auto&&) {
    return base::Result<std::string>(Error(Code::kUnavailable, "the bus is gone"));
  });
  EXPECT_EQ(StartError().code(), Code::kUnavailable);
}

TEST_F(ContainerTest, ExitIsToldOnceAndKept) {
  CreateAndStart();
  const ServiceState ended = Ended(CLD_EXITED, 42, "exit-code");
  bus_.Tell(kUnit, ended);
  bus_.Tell(kUnit, ended);
  ASSERT_EQ(Exits().size(), 1U);
  EXPECT_EQ(Exits()[0].first, "web");
  EXPECT_EQ(Exits()[0].second.code, 42);
  EXPECT_EQ(Exits()[0].second.signal, 0);
  EXPECT_EQ(Exits()[0].second.finished_at, 1'700'000'005'000'000'000);
  EXPECT_EQ(*base::ReadFile(cgroup_ + "/cgroup.kill", 10), "1");

  // The unit may be unloaded by the time that the daemon comes back.
  Restart();
  EXPECT_CALL(bus_, GetService(_)).Times(0);
  const auto found = containers_->Find("web");
  ASSERT_TRUE(found.ok());
  EXPECT_EQ(found->state, Container::State::kExited);
  EXPECT_EQ(found->exit.code, 42);
  EXPECT_EQ(found->exit.started_at, 1'700'000'000'000'000'000);
  EXPECT_EQ(containers_->Start("web").error().code(), Code::kFailedPrecondition);
}

TEST_F(ContainerTest, ExitsAreMapped) {
  for (const auto& [state, code, signal, oom] :
       {std::tuple(Ended(CLD_EXITED, 0), 0, 0, false), std::tuple(Ended(CLD_EXITED, 255, "exit-code"), 255, 0, false),
        std::tuple(Ended(CLD_KILLED, SIGTERM), 143, SIGTERM, false),
        std::tuple(Ended(CLD_DUMPED, SIGSEGV, "core-dump"), 139, SIGSEGV, false),
        std::tuple(Ended(CLD_KILLED, SIGKILL, "oom-kill"), 137, SIGKILL, true),
        std::tuple(Ended(CLD_EXITED, 1, "oom-kill"), 137, SIGKILL, true)}) {
    CreateAndStart();
    const size_t before = Exits().size();
    bus_.Tell(kUnit, state);
    ASSERT_EQ(Exits().size(), before + 1);
    EXPECT_EQ(Exits().back().second.code, code);
    EXPECT_EQ(Exits().back().second.signal, signal);
    EXPECT_EQ(Exits().back().second.oom_killed, oom);
    ASSERT_TRUE(containers_->Remove("web").ok());
  }
}

TEST_F(ContainerTest, AKillOfTheMainProcessAloneForWantOfMemoryIsTold) {
  const auto write_kills = [](const std::string& cgroup, int count) {
    const std::string events = "low 0\nmax 7\noom 1\noom_kill " + std::to_string(count) + "\noom_group_kill 0\n";
    ASSERT_TRUE(base::WriteFileAtomic(cgroup + "/memory.events", events).ok());
  };
  const std::string slice = directory_ + "/cgroup/test.slice";
  const ServiceState killed = Ended(CLD_KILLED, SIGKILL, "signal");
  for (const auto& [at_start, at_end, state, oom] :
       {std::tuple(5, 6, killed, true), std::tuple(5, 3, killed, false), std::tuple(3, 3, killed, false),
        std::tuple(5, 6, Ended(CLD_KILLED, SIGTERM, "signal"), false), std::tuple(5, 6, Ended(CLD_EXITED, 0), false)}) {
    write_kills(slice, at_start);
    CreateAndStart();
    write_kills(slice, at_end);
    const size_t before = Exits().size();
    bus_.Tell(kUnit, state);
    ASSERT_EQ(Exits().size(), before + 1);
    EXPECT_EQ(Exits().back().second.oom_killed, oom) << at_start << " " << at_end;
    ASSERT_TRUE(containers_->Remove("web").ok());
  }
  // Also when it was killed before its start was answered.
  write_kills(slice, 5);
  ASSERT_TRUE(containers_->Create(Spec()).ok());
  ON_CALL(bus_, StartUnit(kUnit)).WillByDefault([&](const std::string& unit) {
    bus_.Tell(unit, Running(4711));
    write_kills(slice, 6);
    bus_.Tell(unit, killed);
    return base::Result<std::string>("done");
  });
  ASSERT_TRUE(containers_->Start("web").ok());
  EXPECT_TRUE(containers_->Find("web")->exit.oom_killed);
  ASSERT_TRUE(containers_->Remove("web").ok());
  // And when it ended while the daemon was away.
  write_kills(slice, 5);
  CreateAndStart();
  write_kills(slice, 6);
  Restart();
  ON_CALL(bus_, GetService(kUnit)).WillByDefault(Return(base::Result<ServiceState>(killed)));
  EXPECT_TRUE(containers_->Find("web")->exit.oom_killed);
  EXPECT_EQ(containers_->Find("web")->exit.code, 137);
}

TEST_F(ContainerTest, ContainerCannotHideItsExitByChangingTheStatusText) {
  CreateAndStart();
  ServiceState state = Running(4711);
  state.status_text = "error NotFound: nothing to see here";
  bus_.Tell(kUnit, state);
  EXPECT_EQ(containers_->Find("web")->state, Container::State::kRunning);
  Restart();
  ON_CALL(bus_, GetService(kUnit)).WillByDefault(Return(base::Result<ServiceState>(state)));
  EXPECT_EQ(containers_->Find("web")->state, Container::State::kRunning);
  state.main_pid = 0;
  state.exit_code = CLD_EXITED;
  state.exit_status = 5;
  bus_.Tell(kUnit, state);
  ASSERT_EQ(Exits().size(), 1U);
  EXPECT_EQ(Exits()[0].second.code, 5);
}

TEST_F(ContainerTest, StopSendsTheContainersOwnSignalAndWaits) {
  StartsAs(Running(4711));
  ContainerSpec spec = Spec();
  spec.stop_signal = "SIGQUIT";
  ASSERT_TRUE(containers_->Create(spec).ok());
  ASSERT_TRUE(containers_->Start("web").ok());
  EXPECT_CALL(bus_, KillMainProcess(kUnit, SIGQUIT)).WillOnce([&](const std::string& unit, int) {
    bus_.Tell(unit, Ended(CLD_EXITED, 0));
    return base::Ok();
  });
  EXPECT_TRUE(containers_->Stop("web", "", 10s).ok());
  EXPECT_EQ(containers_->Find("web")->state, Container::State::kExited);
  EXPECT_TRUE(containers_->Stop("web", "", 10s).ok()) << "what has ended needs no stopping";
}

TEST_F(ContainerTest, StopKillsEverythingAfterTheGracePeriod) {
  CreateAndStart();
  const std::jthread kernel = KernelThatKills();
  EXPECT_CALL(bus_, KillMainProcess(kUnit, SIGINT));
  const auto begin = std::chrono::steady_clock::now();
  EXPECT_TRUE(containers_->Stop("web", "INT", 50ms).ok());
  EXPECT_GE(std::chrono::steady_clock::now() - begin, 50ms);
  EXPECT_EQ(containers_->Find("web")->exit.code, 137);
}

TEST_F(ContainerTest, StopWithoutGraceKillsAtOnce) {
  CreateAndStart();
  const std::jthread kernel = KernelThatKills();
  EXPECT_CALL(bus_, KillMainProcess(_, _)).Times(0);
  EXPECT_TRUE(containers_->Stop("web", "", 0ms).ok());
}

TEST_F(ContainerTest, StopOfWhatDoesNotRunIsNoError) {
  EXPECT_TRUE(containers_->Stop("there-is-none", "", 1s).ok());
  ASSERT_TRUE(containers_->Create(Spec()).ok());
  EXPECT_CALL(bus_, KillMainProcess(_, _)).Times(0);
  EXPECT_TRUE(containers_->Stop("web", "", 1s).ok());
}

TEST_F(ContainerTest, StopRefusesUnknownSignals) {
  CreateAndStart();
  EXPECT_EQ(containers_->Stop("web", "SIGNOPE", 1s).error().code(), Code::kInvalidArgument);
}

TEST_F(ContainerTest, RemovalTakesEverythingAndIsRepeatable) {
  CreateAndStart();
  std::jthread kernel = KernelThatKills();
  {
    const testing::InSequence sequence;
    EXPECT_CALL(bus_, StopUnit(kUnit));
    EXPECT_CALL(bus_, ResetFailedUnit(kUnit));
    EXPECT_CALL(bus_, DetachImage(directory_ + "/containers/web"));
  }
  ASSERT_TRUE(containers_->Remove("web").ok());
  EXPECT_THAT(*base::ListDirectory(directory_ + "/containers"), IsEmpty());
  EXPECT_THAT(*base::ListDirectory(directory_), ElementsAre("cgroup", "containers", "units"));
  EXPECT_THAT(*base::ListDirectory(directory_ + "/units"), IsEmpty());
  EXPECT_FALSE(bus_.Watches(kUnit));
  EXPECT_TRUE(containers_->Remove("web").ok());
  EXPECT_TRUE(containers_->Remove("there-is-none").ok());
  kernel.join();
  EXPECT_EQ(Exits().size(), 1U);
}

TEST_F(ContainerTest, RemovalGoesOnWhereACrashEndedIt) {
  ASSERT_TRUE(containers_->Create(Spec()).ok());
  Restart();
  ON_CALL(bus_, StopUnit(_)).WillByDefault([](auto&&) {
    return base::Result<std::string>(base::NotFound("unit not loaded"));
  });
  ON_CALL(bus_, ResetFailedUnit(_)).WillByDefault([](auto&&) { return base::Status(base::NotFound("not loaded")); });
  ON_CALL(bus_, DetachImage(_)).WillByDefault([](auto&&) { return base::Status(base::NotFound("not attached")); });
  ASSERT_TRUE(base::RemoveTree(directory_ + "/upper").ok());
  EXPECT_TRUE(containers_->Remove("web").ok());
  EXPECT_THAT(*base::ListDirectory(directory_ + "/containers"), IsEmpty());
}

TEST_F(ContainerTest, FailedRemovalKeepsTheBundleForTheNextTry) {
  ASSERT_TRUE(containers_->Create(Spec()).ok());
  EXPECT_CALL(bus_, DetachImage(_))
      .WillOnce([](auto&&) { return base::Status(Error(Code::kUnavailable, "portabled is away")); })
      .WillOnce([](auto&&) { return base::Ok(); });
  EXPECT_EQ(containers_->Remove("web").error().code(), Code::kUnavailable);
  EXPECT_TRUE(containers_->Find("web").ok());
  EXPECT_TRUE(containers_->Remove("web").ok());
}

TEST_F(ContainerTest, NewRunOfTheDaemonFindsWhatThereIs) {
  CreateAndStart();
  ContainerSpec other = Spec();
  other.name = "never-started";
  ASSERT_TRUE(containers_->Create(other).ok());
  Restart();
  EXPECT_CALL(bus_, ListUnits("*.service"))
      .WillOnce(Return(base::Result<std::vector<std::string>>(std::vector<std::string>{kUnit, "ssh.service"})));
  ServiceState state = Running(4711);
  state.cgroup = "/test.slice/web.service";
  EXPECT_CALL(bus_, GetService(kUnit)).WillOnce(Return(base::Result<ServiceState>(state)));
  const auto list = containers_->List();
  ASSERT_TRUE(list.ok());
  ASSERT_EQ(list->size(), 2U);
  EXPECT_EQ(list->at("web").state, Container::State::kRunning);
  EXPECT_EQ(list->at("web").pid, 4711);
  EXPECT_EQ(list->at("web").cgroup, "/test.slice/web.service");
  EXPECT_EQ(list->at("never-started").state, Container::State::kCreated);
  bus_.Tell(kUnit, Ended(CLD_EXITED, 1, "exit-code"));
  EXPECT_EQ(Exits().size(), 1U);
  EXPECT_EQ(containers_->List()->at("web").exit.code, 1);
}

TEST_F(ContainerTest, EndWhileTheDaemonWasAwayIsFoundAndNotAnnounced) {
  CreateAndStart();
  Restart();
  ON_CALL(bus_, GetService(kUnit)).WillByDefault(Return(base::Result<ServiceState>(Ended(CLD_EXITED, 0))));
  EXPECT_EQ(containers_->Find("web")->state, Container::State::kExited);
  EXPECT_EQ(containers_->Find("web")->exit.code, 0);
  EXPECT_THAT(Exits(), IsEmpty());
}

TEST_F(ContainerTest, EndThatNobodySawHasAnUnknownExitCode) {
  CreateAndStart();
  Restart();
  const auto list = containers_->List();
  ASSERT_TRUE(list.ok());
  EXPECT_EQ(list->at("web").state, Container::State::kExited);
  EXPECT_EQ(list->at("web").exit.code, 255);
  EXPECT_GT(list->at("web").exit.finished_at, 0);
}

TEST_F(ContainerTest, StartThatFailedWhileTheDaemonWasAwayIsNoRun) {
  StartsAs(Running(4711));
  ASSERT_TRUE(containers_->Create(Spec()).ok());
  ASSERT_TRUE(base::WriteFileAtomic(directory_ + "/containers/web/starting", "").ok());
  Restart();
  ServiceState state = Ended(CLD_EXITED, 1, "exit-code");
  state.status_text = "error NotFound: exec /bin/nope";
  ON_CALL(bus_, GetService(kUnit)).WillByDefault(Return(base::Result<ServiceState>(state)));
  EXPECT_EQ(containers_->Find("web")->state, Container::State::kCreated);
}

TEST_F(ContainerTest, StartThatWasCutOffBeforeTheProgramRanCanBeRepeated) {
  ASSERT_TRUE(containers_->Create(Spec()).ok());
  for (const std::string user : {"", "uid=0"}) {
    ASSERT_TRUE(base::WriteFileAtomic(directory_ + "/containers/web/starting", "").ok());
    ASSERT_TRUE(base::WriteFileAtomic(directory_ + "/containers/web/user", user).ok());
    Restart();
    EXPECT_EQ(containers_->Find("web")->state, Container::State::kCreated);
  }
  StartsAs(Running(4711));
  EXPECT_EQ(containers_->Start("web")->state, Container::State::kRunning);
}

TEST_F(ContainerTest, EndOfAStartThatWasCutOffAfterTheProgramRanIsAnEnd) {
  ASSERT_TRUE(containers_->Create(Spec()).ok());
  ASSERT_TRUE(base::WriteFileAtomic(directory_ + "/containers/web/starting", "").ok());
  ASSERT_TRUE(base::WriteFileAtomic(directory_ + "/containers/web/user", FormatIdentity(Identity())).ok());
  Restart();
  EXPECT_EQ(containers_->Find("web")->state, Container::State::kExited);
}

TEST_F(ContainerTest, UserOfAStartThatFailedIsForgotten) {
  ASSERT_TRUE(containers_->Create(Spec()).ok());
  ASSERT_TRUE(base::WriteFileAtomic(directory_ + "/containers/web/user", FormatIdentity(Identity())).ok());
  ServiceState failed = Ended(CLD_EXITED, 1, "exit-code");
  failed.status_text = "error NotFound: exec /bin/nope";
  StartsAs(failed, "failed");
  EXPECT_FALSE(containers_->Start("web").ok());
  EXPECT_NE(access((directory_ + "/containers/web/user").c_str(), F_OK), 0);
}

TEST_F(ContainerTest, UpdateReachesTheUnitAndTheCgroup) {
  CreateAndStart();
  ASSERT_TRUE(base::WriteFileAtomic(cgroup_ + "/memory.oom.group", "1").ok());
  ASSERT_TRUE(base::WriteFileAtomic(cgroup_ + "/io.max", "").ok());
  Resources resources;
  resources.memory_limit = 4096;
  resources.unified = {{"memory.oom.group", "0"}, {"io.max", "8:0 rbps=1"}};
  EXPECT_CALL(bus_, SetUnitProperties(kUnit, ElementsAre(Setting{"MemoryMax", uint64_t{4096}}))).Times(2);
  const auto status = containers_->Update("web", resources);
  ASSERT_TRUE(status.ok()) << status.error().message();
  EXPECT_EQ(*base::ReadFile(cgroup_ + "/memory.oom.group", 10), "0");
  EXPECT_EQ(*base::ReadFile(cgroup_ + "/io.max", 100), "8:0 rbps=1");
  resources.unified = {{"misc.max", "1"}};
  const auto missing = containers_->Update("web", resources);
  ASSERT_FALSE(missing.ok());
  EXPECT_EQ(missing.error().code(), Code::kInvalidArgument);
  EXPECT_THAT(missing.error().message(), HasSubstr("misc.max"));
}

TEST_F(ContainerTest, CgroupFilesAreWrittenAtTheStart) {
  StartsAs(Running(4711));
  ContainerSpec spec = Spec();
  spec.resources.unified = {{"io.max", "8:0 rbps=1"}, {"rdma.max", "x"}};
  // Without the controller there is nothing to limit, and the kubelet sends these always.
  spec.resources.hugepage_limits = {{"2MB", 0}};
  ASSERT_TRUE(containers_->Create(spec).ok());
  Resources update;
  update.unified = {{"rdma.max", "y"}};
  ASSERT_TRUE(containers_->Update("web", update).ok());
  for (const char* file : {"/io.max", "/rdma.max"}) ASSERT_TRUE(base::WriteFileAtomic(cgroup_ + file, "").ok());
  const auto started = containers_->Start("web");
  ASSERT_TRUE(started.ok()) << started.error().message();
  EXPECT_EQ(*base::ReadFile(cgroup_ + "/io.max", 100), "8:0 rbps=1");
  EXPECT_EQ(*base::ReadFile(cgroup_ + "/rdma.max", 100), "y");
}

TEST_F(ContainerTest, ContainerWhoseLimitsCannotBeSetDoesNotRun) {
  StartsAs(Running(4711));
  ContainerSpec spec = Spec();
  spec.resources.unified = {{"misc.max", "res_a 1"}};
  ASSERT_TRUE(containers_->Create(spec).ok());
  const std::jthread kernel = KernelThatKills();
  const Error error = StartError();
  EXPECT_EQ(error.code(), Code::kInvalidArgument);
  EXPECT_THAT(error.message(), HasSubstr("misc.max"));
  EXPECT_EQ(containers_->Find("web")->state, Container::State::kExited);
}

TEST_F(ContainerTest, SignalsAfterTheContainersAreGoneAreHarmless) {
  CreateAndStart();
  containers_.reset();
  bus_.Tell(kUnit, Ended(CLD_EXITED, 1));
  EXPECT_THAT(Exits(), IsEmpty());
}

}  // namespace
}  // namespace nspawn
