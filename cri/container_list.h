// A container as CRI shows it.
#pragma once

#include "cri/runtime.h"

namespace cri {

void FillContainerStatus(const Runtime& runtime, const ContainerRecord& record, v1::ContainerStatus& status);

}  // namespace cri
