// What a node's processes use, read from outside.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "base/result.h"
#include "target.h"

namespace bench {

// CPU seconds of every process that the node has or had.
base::Result<double> NodeCpu(const Target& target);
// CPU seconds of its PID 1.
base::Result<double> ManagerCpu(const Target& target);
// Lines in the mount table of its PID 1.
base::Result<int> MountCount(const Target& target);

struct ProcessUsage {
  double pss = 0;  // MiB
  double cpu = 0;  // seconds
  uint64_t wakeups = 0;
};

// The processes that the node has, by name, those that run in containers' stead left out.
base::Result<std::map<std::string, ProcessUsage>> UsageByName(const Target& target);

}  // namespace bench
