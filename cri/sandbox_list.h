// A pod sandbox as CRI shows it.
#pragma once

#include "cri/runtime.h"

namespace cri {

void FillSandboxStatus(const SandboxRecord& record, v1::PodSandboxStatus& status);

}  // namespace cri
