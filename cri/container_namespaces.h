// The namespaces of a container: its own, its pod's, another container's or the host's.
#pragma once

#include "base/result.h"
#include "cri/container_spec.h"

namespace cri {

base::Status SetNamespaces(const ContainerSources& sources, nspawn::ContainerSpec& spec);

}  // namespace cri
