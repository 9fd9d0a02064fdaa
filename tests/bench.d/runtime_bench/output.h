// Output of containers on its way to log files.
#pragma once

#include "suites.h"

namespace bench {

// `logs`: a container writes lines of 100 bytes as fast as it can.
base::Status MeasureLogs(const Run& run);

}  // namespace bench
