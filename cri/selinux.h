// SELinux labels of containers. Where SELinux is off there are none, whatever a pod asks for.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "cri/container_spec.h"

namespace cri {

struct SelinuxLabels {
  std::string process;
  std::string mount;
};

// The labels of a container by the defaults of the policy, which `contexts` has in the form of lxc_contexts ("process =
// "…"", "file = "…""), and what the options say instead. Without a level in the options, each pod has two categories of
// its own, chosen by its id. kInvalidArgument for an option that cannot be part of a label.
base::Result<SelinuxLabels> MakeSelinuxLabels(std::string_view contexts, const v1::SELinuxOption& options,
                                              const std::string& sandbox_id);

// Gives a file, or all below a directory on the same mount, a label, without following symbolic links.
// kInvalidArgument for a directory of the system itself, which a label for containers would break.
base::Status Relabel(const std::string& path, const std::string& label);

// Where SELinux is on: fills the labels of the specification, and labels the volumes that ask for it.
base::Status AddSelinux(const ContainerSources& sources, nspawn::ContainerSpec& spec);

}  // namespace cri
