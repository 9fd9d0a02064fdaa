// Suites of pods and commands that come and go.
#pragma once

#include "suites.h"

namespace bench {

// `start` and `stop`: pods one after another, each stopped before the next. PID 1's share and mounts for `mounts`.
base::Status MeasureStartAndStop(const Run& run);
// `start-host`: the same in the host's network.
base::Status MeasureStartHost(const Run& run);
// `burst`: 50 pods by 8 clients until all run.
base::Status MeasureBurst(const Run& run);
// `exec`: `true`, 20 in parallel and 20 one after another.
base::Status MeasureExec(const Run& run);

}  // namespace bench
