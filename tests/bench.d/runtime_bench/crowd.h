// Suites of many pods at a time.
#pragma once

#include "suites.h"

namespace bench {

struct CrowdSuites {
  bool memory = false, list = false, idle = false, mounts = false;
};

// `memory`, `list`, `idle` and `mounts`, on the same pods. One runtime of each node: two would be counted
// together.
base::Status MeasureCrowd(const Run& run, const CrowdSuites& suites);

}  // namespace bench
