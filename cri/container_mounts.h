// The mounts of a container: its pod's files and its volumes.
#pragma once

#include "base/result.h"
#include "cri/container_spec.h"

namespace cri {

// Fills the mounts of the specification. Host paths that are missing are made. kInvalidArgument and kUnimplemented name
// the mount that cannot be honoured.
base::Status AddMounts(const ContainerSources& sources, nspawn::ContainerSpec& spec);

}  // namespace cri
