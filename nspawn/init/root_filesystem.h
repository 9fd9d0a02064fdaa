// The container's root filesystem, from the layers of its image to being the root of its mount namespace.
#pragma once

#include <string>

#include "base/fd.h"
#include "base/result.h"
#include "nspawn/init/host_tree.h"
#include "nspawn/process_spec.h"

namespace nspawn {

// The directory of the bundle at which a container's root filesystem is made.
inline constexpr char kRootMountPoint[] = "/rootfs";

// Mounts the overlay at `mount_point`, in the present mount namespace, whose mounts must be private, and gives its
// root. Image volumes become members of HostTree::mounts, detached: each the overlay of an image's layers, read-only,
// or what its sub path names inside of that.
base::Result<base::UniqueFd> MountImages(const ProcessSpec& spec, HostTree& tree, const std::string& mount_point);

// Makes `root` the root of the mount namespace and of this process, and lets go of all that was there before.
base::Status EnterRoot(int root);

}  // namespace nspawn
