// The user namespaces by which mounts of a container are mapped.
#pragma once

#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "nspawn/process_spec.h"

namespace nspawn {

struct IdMaps {
  // The pod's user namespace, which maps the image's layers. Absent: the host's.
  base::UniqueFd pod;
  // One for each of ProcessSpec::mounts, absent for one whose ids are as on the host.
  std::vector<base::UniqueFd> mounts;
};

// `proc` is a procfs of the caller's PID namespace. Forks where a mount has a mapping of its own.
base::Result<IdMaps> OpenIdMaps(int proc, const ProcessSpec& spec);

}  // namespace nspawn
