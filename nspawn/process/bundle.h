// The files of a container's bundle that say what its processes are like.
#pragma once

#include <string>

#include "base/result.h"
#include "nspawn/process_spec.h"

namespace nspawn {

struct Bundle {
  ProcessSpec spec;
  std::string seccomp;  // the filter's bytes when spec.seccomp
};

// Reads "spec" and, when it asks for one, the filter in "seccomp".
base::Result<Bundle> ReadBundle(const std::string& directory);

}  // namespace nspawn
