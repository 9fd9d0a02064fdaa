// What a container takes from the host's mount tree, as detached clones of its mounts.
//
// init runs in the mount namespace that its unit made, where of the host only the bundle is left. It enters the host's
// namespace just long enough to clone what it needs: nothing is ever mounted there.
#pragma once

#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "nspawn/init/devices.h"
#include "nspawn/init/id_maps.h"
#include "nspawn/process_spec.h"

namespace nspawn {

struct HostTree {
  // The directory above all layers, those of image volumes included, with all that is mounted below, and with the ids
  // of the pod's user namespace. Those of the writable layer are as on the host: overlayfs writes there as root of the
  // host, whom the mapping would not know.
  base::UniqueFd layers;
  // The layers relative to `layers`: of the root filesystem, and for each of ProcessSpec::mounts those of its image.
  std::vector<std::string> layer_directories;
  std::vector<std::vector<std::string>> image_layers;
  // The directory above the writable layer, and what overlayfs needs of that relative to it.
  base::UniqueFd writable;
  std::string upper_directory;
  std::string work_directory;
  // One for each of ProcessSpec::mounts, with its propagation, read-only attributes and mapped ids. Those of images are
  // absent until the root filesystem is made.
  std::vector<base::UniqueFd> mounts;
  std::vector<BoundDevice> devices;
  // Present when the container shares it.
  base::UniqueFd shared_memory;
  // Present for a privileged container: the host's /sys/fs/cgroup.
  base::UniqueFd cgroup;
};

struct HostTreeRequest {
  const ProcessSpec& spec;
  int proc;         // a procfs of the host's PID namespace
  int own;          // the caller's mount namespace, to go back to
  int device_tree;  // the container's /dev, still detached: device nodes of the host are made in it
  const IdMaps& maps;
};

base::Result<HostTree> TakeFromHost(const HostTreeRequest& request);

}  // namespace nspawn
