// The directory that systemd-nspawn runs every machine's pause program in.
#pragma once

#include <string>

#include "base/result.h"

namespace nspawn {

// Makes the skeleton of a root directory at `root`, with a copy of the program `pause` as "/pause". One that is there
// already is kept when its program is the same, and replaced in one step when it is not; machines that run in the old
// one keep it open. Nothing half made is ever seen under `root`.
base::Status MakePauseRoot(const std::string& root, const std::string& pause);

}  // namespace nspawn
