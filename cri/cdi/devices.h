// The devices that the CDI specification files of this node describe.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "cri/cdi/spec.h"

namespace cri::cdi {

// What the devices `names` ("vendor.com/class=device") do to a container, in their order, the edits of a specification
// before those of its devices and once.
//
// The files named *.json and *.yaml in `directories` are read now: nothing is watched. A device in a later directory
// replaces one of the same name in an earlier one; one that two files of the same directory describe is neither's.
// Files that are broken count as missing, but their errors are part of that for a device that cannot be found.
// kInvalidArgument for a name that is none, kNotFound naming every device that there is not, kUnimplemented for one
// whose edits cannot be made.
base::Result<ContainerEdits> ResolveDevices(const std::vector<std::string>& directories,
                                            const std::vector<std::string>& names);

}  // namespace cri::cdi
