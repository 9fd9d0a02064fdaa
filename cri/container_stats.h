// Statistics of a container as CRI has them.
#pragma once

#include "cri/runtime.h"

namespace cri {

// Fills `stats` from the cgroup and the writable layer of a container. What cannot be read is left out: a container may
// end at any moment.
void FillContainerStats(Runtime& runtime, const ContainerRecord& record, v1::ContainerStats& stats);

}  // namespace cri
