// What the daemon's process holds.
#pragma once

#include "base/result.h"

namespace load {

struct Process {
  double memory_kib = 0;     // proportional set size: what of the memory is its own
  double anonymous_kib = 0;  // that of it which no file has
  int descriptors = 0;
  int threads = 0;
};

base::Result<int> DaemonPid();
base::Result<Process> LookAt(int pid);
// Of the node, in MiB.
base::Result<double> AvailableMemory();

}  // namespace load
