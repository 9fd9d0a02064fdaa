// Resources of a container as settings of its unit.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "nspawn/bus.h"
#include "nspawn/container.h"

namespace nspawn {

struct ResourceSettings {
  struct Entry {
    std::string line;  // of the unit's [Service] section: "MemoryMax=1024"
    Setting setting;   // the same for SetUnitProperties()
  };
  std::vector<Entry> unit;
  // memory.oom.group: whether the kernel kills all of the container's processes together.
  std::optional<bool> oom_group;
  // What systemd has no setting for: file of the cgroup → value.
  std::vector<std::pair<std::string, std::string>> files;
};

// kInvalidArgument names the value that makes no sense. A value of 0 counts as absent where CRI has it so.
base::Result<ResourceSettings> MapResources(const Resources& resources);

// CPUWeight= (1..10000) of cgroup v1 shares (2..262144), by the curve that maps 1024 shares to the default weight of
// 100, as the OCI runtimes and the kubelet use it (github.com/opencontainers/cgroups, ConvertCPUSharesToCgroupV2Value).
uint64_t CpuWeightOfShares(uint64_t shares);

}  // namespace nspawn
