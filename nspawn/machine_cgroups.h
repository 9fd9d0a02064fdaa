// The control groups that systemd-nspawn makes below its unit's.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <set>
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

  // `cgroup`: of a machine's unit, below the root.
  void MergeSoon(const std::string& cgroup);

 private:
  void Run(const std::stop_token& stop);

  const std::string root_;
  const std::chrono::milliseconds quiet_;
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::set<std::string> waiting_;  // guarded by mutex_
  std::jthread thread_;
};

// Does so for one machine at once. No error when there is nothing to do.
base::Status MergeMachineCgroups(const std::string& path);

}  // namespace nspawn
