// The container's /dev.
#pragma once

#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "nspawn/process/root_path.h"
#include "nspawn/process_spec.h"

namespace nspawn {

// A detached tmpfs with the device nodes and links that every container has, and empty directories for what is mounted
// below /dev. All of it is `owner`'s; `label` is SELinux', or empty.
base::Result<base::UniqueFd> MakeDeviceTree(Owner owner = {}, const std::string& label = {});

// A device node that could not be made, since the unit's device policy allows its use only: to be mounted from the
// host.
struct BoundDevice {
  std::string path;  // relative to the device tree, where an empty file stands for it
  base::UniqueFd mount;
};

// Adds the devices of the specification, and for a privileged container all of the host, to a device tree. To be
// called in the host's mount namespace. Nodes that the tree has already are left as they are.
base::Result<std::vector<BoundDevice>> AddHostDevices(const ProcessSpec& spec, int device_tree);

// The tree's own "null", for masking files. The check that it is the null device guards against any mistake before.
base::Result<base::UniqueFd> OpenNullDevice(int device_tree);

}  // namespace nspawn
