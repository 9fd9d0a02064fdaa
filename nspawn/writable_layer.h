// The upper and work directories of a container's overlay.
#pragma once

#include "base/result.h"
#include "nspawn/process_spec.h"

namespace nspawn {

// Makes what is not there yet. The root directory that the container sees is the upper one: a new one gets mode,
// owner, time and user.* attributes of the topmost layer's, in the container's own ids where it has a user namespace.
base::Status MakeWritableLayer(const ProcessSpec& spec);
base::Status RemoveWritableLayer(const ProcessSpec& spec);

}  // namespace nspawn
