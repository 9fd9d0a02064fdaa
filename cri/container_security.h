// What confines a container: capabilities and system-call filter.
#pragma once

#include "base/result.h"
#include "cri/runtime.h"

namespace cri {

// Kept capabilities of a security context (add, drop, "ALL", privileged). kInvalidArgument for a name that there is
// not.
base::Result<nspawn::Capabilities> MakeCapabilities(const v1::LinuxContainerSecurityContext& security);

// The system-call filter, for `spec` whose capabilities are set. As with containerd, a privileged container has none
// whatever is asked for, and neither has one for which nothing is said. kInvalidArgument, kNotFound and kUnimplemented
// say what is wrong with a profile.
base::Status AddSeccomp(const v1::LinuxContainerSecurityContext& security, nspawn::ContainerSpec& spec);

}  // namespace cri
