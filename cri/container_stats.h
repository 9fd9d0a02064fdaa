// Statistics of a container.
#pragma once

#include <optional>

#include "cri/runtime.h"
#include "nspawn/statistics.h"

namespace cri {

// What the cgroup of a container tells, or nothing when it does not run: it may end at any moment.
std::optional<nspawn::Statistics> ReadContainer(const Runtime& runtime, const ContainerRecord& record);
// Nothing when it cannot be read, or has too many files to count them on every call.
std::optional<nspawn::DiskUsage> ReadWritableLayer(const Runtime& runtime, const ContainerRecord& record);

// Fills `stats` from the cgroup and the writable layer of a container. What cannot be read is left out.
void FillContainerStats(Runtime& runtime, const ContainerRecord& record, v1::ContainerStats& stats);

}  // namespace cri
