// Suites of many pods at a time.
#pragma once

#include "suites.h"

namespace bench {

struct CrowdSuites {
  bool memory = false, list = false, idle = false, mounts = false, scale = false;
};

// `memory`, `list`, `idle`, `mounts` and `scale`, on the same pods. One runtime of each node: two would be counted
// together.
base::Status MeasureCrowd(const Run& run, const CrowdSuites& suites);

}  // namespace bench
