// From an image to a service of the host.
#pragma once

#include <string>

#include "base/result.h"
#include "cli/portable_records.h"
#include "image/store.h"
#include "nspawn/apparmor.h"
#include "nspawn/container.h"

namespace cli {

// What a service is called for which no name is given: the last part of the repository's name, "nginx" of
// "docker.io/library/nginx:1.27". kInvalidArgument when nothing of it can be kept.
base::Result<std::string> DefaultServiceName(const std::string& reference);

// Where what a service writes lies: its writable layer, by image, and the volumes that its image names.
struct PortableData {
  std::string writable_layers;  // one directory for each image below it
  std::string volumes;
};
PortableData DataOf(const cri::Config& config, const std::string& name);
// The directory of a volume of the image ("/var/lib/data") on the host.
std::string VolumeDirectory(const PortableData& data, const std::string& volume);

// "HOST:CONTAINER" or "HOST:CONTAINER:ro", both absolute.
base::Result<nspawn::Mount> ParseVolume(const std::string& text);
// "NAME=value"
base::Status CheckVariable(const std::string& text);

// The specification of a service as HostServices takes it: what a container of a pod has by default, but in the host's
// network. `apparmor` is null where there is none.
base::Result<nspawn::ContainerSpec> MakePortableSpec(const PortableRecord& record, const image::Image& image,
                                                     const cri::Config& config, const nspawn::AppArmor* apparmor);

}  // namespace cli
