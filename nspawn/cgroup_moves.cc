#include "nspawn/cgroup_moves.h"

#include <unistd.h>

#include <condition_variable>
#include <mutex>
#include <stop_token>
#include <string>
#include <thread>

#include "nspawn/cgroup_file.h"
#include "nspawn/checkpoint.h"

namespace nspawn {
namespace {

constexpr char kRoot[] = "/sys/fs/cgroup";

class Mover {
 public:
  void Expect() {
    {
      const std::lock_guard lock(mutex_);
      expected_ = true;
    }
    changed_.notify_one();
  }

 private:
  void Run(const std::stop_token& stop) {
    const auto cgroup = CgroupOf(::getpid());
    if (!cgroup.ok()) return;
    const std::string directory = kRoot + *cgroup;
    std::unique_lock lock(mutex_);
    while (changed_.wait(lock, stop, [this] { return expected_; })) {
      expected_ = false;
      lock.unlock();
      (void)WriteCgroupFile(directory, "cgroup.procs", "0");
      lock.lock();
    }
  }

  std::mutex mutex_;
  std::condition_variable_any changed_;
  bool expected_ = false;  // guarded by mutex_
  std::jthread thread_{[this](const std::stop_token& stop) { Run(stop); }};
};

}  // namespace

void ExpectCgroupMove() {
  // With this program of its own for what a process needs before its start, systemd makes processes in their groups
  // (since version 256). That would only have to wait for a move here: both need the lock of all groups.
  static const bool moves = ::access("/usr/lib/systemd/systemd-executor", F_OK) != 0;
  if (!moves) return;
  static Mover mover;
  mover.Expect();
}

}  // namespace nspawn
