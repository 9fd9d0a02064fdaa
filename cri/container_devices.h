// The devices of a container: those of the host that it is given, and those of the Container Device Interface (CDI).
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "cri/runtime.h"

namespace cri {

// Adds the devices of CRI's field. A directory stands for all device nodes below it, a link for what it leads to.
// kInvalidArgument, kNotFound and others name the device that cannot be given.
base::Status AddDevices(const v1::ContainerConfig& config, nspawn::ContainerSpec& spec);

// Makes the edits of the CDI devices that the field CDI_devices and the annotations "cdi.k8s.io/…" name, from the
// specification files in `directories`. To be called last: the edits replace variables, mounts and devices of the same
// name.
base::Status AddCdiDevices(const v1::ContainerConfig& config, const std::vector<std::string>& directories,
                           nspawn::ContainerSpec& spec);

}  // namespace cri
