// Kernel parameters of pods: which there are, and to which of the pod's namespaces they belong.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "cri/runtime.h"

namespace cri {

struct Sysctls {
  std::vector<std::pair<std::string, std::string>> network;
  std::vector<std::pair<std::string, std::string>> ipc;
};

// Sorts a pod's sysctls by namespace. kInvalidArgument names one that is malformed, that is not of a namespace, or
// whose namespace is the node's.
base::Result<Sysctls> ReadSysctls(const v1::PodSandboxConfig& config);

}  // namespace cri
