// Where the time of a start goes, for a daemon that writes a trace.
//
// Such a daemon has put an empty file "steps" into the bundle. Each step that is done becomes a line of it:
// microseconds of CLOCK_MONOTONIC, a space and the name.
#pragma once

#include <string_view>

namespace nspawn {

// To be called in the bundle.
void OpenSteps();
// Costs nothing where nobody wants to know.
void StepDone(std::string_view name);

}  // namespace nspawn
