// How a start's time grows with the pods of a node.
#pragma once

#include "suites.h"

namespace bench {

// `scale`: the starts of 200 pods that stay, of one runtime after the other: the pods of one would be work for the
// kernel that the other runs on.
base::Status MeasureScale(const Run& run);

}  // namespace bench
