// Statistics of a pod as a whole.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "cri/runtime.h"
#include "nspawn/statistics.h"

namespace cri {

struct SandboxUsage {
  // Of the pod's slice when that is the pod's own, as a kubelet makes it; else the sum of the pod's units.
  nspawn::Statistics statistics;
  // The slice or, for a sum, the machine's unit, below /sys/fs/cgroup.
  std::string cgroup;
  // Of the pod's network namespace, without the loopback device; empty on the host's network.
  std::vector<nspawn::NetworkInterface> interfaces;
};

// Whether all that runs in the sandbox's slice is the pod's.
bool HasOwnSlice(const Runtime& runtime, const SandboxRecord& record);

// Nothing when the sandbox is not ready or ends just now.
std::optional<SandboxUsage> ReadSandbox(const Runtime& runtime, const SandboxRecord& record);

}  // namespace cri
