// From CRI's view of a container to what nspawn/ makes of it.
#pragma once

#include <map>
#include <string>

#include "base/result.h"
#include "cri/runtime.h"

namespace cri {

// What a container's specification is made of. `sandbox` is READY.
struct ContainerSources {
  const ContainerRecord& record;
  const SandboxRecord& sandbox;
  const image::Image& image;
  std::string state_directory;  // of this container, on disk: the writable layer lies below it
  std::string sandbox_files;    // directory of the pod's hosts, resolv.conf and hostname
  // The process that namespace_options.target_id names, for the PID mode TARGET; 0 when there is none.
  int target_pid = 0;
  // The images of the mounts that have one in the place of a host path, by index of the mount.
  std::map<int, image::Image> image_volumes = {};
  // The pod's runtime handler.
  RuntimeHandler handler = {};
  // Where the files of the Container Device Interface are.
  std::vector<std::string> cdi_directories = {};
  // None where there is no AppArmor.
  const nspawn::AppArmor* apparmor = nullptr;
};

// The whole specification, or kInvalidArgument and kUnimplemented naming the field that cannot be honoured.
base::Result<nspawn::ContainerSpec> MakeContainerSpec(const ContainerSources& sources);

// The arguments by the rules of Kubernetes: a command replaces entry point and arguments of the image, arguments alone
// replace the image's arguments.
base::Result<std::vector<std::string>> MakeArguments(const v1::ContainerConfig& config,
                                                     const image::ImageConfig& image);

// Sets a variable in a list of NAME=value, in the place of one by that name.
void SetVariable(std::vector<std::string>& environment, const std::string& name, const std::string& value);

nspawn::Resources MakeResources(const v1::LinuxContainerResources& resources);

}  // namespace cri
