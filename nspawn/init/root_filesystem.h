// The container's root filesystem, from the layers of its image to being the root of its mount namespace.
#pragma once

#include "base/fd.h"
#include "base/result.h"
#include "nspawn/init/host_tree.h"

namespace nspawn {

// Mounts the overlay at /rootfs of the bundle, in the present mount namespace, whose mounts must be private, and gives
// its root.
base::Result<base::UniqueFd> MountRoot(HostTree& tree);

// Makes `root` the root of the mount namespace and of this process, and lets go of all that was there before.
base::Status EnterRoot(int root);

}  // namespace nspawn
