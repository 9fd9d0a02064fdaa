#include "nspawn/machine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include "base/files.h"
#include "mock_bus.h"

namespace nspawn {
namespace {

using base::Code;
using base::Error;
using ::testing::_;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::NiceMock;
using ::testing::Not;
using ::testing::Return;

constexpr char kUnit[] = "default-web-0123456789ab.service";

class MachineTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/machine_test.XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    directory_ = name;
    options_.root = directory_ + "/pause-root";
    options_.pause = directory_ + "/pause";
    options_.proc_root = directory_ + "/proc";
    ASSERT_TRUE(base::WriteFileAtomic(options_.pause, "program", 0755).ok());
    MakeProcess("100", "200 ");
    Restart();
    ON_CALL(bus_, StartTransientUnit(_, _))
        .WillByDefault([this](const std::string& unit, const std::vector<Setting>& settings) {
          settings_ = settings;
          bus_.Tell(unit, Running(100));
          return base::Result<std::string>("done");
        });
  }
  void TearDown() override {
    machines_.reset();
    EXPECT_TRUE(base::RemoveTree(directory_).ok());
  }

  void MakeProcess(const std::string& supervisor, const std::string& children) {
    const std::string task = options_.proc_root + "/" + supervisor + "/task/" + supervisor;
    ASSERT_TRUE(base::MakeDirectories(task).ok());
    ASSERT_TRUE(base::WriteFileAtomic(task + "/children", children).ok());
    const std::string namespaces = options_.proc_root + "/200/ns";
    ASSERT_TRUE(base::MakeDirectories(namespaces).ok());
    for (const char* kind : {"/pid", "/ipc", "/uts", "/user"})
      ASSERT_TRUE(base::WriteFileAtomic(namespaces + kind, "").ok());
  }

  void Restart() {
    auto machines = Machines::Make(bus_, options_);
    ASSERT_TRUE(machines.ok()) << machines.error().message();
    machines_ = *std::move(machines);
    machines_->OnEnd([this](const std::string& name) { ends_.push_back(name); });
  }

  static MachineSpec Spec() {
    MachineSpec spec;
    spec.name = "default-web-0123456789ab";
    spec.slice = "kubepods.slice";
    spec.hostname = "web";
    spec.network_namespace = "/run/netns/cni-1";
    return spec;
  }

  Command StartedCommand() {
    for (const Setting& setting : settings_) {
      if (setting.name == "ExecStart") return std::get<std::vector<Command>>(setting.value).at(0);
    }
    return {};
  }
  std::vector<std::string> StartedEnvironment() {
    for (const Setting& setting : settings_) {
      if (setting.name == "Environment") return std::get<std::vector<std::string>>(setting.value);
    }
    return {};
  }

  std::string directory_;
  MachineOptions options_;
  NiceMock<MockBus> bus_;
  std::unique_ptr<Machines> machines_;
  std::vector<Setting> settings_;
  std::vector<std::string> ends_;
};

TEST_F(MachineTest, StartGivesTheLeaderAndItsNamespaces) {
  MachineSpec spec = Spec();
  spec.uuid = "3f2b8c1e-1111-4222-8333-123456789abc";
  EXPECT_CALL(bus_, RegisterMachine(spec.name,
                                    testing::ElementsAre(0x3f, 0x2b, 0x8c, 0x1e, 0x11, 0x11, 0x42, 0x22, 0x83, 0x33,
                                                         0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc),
                                    200, options_.root));
  const auto machine = machines_->Start(spec);
  ASSERT_TRUE(machine.ok()) << machine.error().message();
  EXPECT_TRUE(machine->running);
  EXPECT_EQ(machine->leader, 200);
  EXPECT_EQ(machine->cgroup, std::string("/test.slice/") + kUnit);
  EXPECT_NE(machine->pid_namespace, 0U);
  EXPECT_NE(machine->pid_namespace, machine->ipc_namespace);
  EXPECT_THAT(StartedCommand(),
              AllOf(Contains("--machine=default-web-0123456789ab"), Contains("--hostname=web"), Contains("--read-only"),
                    Contains("--uuid=3f2b8c1e-1111-4222-8333-123456789abc"), Contains("--drop-capability=all"),
                    Contains("--network-namespace-path=/run/netns/cni-1"), Contains("--directory=" + options_.root)));
  EXPECT_EQ(StartedCommand().back(), "/pause");
  EXPECT_THAT(settings_,
              AllOf(Contains(Setting{"Slice", std::string("kubepods.slice")}), Contains(Setting{"Delegate", true}),
                    Contains(Setting{"CollectMode", std::string("inactive-or-failed")})));
  EXPECT_THAT(StartedEnvironment(), Contains("SYSTEMD_SECCOMP=0"));
  EXPECT_EQ(machines_->Find(spec.name)->leader, 200);
}

