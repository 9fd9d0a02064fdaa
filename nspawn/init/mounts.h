// What is mounted inside a container's root filesystem, before it becomes the root.
#pragma once

#include "base/result.h"
#include "nspawn/init/host_tree.h"
#include "nspawn/process_spec.h"

namespace nspawn {

// File systems of the container's own, made detached in the namespaces they belong to.
struct OwnFilesystems {
  base::UniqueFd proc;
  base::UniqueFd devices;
  base::UniqueFd terminals;
  base::UniqueFd message_queues;
  base::UniqueFd shared_memory;  // absent when it is shared with the pod or the host
  base::UniqueFd sys;
  base::UniqueFd cgroup;  // absent when the container is privileged
};

// To be called in the container's PID, IPC, network and cgroup namespaces.
base::Result<OwnFilesystems> MakeFilesystems(const ProcessSpec& spec);

// Mounts all of it, the volumes, the masked and the read-only paths below `root`. All destinations are resolved inside
// it, whatever links the image holds.
base::Status MountAll(const ProcessSpec& spec, int root, OwnFilesystems& own, HostTree& tree);

}  // namespace nspawn
