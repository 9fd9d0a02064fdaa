// The container's root filesystem, from the layers of its image to being the root of its mount namespace.
#pragma once

#include <string>

#include "base/fd.h"
#include "base/result.h"
#include "nspawn/init/id_maps.h"
#include "nspawn/init/mounts.h"
#include "nspawn/process_spec.h"

namespace nspawn {

// The directory of the bundle at which a container's root filesystem is made.
inline constexpr char kRootMountPoint[] = "/rootfs";

struct RootFilesystem {
  base::UniqueFd root;
  OwnFilesystems own;
};

// Makes the root filesystem with all that is mounted in it at `mount_point`, in the present mount namespace, whose
// mounts become private, and with the privileges of the host's root. The other namespaces are the container's. It is
// writable still. `proc` is a procfs of the host's PID namespace.
base::Result<RootFilesystem> MakeRootFilesystem(const ProcessSpec& spec, int proc, const IdMaps& maps,
                                                const std::string& mount_point);

base::Status MakeReadOnly(int root);

// Makes a mount namespace, of which the bundle at `path` becomes the root.
base::Status EnterBundle(const std::string& path);

// Makes `root` the root of the mount namespace and of this process, and lets go of all that was there before.
base::Status EnterRoot(int root);

}  // namespace nspawn
