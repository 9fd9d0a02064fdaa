// The control groups that systemd-nspawn makes below its unit's.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <map>
#include <mutex>
#include <stop_token>
#include <string>
#include <thread>

#include "base/result.h"

namespace nspawn {

// systemd-nspawn keeps itself and what it runs apart, in the control groups "supervisor" and "payload", for the sake of
// a systemd inside. A pod has none: there they would only cost the kernel memory, and a kubelet, which reads the files
// of every control group again and again, processor time. Moves the processes to the unit's own control group and
// removes the two, some seconds after the last start: the kernel makes a move wait for milliseconds, and forks with it.
// Nothing is lost when that does not happen. Thread-safe.
class MachineCgroups {
 public:
  // `root`: where control groups are mounted. `quiet`: for how long nothing has been added before it begins.
  explicit MachineCgroups(std::string root, std::chrono::milliseconds quiet = std::chrono::seconds(10));

  // `cgroup`: of the machine's unit, below the root.
  void MergeSoon(const std::string& machine, const std::string& cgroup);
  // A machine that has ended needs it no more.
  void Forget(const std::string& machine);

 private:
  void Run(const std::stop_token& stop);

  const std::string root_;
  const std::chrono::milliseconds quiet_;
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::map<std::string, std::string> waiting_;  // control groups by their machine; guarded by mutex_
  uint64_t added_ = 0;                          // since the start; guarded by mutex_
  std::jthread thread_;
};

// Does so for one machine at once. No error when there is nothing to do.
base::Status MergeMachineCgroups(const std::string& path);

}  // namespace nspawn
