// What confines a container: capabilities, system-call filter and AppArmor.
#pragma once

#include "base/result.h"
#include "cri/runtime.h"

namespace cri {

// Kept capabilities of a security context (add, drop, "ALL", privileged), beginning with those of the handler.
// kInvalidArgument for a name that there is not.
base::Result<nspawn::Capabilities> MakeCapabilities(const v1::LinuxContainerSecurityContext& security,
                                                    const RuntimeHandler& handler);

// The system-call filter, for `spec` whose capabilities are set. As with containerd, a privileged container has none
// whatever is asked for, and neither has one for which nothing is said. kInvalidArgument, kNotFound and kUnimplemented
// say what is wrong with a profile.
base::Status AddSeccomp(const v1::LinuxContainerSecurityContext& security, const RuntimeHandler& handler,
                        nspawn::ContainerSpec& spec);

// The AppArmor profile, empty for none; `apparmor` is null where there is no AppArmor. As with containerd, a container
// has the default profile where nothing is said, but a privileged one only a profile that it names. kNotFound for a
// profile that is not loaded, kFailedPrecondition where it cannot be had.
base::Result<std::string> MakeAppArmorProfile(const v1::LinuxContainerSecurityContext& security,
                                              const nspawn::AppArmor* apparmor);

}  // namespace cri