TEST_F(MachineTest, AUserNamespaceComesWithANetworkNamespace) {
  MachineSpec spec = Spec();
  spec.network_namespace.clear();
  spec.user_namespace = IdMapping{.host_id = 200000, .container_id = 0, .length = 65536};
  const auto machine = machines_->Start(spec);
  ASSERT_TRUE(machine.ok()) << machine.error().message();
  EXPECT_NE(machine->user_namespace, 0U);
  EXPECT_THAT(StartedCommand(), AllOf(Contains("--private-users=200000:65536"), Contains("--private-network"),
                                      Contains("--private-users-ownership=off")));
  EXPECT_THAT(StartedCommand(), Not(Contains(HasSubstr("--network-namespace-path"))));
}

TEST_F(MachineTest, AUserNamespaceIsSharedWithNoOther) {
  MachineSpec spec = Spec();
  spec.user_namespace = IdMapping{.host_id = 200000, .container_id = 0, .length = 65536};
  EXPECT_EQ(machines_->Start(spec).error().code(), Code::kInvalidArgument);
  spec.network_namespace.clear();
  spec.host_pid = true;
  EXPECT_EQ(machines_->Start(spec).error().code(), Code::kInvalidArgument);
  spec.host_pid = false;
  spec.user_namespace->container_id = 1;
  EXPECT_EQ(machines_->Start(spec).error().code(), Code::kInvalidArgument);
}

TEST_F(MachineTest, IdsThatAreNoUuidsAreMadeIntoOneAlwaysTheSame) {
  const auto uuid = [&](const std::string& name, const std::string& id) {
    MachineSpec spec = Spec();
    spec.name = name;
    spec.uuid = id;
    EXPECT_TRUE(machines_->Start(spec).ok());
    EXPECT_TRUE(machines_->Stop(spec.name).ok());
    for (const std::string& word : StartedCommand()) {
      if (word.starts_with("--uuid=")) return word;
    }
    return std::string();
  };
  EXPECT_THAT(uuid("a", ""),
              testing::MatchesRegex("--uuid=[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"));
  EXPECT_EQ(uuid("a", ""), uuid("a", ""));
  EXPECT_NE(uuid("a", ""), uuid("b", ""));
  EXPECT_NE(uuid("a", "static-pod-hash"), uuid("a", ""));
  EXPECT_NE(uuid("a", "00000000-0000-0000-0000-000000000000"), "--uuid=00000000-0000-0000-0000-000000000000");
}

TEST_F(MachineTest, SystemdIsNotAskedToStopWhatItDoesNotKnow) {
  EXPECT_CALL(bus_, IsLoaded(kUnit)).WillOnce(testing::Return(base::Result<bool>(false)));
  EXPECT_CALL(bus_, StopUnit(_)).Times(0);
  EXPECT_TRUE(machines_->Stop(Spec().name).ok());
}

TEST_F(MachineTest, AMachineThatCannotBeRegisteredIsStopped) {
  EXPECT_CALL(bus_, RegisterMachine(_, _, _, _)).WillOnce([](auto&&...) { return base::Internal("machined is gone"); });
  EXPECT_CALL(bus_, StopUnit(kUnit));
  const auto machine = machines_->Start(Spec());
  ASSERT_FALSE(machine.ok());
  EXPECT_THAT(machine.error().message(), HasSubstr("machined is gone"));
}

TEST_F(MachineTest, SharedNamespacesAreAskedFor) {
  MachineSpec spec = Spec();
  spec.network_namespace.clear();
  spec.host_pid = spec.host_ipc = spec.host_uts = true;
  ASSERT_TRUE(machines_->Start(spec).ok());
  EXPECT_THAT(StartedEnvironment(),
              AllOf(Contains("SYSTEMD_NSPAWN_SHARE_NS_PID=1"), Contains("SYSTEMD_NSPAWN_SHARE_NS_IPC=1"),
                    Contains("SYSTEMD_NSPAWN_SHARE_NS_UTS=1")));
  for (const std::string& word : StartedCommand()) {
    EXPECT_THAT(word, AllOf(Not(HasSubstr("--hostname")), Not(HasSubstr("--network"))));
  }
}

TEST_F(MachineTest, RefusesWhatACommandLineCannotSay) {
  const auto refused = [&](const auto& change) {
    MachineSpec spec = Spec();
    change(spec);
    const auto machine = machines_->Start(spec);
    return !machine.ok() && machine.error().code() == Code::kInvalidArgument;
  };
  EXPECT_CALL(bus_, StartTransientUnit(_, _)).Times(0);
  for (const char* name : {"", "a b", "-a", "a.b", "../a", "a\nb", "$a"}) {
    EXPECT_TRUE(refused([&](MachineSpec& spec) { spec.name = name; })) << name;
  }
  EXPECT_TRUE(refused([](MachineSpec& spec) { spec.name = std::string(65, 'a'); }));
  for (const char* hostname : {"$HOME", "a b", "-a", "a..b", "a\n", ".a"}) {
    EXPECT_TRUE(refused([&](MachineSpec& spec) { spec.hostname = hostname; })) << hostname;
  }
  for (const char* path : {"relative", "/run/${X}", "/run/a b"}) {
    EXPECT_TRUE(refused([&](MachineSpec& spec) { spec.network_namespace = path; })) << path;
  }
}

