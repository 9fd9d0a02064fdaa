// The spawner as a program of its own, and a process that stands for a container.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "nspawn/capabilities.h"
#include "nspawn/process/namespaces.h"
#include "nspawn/process_spec.h"
#include "nspawn/spawner.h"
#include "temporary_directory.h"

namespace nspawn {

class SpawnerRun : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "the spawner needs root";
    auto started = Spawner::Start(SPAWNER_PROGRAM);
    ASSERT_TRUE(started.ok()) << started.error().message();
    spawner_ = *std::move(started);
  }

  static ProgramRequest Shell(const std::string& script) {
    ProgramRequest request;
    request.program = "/bin/sh";
    request.arguments = {"sh", "-c", script};
    request.timeout = std::chrono::seconds(20);
    return request;
  }

  std::unique_ptr<Spawner> spawner_;
};

// A process in namespaces and a cgroup of its own stands for a container.
class SpawnerExec : public SpawnerRun {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "the spawner needs root";
    // The spawner, started below, inherits this view of the cgroup tree; the machine's own may be of the first version.
    ASSERT_EQ(::unshare(CLONE_NEWNS), 0);
    ASSERT_EQ(::mount(nullptr, "/", nullptr, MS_PRIVATE | MS_REC, nullptr), 0);
    // EBUSY: a test before this one did it.
    if (::mount("cgroup2", "/sys/fs/cgroup", "cgroup2", 0, nullptr) != 0 && errno != EBUSY) {
      GTEST_SKIP() << "no cgroup of version 2 can be mounted here";
    }
    cgroup_ = "/cri-nspawn-test-" + std::to_string(::getpid());
    ASSERT_EQ(::mkdir(("/sys/fs/cgroup" + cgroup_).c_str(), 0755), 0);
    int ready[2];
    ASSERT_EQ(::pipe2(ready, O_CLOEXEC), 0);
    base::UniqueFd ready_read(ready[0]);
    base::UniqueFd ready_write(ready[1]);
    const base::UniqueFd group(::open(("/sys/fs/cgroup" + cgroup_).c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    const auto pid =
        CloneProcess(CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP, group.get());
    ASSERT_TRUE(pid.ok()) << pid.error().message();
    if (*pid == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (::mount("proc", "/proc", "proc", 0, nullptr) != 0 ||
          ::mount("devpts", "/dev/pts", "devpts", 0, "newinstance,ptmxmode=0666,mode=0620,gid=5") != 0 ||
          ::sethostname("inside", 6) != 0) {
        ::_exit(1);
      }
      ready_write.reset();
      ::signal(SIGCHLD, SIG_IGN);  // orphans leave no zombies
      while (true) ::pause();
    }
    pid_ = *pid;
    ready_write.reset();
    char byte = 0;
    ASSERT_EQ(::read(ready_read.get(), &byte, 1), 0);
    SpawnerRun::SetUp();

    spec_.environment = {"PATH=/usr/bin:/bin", "GREETING=hello"};
    spec_.user.uid = 1000;
    spec_.user.gid = 1000;
    spec_.user.strict_groups = true;
    spec_.capabilities.bounding = kDefaultCapabilities;
    spec_.working_directory = "/tmp";
    spec_.no_new_privileges = true;
    spec_.oom_score_adjust = 321;
    WriteSpec();
  }
  void TearDown() override {
    if (pid_ != 0) {
      ::kill(pid_, SIGKILL);
      ::waitpid(pid_, nullptr, 0);
    }
    for (int i = 0; !cgroup_.empty() && i < 100 && ::rmdir(("/sys/fs/cgroup" + cgroup_).c_str()) != 0; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
  }

  void WriteSpec() const { bundle_.Write("spec", Encode(spec_)); }
  ExecRequest Request(std::vector<std::string> arguments) const {
    ExecRequest request;
    request.bundle = bundle_.path();
    request.pid = pid_;
    request.cgroup = cgroup_;
    request.arguments = std::move(arguments);
    request.timeout = std::chrono::seconds(20);
    return request;
  }
  base::Result<ProcessOutput> Exec(const std::string& script) const {
    return spawner_->Exec(Request({"sh", "-c", script}), {});
  }
  std::string Output(const std::string& script) const {
    const auto result = Exec(script);
    return result.ok() ? result->standard_output + result->standard_error : result.error().message();
  }

  TemporaryDirectory bundle_;
  ProcessSpec spec_;
  std::string cgroup_;
  pid_t pid_ = 0;
};

}  // namespace nspawn
