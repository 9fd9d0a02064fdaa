#include "nspawn/cgroup_moves.h"

#include <condition_variable>
#include <mutex>
#include <stop_token>
#include <string>
#include <thread>

#include "base/files.h"
#include "base/text.h"
#include "nspawn/cgroup_file.h"

namespace nspawn {
namespace {

constexpr char kRoot[] = "/sys/fs/cgroup";

// Of this process, in the hierarchy of version 2 (cgroups(7), /proc/[pid]/cgroup).
std::string OwnCgroup() {
  const auto content = base::ReadFile("/proc/self/cgroup", 1 << 16);
  if (!content.ok()) return {};
  for (const std::string_view line : base::Split(*content, '\n')) {
    if (line.starts_with("0::/")) return std::string(line.substr(3));
  }
  return {};
}

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
    const std::string directory = kRoot + OwnCgroup();
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
  static Mover mover;
  mover.Expect();
}

}  // namespace nspawn
