// Machines and containers on a real systemd. Runs as root on a disposable node that has init, pause and the portable
// service profile installed; it skips itself where there is no systemd.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstdio>
#include <fstream>
#include <mutex>
#include <sstream>
#include <thread>

#include "base/files.h"
#include "base/text.h"
#include "nspawn/bus.h"
#include "nspawn/container.h"
#include "nspawn/machine.h"

namespace nspawn {
namespace {

using namespace std::chrono_literals;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using Clock = std::chrono::steady_clock;

constexpr char kLayer[] = "/run/units-node-test/layer";
constexpr char kSlice[] = "kubepods-units_test.slice";

std::string Read(const std::string& path) {
  std::ifstream file(path);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

std::string Output(const std::string& command) {
  std::string out;
  FILE* pipe = popen((command + " 2>&1").c_str(), "re");
  char buffer[4096];
  for (size_t n = 0; (n = fread(buffer, 1, sizeof buffer, pipe)) > 0;) out.append(buffer, n);
  pclose(pipe);
  return out;
}

bool Exists(const std::string& path) {
  struct stat info {};
  return lstat(path.c_str(), &info) == 0;
}

size_t Mounts() {
  const std::string mounts = Read("/proc/1/mountinfo");
  return static_cast<size_t>(std::count(mounts.begin(), mounts.end(), '\n'));
}

class Ends {
 public:
  void Add(const std::string& name, const Exit& exit = {}) {
    const std::lock_guard lock(mutex_);
    ends_.emplace_back(name, exit);
    added_.notify_all();
  }
  std::vector<std::pair<std::string, Exit>> WaitFor(size_t count) {
    std::unique_lock lock(mutex_);
    added_.wait_for(lock, 10s, [&] { return ends_.size() >= count; });
    return ends_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable added_;
  std::vector<std::pair<std::string, Exit>> ends_;
};

class UnitsOnNode : public testing::Test {
 protected:
  void SetUp() override {
    if (geteuid() != 0 || !Exists("/run/systemd/system")) GTEST_SKIP() << "needs root and a booted systemd";
    // A shell and what it needs.
    Output(
        std::string("set -e; test ! -e ") + kLayer + " || exit 0; mkdir -p " + kLayer + ".new/bin; cd " + kLayer +
        ".new; cp -L /bin/sh /bin/sleep bin/; ldd /bin/sh /bin/sleep | grep -o '/[^ :]*' | grep -v 'bin/' | sort -u | "
        "xargs cp -L --parents -t .; mv " +
        kLayer + ".new " + kLayer);
    Connect();
  }

  void TearDown() override {
    for (const std::string& name : made_) {
      if (!containers_) break;
      EXPECT_TRUE(containers_->Remove(name).ok()) << name;
    }
    for (const std::string& name : machines_made_) {
      if (!machines_) break;
      EXPECT_TRUE(machines_->Stop(name).ok()) << name;
    }
    if (bus_) {
      const auto attached =
          Output("ls /run/systemd/system.attached /run/systemd/system /run/portables /run/systemd/system.control");
      for (const std::string& name : made_) {
        EXPECT_THAT(attached, Not(HasSubstr(name)));
        EXPECT_FALSE(Exists("/run/cri-nspawn/containers/" + name));
        EXPECT_THAT(Output("systemctl list-units --all --plain --no-legend " + name + ".service"), "");
      }
      for (const std::string& name : machines_made_) {
        EXPECT_THAT(Output("systemctl list-units --all --plain --no-legend " + name + ".service"), "");
      }
    }
  }

  // As a start of the daemon.
  void Connect() {
    containers_.reset();
    machines_.reset();
    bus_.reset();
    auto bus = Bus::Connect([](const base::Error& error) { ADD_FAILURE() << error.message(); });
    ASSERT_TRUE(bus.ok()) << bus.error().message();
    bus_ = *std::move(bus);
    auto machines = Machines::Make(*bus_);
    ASSERT_TRUE(machines.ok()) << machines.error().message();
    machines_ = *std::move(machines);
    machines_->OnEnd([this](const std::string& name) { machine_ends_.Add(name); });
    auto containers = Containers::Make(*bus_);
    ASSERT_TRUE(containers.ok()) << containers.error().message();
    containers_ = *std::move(containers);
    containers_->OnExit([this](const std::string& name, const Exit& exit) { exits_.Add(name, exit); });
  }

  static std::string NewName(const std::string& what) { return ReadableName({"units", what}, base::RandomHex(6)); }

  ContainerSpec Spec(const std::string& script) {
    ContainerSpec spec;
    spec.name = NewName("container");
    spec.description = "100% \"test\" container\nof $units";
    spec.slice = kSlice;
    spec.process.container_id = spec.name;
    spec.process.arguments = {"/bin/sh", "-c", script};
    spec.process.environment = {"PATH=/usr/bin:/bin"};
    spec.process.layer_directories = {kLayer};
    const std::string directory = "/run/units-node-test/" + spec.name;
    EXPECT_TRUE(base::MakeDirectories(directory + "/upper").ok());
    EXPECT_TRUE(base::MakeDirectories(directory + "/work").ok());
    spec.process.upper_directory = directory + "/upper";
    spec.process.work_directory = directory + "/work";
    spec.metadata = {{"Namespace", "default"}, {"io.kubernetes/annotation", "line\n[Service]\nExecStart=/bin/evil\\"}};
    made_.push_back(spec.name);
    return spec;
  }

  MachineSpec Pod(const std::string& what) {
    MachineSpec spec;
    spec.name = NewName(what);
    spec.description = "Pod " + what;
    spec.slice = kSlice;
    spec.hostname = "pod-" + what;
    machines_made_.push_back(spec.name);
    return spec;
  }

  static void ExpectEnded(const Container& container, int code) {
    EXPECT_EQ(container.state, Container::State::kExited);
    EXPECT_EQ(container.exit.code, code);
    EXPECT_GT(container.exit.started_at, 1'500'000'000'000'000'000);
    EXPECT_GE(container.exit.finished_at, container.exit.started_at);
  }

  std::unique_ptr<Bus> bus_;
  std::unique_ptr<Machines> machines_;
  std::unique_ptr<Containers> containers_;
  Ends machine_ends_;
  Ends exits_;
  std::vector<std::string> made_;
  std::vector<std::string> machines_made_;
};

TEST_F(UnitsOnNode, MachineHasNamespacesOfItsOwnAndIsKnownToMachined) {
  MachineSpec spec = Pod("plain");
  spec.uuid = "3f2b8c1e-1111-4222-8333-123456789abc";
  const auto machine = machines_->Start(spec);
  ASSERT_TRUE(machine.ok()) << machine.error().message();
  EXPECT_TRUE(machine->running);
  EXPECT_EQ(Read("/proc/" + std::to_string(machine->leader) + "/comm"), "pause\n");
  struct stat own {};
  ASSERT_EQ(stat("/proc/self/ns/uts", &own), 0);
  EXPECT_NE(machine->uts_namespace, own.st_ino);
  EXPECT_THAT(machine->cgroup, HasSubstr("kubepods-units_test.slice/" + spec.name));
  EXPECT_THAT(Output("machinectl show " + spec.name), AllOf(HasSubstr("Id=3f2b8c1e111142228333123456789abc"),
                                                            HasSubstr("Leader=" + std::to_string(machine->leader))));
  EXPECT_EQ(Output("nsenter -u -t " + std::to_string(machine->leader) + " hostname"), "pod-plain\n");

  const auto again = machines_->Start(spec);
  ASSERT_FALSE(again.ok());
  EXPECT_EQ(again.error().code(), base::Code::kAlreadyExists);

  ASSERT_TRUE(machines_->Stop(spec.name).ok());
  EXPECT_EQ(machine_ends_.WaitFor(1).size(), 1U);
  EXPECT_EQ(machines_->Find(spec.name).error().code(), base::Code::kNotFound);
  EXPECT_TRUE(machines_->Stop(spec.name).ok());
}

TEST_F(UnitsOnNode, MachineSharesTheHostNamespacesThatItIsToldTo) {
  MachineSpec spec = Pod("host");
  spec.host_pid = spec.host_ipc = spec.host_uts = true;
  const auto machine = machines_->Start(spec);
  ASSERT_TRUE(machine.ok()) << machine.error().message();
  for (const auto& [kind, inode] : {std::pair("pid", machine->pid_namespace), std::pair("ipc", machine->ipc_namespace),
                                    std::pair("uts", machine->uts_namespace)}) {
    struct stat own {};
    ASSERT_EQ(stat((std::string("/proc/1/ns/") + kind).c_str(), &own), 0);
    EXPECT_EQ(inode, own.st_ino) << kind;
  }
  EXPECT_THAT(Output("machinectl list --no-legend"), HasSubstr(spec.name));
}

TEST_F(UnitsOnNode, MachineThatAnOperatorEndsIsReportedAlsoAfterARestart) {
  const MachineSpec first = Pod("first");
  const MachineSpec second = Pod("second");
  ASSERT_TRUE(machines_->Start(first).ok());
  ASSERT_TRUE(machines_->Start(second).ok());
  Output("machinectl terminate " + first.name);
  ASSERT_EQ(machine_ends_.WaitFor(1).size(), 1U);
  EXPECT_EQ(machine_ends_.WaitFor(1)[0].first, first.name);
  Connect();
  const auto found = machines_->Find(second.name);
  ASSERT_TRUE(found.ok()) << found.error().message();
  EXPECT_GT(found->leader, 1);
  Output("systemctl stop " + second.name);
  ASSERT_EQ(machine_ends_.WaitFor(2).size(), 2U);
  EXPECT_EQ(machine_ends_.WaitFor(2)[1].first, second.name);
}

TEST_F(UnitsOnNode, MachineThatCannotStartSaysWhyAndLeavesNothing) {
  MachineSpec spec = Pod("broken");
  spec.network_namespace = "/run/netns/there-is-none";
  const auto machine = machines_->Start(spec);
  ASSERT_FALSE(machine.ok());
  EXPECT_THAT(machine.error().message(), AllOf(HasSubstr(spec.name), HasSubstr("exit status 1")));
}

TEST_F(UnitsOnNode, ContainerRunsFromCreationToRemoval) {
  const size_t mounts = Mounts();
  const ContainerSpec spec = Spec("sleep 1000");
  ASSERT_TRUE(containers_->Create(spec).ok());
  auto found = containers_->Find(spec.name);
  ASSERT_TRUE(found.ok());
  EXPECT_EQ(found->state, Container::State::kCreated);
  const auto started = containers_->Start(spec.name);
  ASSERT_TRUE(started.ok()) << started.error().message();
  EXPECT_EQ(started->state, Container::State::kRunning);
  EXPECT_THAT(Read("/proc/" + std::to_string(started->pid) + "/cmdline"), HasSubstr("sleep 1000"));
  EXPECT_THAT(started->cgroup, HasSubstr(kSlice + std::string("/") + spec.name));
  EXPECT_EQ(Mounts(), mounts) << "a mount of the container is visible on the host";
  EXPECT_THAT(Output("portablectl list"), AllOf(HasSubstr(spec.name), HasSubstr("running-runtime")));
  EXPECT_THAT(Output("systemctl cat " + spec.name),
              AllOf(HasSubstr("[X-Kubernetes]\nNamespace=default\n"), Not(HasSubstr("\nExecStart=/bin/evil"))));
  EXPECT_EQ(Output("systemctl show -P Description " + spec.name), "100% \"test\" container\\x0aof $units\n");

  ASSERT_TRUE(containers_->Stop(spec.name, "", 0ms).ok());
  found = containers_->Find(spec.name);
  ASSERT_TRUE(found.ok());
  ExpectEnded(*found, 137);
  EXPECT_EQ(found->exit.signal, SIGKILL);
  EXPECT_FALSE(found->exit.oom_killed);
  EXPECT_EQ(exits_.WaitFor(1).size(), 1U);
  EXPECT_TRUE(containers_->Stop(spec.name, "", 1s).ok());
  ASSERT_TRUE(containers_->Remove(spec.name).ok());
  EXPECT_FALSE(Exists(spec.process.upper_directory));
  EXPECT_FALSE(Exists(spec.process.work_directory));
  EXPECT_EQ(containers_->Find(spec.name).error().code(), base::Code::kNotFound);
  EXPECT_TRUE(containers_->Remove(spec.name).ok());
}

TEST_F(UnitsOnNode, ExitCodesAndSignalsAreReported) {
  for (const auto& [script, code, signal] :
       {std::tuple("exit 0", 0, 0), std::tuple("exit 42", 42, 0), std::tuple("kill -ABRT $$", 134, SIGABRT),
        std::tuple("exit 255", 255, 0)}) {
    ContainerSpec spec = Spec(script);
    // A PID namespace's first process cannot be ended by a signal of its own.
    spec.process.pid.kind = NamespaceTarget::Kind::kHost;
    ASSERT_TRUE(containers_->Create(spec).ok());
    const auto started = containers_->Start(spec.name);
    ASSERT_TRUE(started.ok()) << started.error().message();
    const auto exits = exits_.WaitFor(made_.size());
    ASSERT_EQ(exits.size(), made_.size());
    EXPECT_EQ(exits.back().first, spec.name);
    EXPECT_EQ(exits.back().second.code, code) << script;
    EXPECT_EQ(exits.back().second.signal, signal) << script;
    const auto found = containers_->Find(spec.name);
    ASSERT_TRUE(found.ok());
    ExpectEnded(*found, code);
  }
}

TEST_F(UnitsOnNode, StopSendsTheSignalThenKillsAfterTheGracePeriod) {
  const ContainerSpec willing = Spec("trap 'exit 7' USR1; while :; do sleep 0.1; done");
  const ContainerSpec stubborn = Spec("trap '' TERM; while :; do sleep 0.1; done");
  for (const auto* spec : {&willing, &stubborn}) {
    ASSERT_TRUE(containers_->Create(*spec).ok());
    ASSERT_TRUE(containers_->Start(spec->name).ok());
  }
  // So that the shell has set its trap.
  std::this_thread::sleep_for(300ms);
  auto begin = Clock::now();
  ASSERT_TRUE(containers_->Stop(willing.name, "SIGUSR1", 10s).ok());
  EXPECT_LT(Clock::now() - begin, 5s);
  EXPECT_EQ(containers_->Find(willing.name)->exit.code, 7);
  begin = Clock::now();
  ASSERT_TRUE(containers_->Stop(stubborn.name, "", 500ms).ok());
  EXPECT_GE(Clock::now() - begin, 500ms);
  EXPECT_LT(Clock::now() - begin, 5s);
  EXPECT_EQ(containers_->Find(stubborn.name)->exit.code, 137);
}

TEST_F(UnitsOnNode, ProgramThatIsNotThereIsAnErrorOfItsKind) {
  ContainerSpec spec = Spec("");
  spec.process.arguments = {"/bin/there-is-no-such"};
  ASSERT_TRUE(containers_->Create(spec).ok());
  const auto started = containers_->Start(spec.name);
  ASSERT_FALSE(started.ok());
  EXPECT_EQ(started.error().code(), base::Code::kNotFound);
  EXPECT_THAT(started.error().message(), HasSubstr("/bin/there-is-no-such"));
  EXPECT_EQ(containers_->Find(spec.name)->state, Container::State::kCreated);
}

TEST_F(UnitsOnNode, LeftoverProcessesAreKilledWhenTheMainOneEnds) {
  ContainerSpec spec = Spec("sleep 2345 & exit 0");
  spec.process.pid.kind = NamespaceTarget::Kind::kHost;
  ASSERT_TRUE(containers_->Create(spec).ok());
  ASSERT_TRUE(containers_->Start(spec.name).ok());
  ASSERT_EQ(exits_.WaitFor(1).size(), 1U);
  for (int i = 0; i < 50 && Output("pgrep -f 'sleep 2345' -x") != ""; ++i) std::this_thread::sleep_for(20ms);
  EXPECT_EQ(Output("pgrep -f 'sleep 2345' -x"), "");
  EXPECT_EQ(containers_->Find(spec.name)->exit.code, 0);
}

TEST_F(UnitsOnNode, ExitsSurviveARestartOfTheDaemon) {
  const ContainerSpec before = Spec("exit 3");
  const ContainerSpec during = Spec("sleep 0.5; exit 4");
  const ContainerSpec well = Spec("sleep 0.5; exit 0");
  const ContainerSpec after = Spec("sleep 1000");
  const ContainerSpec never = Spec("exit 5");
  const ContainerSpec stopped = Spec("trap 'exit 0' TERM; while :; do sleep 0.1; done");
  for (const auto* spec : {&before, &during, &well, &after, &never, &stopped}) {
    ASSERT_TRUE(containers_->Create(*spec).ok());
    if (spec == &never) continue;
    ASSERT_TRUE(containers_->Start(spec->name).ok());
  }
  exits_.WaitFor(1);
  containers_.reset();
  bus_.reset();
  std::this_thread::sleep_for(1s);
  // An operator's stop unloads the unit, and with it all that systemd knew of the container's end.
  Output("systemctl stop " + stopped.name);
  Connect();
  const auto list = containers_->List();
  ASSERT_TRUE(list.ok()) << list.error().message();
  ExpectEnded(list->at(before.name), 3);
  ExpectEnded(list->at(during.name), 4);
  ExpectEnded(list->at(well.name), 0);
  EXPECT_EQ(list->at(after.name).state, Container::State::kRunning);
  EXPECT_GT(list->at(after.name).pid, 1);
  EXPECT_EQ(list->at(never.name).state, Container::State::kCreated);
  EXPECT_EQ(list->at(stopped.name).state, Container::State::kExited);
  EXPECT_EQ(list->at(stopped.name).exit.code, 255);
  const size_t seen = exits_.WaitFor(1).size();
  ASSERT_TRUE(containers_->Stop(after.name, "KILL", 1s).ok());
  const auto exits = exits_.WaitFor(seen + 1);
  ASSERT_EQ(exits.size(), seen + 1);
  EXPECT_EQ(exits.back().first, after.name);
}

TEST_F(UnitsOnNode, OperatorsStopIsSeen) {
  const ContainerSpec spec = Spec("trap 'exit 9' TERM; while :; do sleep 0.1; done");
  ASSERT_TRUE(containers_->Create(spec).ok());
  ASSERT_TRUE(containers_->Start(spec.name).ok());
  std::this_thread::sleep_for(300ms);
  Output("systemctl stop " + spec.name);
  const auto exits = exits_.WaitFor(1);
  ASSERT_EQ(exits.size(), 1U);
  EXPECT_EQ(exits[0].second.code, 9);
  ExpectEnded(*containers_->Find(spec.name), 9);
}

TEST_F(UnitsOnNode, ContainersOutliveAReexecutionOfSystemd) {
  const ContainerSpec spec = Spec("sleep 1000");
  ASSERT_TRUE(containers_->Create(spec).ok());
  const auto started = containers_->Start(spec.name);
  ASSERT_TRUE(started.ok());
  Output("systemctl daemon-reexec");
  kill(started->pid, SIGKILL);
  const auto exits = exits_.WaitFor(1);
  ASSERT_EQ(exits.size(), 1U);
  EXPECT_EQ(exits[0].second.code, 137);
}

TEST_F(UnitsOnNode, ResourcesReachTheUnitAndChangeWhileItRuns) {
  ContainerSpec spec = Spec("sleep 1000");
  spec.resources.cpu_shares = 512;
  spec.resources.cpu_quota = 50'000;
  spec.resources.cpu_period = 100'000;
  spec.resources.memory_limit = 64 << 20;
  spec.resources.unified = {{"memory.oom.group", "1"}, {"pids.max", "50"}};
  ASSERT_TRUE(containers_->Create(spec).ok());
  ASSERT_TRUE(containers_->Start(spec.name).ok());
  const std::string show = "systemctl show -p MemoryMax,CPUQuotaPerSecUSec,TasksMax,OOMPolicy " + spec.name;
  EXPECT_THAT(Output(show), AllOf(HasSubstr("MemoryMax=67108864"), HasSubstr("CPUQuotaPerSecUSec=500ms"),
                                  HasSubstr("TasksMax=50"), HasSubstr("OOMPolicy=kill")));
  Resources changed;
  changed.memory_limit = 128 << 20;
  changed.cpu_quota = -1;
  const auto status = containers_->Update(spec.name, changed);
  ASSERT_TRUE(status.ok()) << status.error().message();
  EXPECT_THAT(Output(show), AllOf(HasSubstr("MemoryMax=134217728"), HasSubstr("CPUQuotaPerSecUSec=infinity")));
}

TEST_F(UnitsOnNode, AnEndForWantOfMemoryIsToldWhetherAllOrOneWereKilled) {
  if (!Exists("/sys/fs/cgroup/system.slice/memory.events")) GTEST_SKIP() << "memory is not controlled on this node";
  const std::string hungry = "x=xxxxxxxx; while :; do x=$x$x; done";
  const ContainerSpec other = Spec("sleep 1000");
  ASSERT_TRUE(containers_->Create(other).ok());
  ASSERT_TRUE(containers_->Start(other.name).ok());
  size_t ended = 0;
  const auto run = [&](const std::string& script, const std::string& group) {
    ContainerSpec spec = Spec(script);
    spec.resources.memory_limit = spec.resources.memory_swap_limit = 32 << 20;
    if (!group.empty()) spec.resources.unified = {{"memory.oom.group", group}};
    EXPECT_TRUE(containers_->Create(spec).ok());
    EXPECT_TRUE(containers_->Start(spec.name).ok());
    const auto exits = exits_.WaitFor(++ended);
    EXPECT_EQ(exits.size(), ended);
    return exits.size() == ended ? exits.back().second : Exit();
  };
  for (const std::string group : {"", "0", "1"}) {
    const Exit exit = run("sleep 0.5; " + hungry, group);
    EXPECT_TRUE(exit.oom_killed) << "memory.oom.group: " << group;
    EXPECT_EQ(exit.code, 137);
  }
  const Exit outlived = run("(" + hungry + "); exit 3", "0");
  EXPECT_EQ(outlived.code, 3) << "the main process goes on when a child of it was killed";
  EXPECT_FALSE(outlived.oom_killed);
  ASSERT_TRUE(containers_->Stop(other.name, "", 0ms).ok());
  EXPECT_FALSE(exits_.WaitFor(++ended).back().second.oom_killed) << "others were killed";
}

TEST_F(UnitsOnNode, ResourcesCanChangeBeforeTheStart) {
  const ContainerSpec spec = Spec("sleep 1000");
  ASSERT_TRUE(containers_->Create(spec).ok());
  Resources changed;
  changed.memory_limit = 96 << 20;
  const auto status = containers_->Update(spec.name, changed);
  ASSERT_TRUE(status.ok()) << status.error().message();
  ASSERT_TRUE(containers_->Start(spec.name).ok());
  EXPECT_THAT(Output("systemctl show -p MemoryMax " + spec.name), HasSubstr("MemoryMax=100663296"));
}

TEST_F(UnitsOnNode, SystemdMakesNoMountNamespaceForAContainer) {
  const ContainerSpec spec = Spec("sleep 1000");
  ASSERT_TRUE(containers_->Create(spec).ok());
  ASSERT_TRUE(containers_->Start(spec.name).ok());
  EXPECT_EQ(Output("systemctl show -P BindReadOnlyPaths -P RootDirectory " + spec.name), "\n\n");
  EXPECT_THAT(Output("portablectl list"), HasSubstr(spec.name));
}

TEST_F(UnitsOnNode, AnOperatorMayDetachWhatHasEnded) {
  const ContainerSpec spec = Spec("true");
  ASSERT_TRUE(containers_->Create(spec).ok());
  Output("systemctl stop " + spec.name);
  const std::string detach = "portablectl detach --runtime --quiet /run/cri-nspawn/containers/" + spec.name;
  EXPECT_EQ(Output(detach + " 2>&1 && echo detached"), "detached\n");
}

TEST_F(UnitsOnNode, ManyContainersStartSideBySide) {
  constexpr int kCount = 40;
  std::vector<ContainerSpec> specs;
  specs.reserve(kCount);
  for (int i = 0; i < kCount; ++i) specs.push_back(Spec("sleep 1000"));
  const size_t mounts = Mounts();
  const auto begin = Clock::now();
  std::vector<std::thread> threads;
  threads.reserve(kCount);
  for (const ContainerSpec& spec : specs) {
    threads.emplace_back([&] {
      const auto created = containers_->Create(spec);
      EXPECT_TRUE(created.ok()) << created.error().message();
      const auto started = containers_->Start(spec.name);
      EXPECT_TRUE(started.ok()) << started.error().message();
    });
  }
  for (std::thread& thread : threads) thread.join();
  const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - begin);
  RecordProperty("milliseconds", static_cast<int>(took.count()));
  std::printf("%d containers created and started in %d ms\n", kCount, static_cast<int>(took.count()));
  EXPECT_EQ(Mounts(), mounts);
  EXPECT_EQ(containers_->List()->size(), static_cast<size_t>(kCount));
}

TEST_F(UnitsOnNode, Latencies) {
  const auto median = [](std::vector<double> values) {
    std::sort(values.begin(), values.end());
    return values[values.size() / 2];
  };
  std::map<std::string, std::vector<double>> times;
  const auto timed = [&](const std::string& what, const auto& function) {
    const auto begin = Clock::now();
    function();
    times[what].push_back(std::chrono::duration<double, std::milli>(Clock::now() - begin).count());
  };
  for (int i = 0; i < 20; ++i) {
    const MachineSpec pod = Pod("timed");
    timed("machine start", [&] { EXPECT_TRUE(machines_->Start(pod).ok()); });
    const ContainerSpec spec = Spec("exec sleep 1000");
    timed("container create", [&] { EXPECT_TRUE(containers_->Create(spec).ok()); });
    timed("container start", [&] { EXPECT_TRUE(containers_->Start(spec.name).ok()); });
    timed("container stop", [&] { EXPECT_TRUE(containers_->Stop(spec.name, "", 0ms).ok()); });
    timed("container remove", [&] { EXPECT_TRUE(containers_->Remove(spec.name).ok()); });
    timed("machine stop", [&] { EXPECT_TRUE(machines_->Stop(pod.name).ok()); });
  }
  for (const auto& [what, values] : times) std::printf("%-18s median %6.2f ms\n", what.c_str(), median(values));
}

}  // namespace
}  // namespace nspawn