TEST_F(MachineTest, FailedStartSaysWhyAndLeavesNothing) {
  EXPECT_CALL(bus_, StartTransientUnit(_, _))
      .WillOnce([this](const std::string& unit, const auto&) {
        ServiceState state = Ended(CLD_EXITED, 1, "exit-code");
        state.status_text.clear();
        bus_.Tell(unit, state);
        return base::Result<std::string>("failed");
      })
      .WillRepeatedly(testing::DoDefault());
  EXPECT_CALL(bus_, StopUnit(kUnit));
  const auto machine = machines_->Start(Spec());
  ASSERT_FALSE(machine.ok());
  EXPECT_THAT(machine.error().message(), AllOf(HasSubstr("default-web-0123456789ab"), HasSubstr("exit status 1")));
  EXPECT_FALSE(bus_.Watches(kUnit));
  EXPECT_THAT(ends_, IsEmpty());
  EXPECT_TRUE(machines_->Start(Spec()).ok()) << "the name is free again";
}

TEST_F(MachineTest, FailedStartWithHighIdsNamesThem) {
  EXPECT_CALL(bus_, StartTransientUnit(_, _)).WillRepeatedly([this](const std::string& unit, const auto&) {
    bus_.Tell(unit, Ended(CLD_EXITED, 1, "exit-code"));
    return base::Result<std::string>("failed");
  });
  for (const auto& [host_id, named] : {std::pair{uint32_t{3003908096}, true}, std::pair{uint32_t{200000}, false}}) {
    MachineSpec spec = Spec();
    spec.network_namespace.clear();
    spec.user_namespace = IdMapping{.host_id = host_id, .container_id = 0, .length = 65536};
    const auto machine = machines_->Start(spec);
    ASSERT_FALSE(machine.ok());
    EXPECT_EQ(machine.error().message().find(std::to_string(host_id)) != std::string::npos, named)
        << machine.error().message();
  }
}

TEST_F(MachineTest, UnitOfSomebodyElseIsNotStopped) {
  EXPECT_CALL(bus_, StartTransientUnit(_, _)).WillOnce([](auto&&...) {
    return base::Result<std::string>(Error(Code::kAlreadyExists, "Unit was already loaded"));
  });
  EXPECT_CALL(bus_, StopUnit(_)).Times(0);
  EXPECT_EQ(machines_->Start(Spec()).error().code(), Code::kAlreadyExists);
}

TEST_F(MachineTest, SecondStartIsRefused) {
  ASSERT_TRUE(machines_->Start(Spec()).ok());
  EXPECT_EQ(machines_->Start(Spec()).error().code(), Code::kAlreadyExists);
  EXPECT_TRUE(machines_->Find(Spec().name).ok());
}

TEST_F(MachineTest, EndIsToldOnce) {
  ASSERT_TRUE(machines_->Start(Spec()).ok());
  bus_.Tell(kUnit, Ended(CLD_EXITED, 0));
  bus_.Tell(kUnit, Ended(CLD_EXITED, 0));
  EXPECT_THAT(ends_, ElementsAre(Spec().name));
  EXPECT_EQ(machines_->Find(Spec().name).error().code(), Code::kNotFound);
}

TEST_F(MachineTest, NewRunOfTheDaemonFindsTheMachine) {
  ASSERT_TRUE(machines_->Start(Spec()).ok());
  Restart();
  ON_CALL(bus_, GetService(kUnit)).WillByDefault(Return(base::Result<ServiceState>(Running(100))));
  const auto found = machines_->Find(Spec().name);
  ASSERT_TRUE(found.ok()) << found.error().message();
  EXPECT_EQ(found->leader, 200);
  bus_.Tell(kUnit, Ended(CLD_KILLED, SIGKILL));
  EXPECT_THAT(ends_, ElementsAre(Spec().name));
}

TEST_F(MachineTest, StopIsRepeatable) {
  ASSERT_TRUE(machines_->Start(Spec()).ok());
  EXPECT_TRUE(machines_->Stop(Spec().name).ok());
  ON_CALL(bus_, StopUnit(_)).WillByDefault([](auto&&) {
    return base::Result<std::string>(base::NotFound("not loaded"));
  });
  EXPECT_TRUE(machines_->Stop(Spec().name).ok());
  ON_CALL(bus_, StopUnit(_)).WillByDefault([](auto&&) {
    return base::Result<std::string>(Error(Code::kDeadlineExceeded, "no answer"));
  });
  EXPECT_EQ(machines_->Stop(Spec().name).error().code(), Code::kDeadlineExceeded);
}

TEST_F(MachineTest, SupervisorWithoutALeaderIsNoMachine) {
  MakeProcess("100", "200 201 ");
  const auto machine = machines_->Start(Spec());
  ASSERT_FALSE(machine.ok());
  EXPECT_THAT(machine.error().message(), HasSubstr("200 201"));
}

}  // namespace
}  // namespace nspawn
