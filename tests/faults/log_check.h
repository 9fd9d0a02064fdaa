// Whether every numbered line is in a container's log once and in order.
#pragma once

#include <string>

#include "base/result.h"
#include "model.h"

namespace faults {

// Reads the log and the files it was renamed to. `ended`: the container writes no more, so that nothing may be missing.
base::Status CheckLog(const ContainerModel& container, bool ended);

}  // namespace faults
