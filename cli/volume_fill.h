// The first content of the volumes that an image names.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "base/result.h"

namespace cli {

// Makes each directory on the host that does not exist yet, and fills it with what the image has at the volume's path:
// owners, modes, times and extended attributes as well. `volumes` are pairs of a path in the image and a directory on
// the host. A directory that is there is left as it is, whatever is in it. After a crash, one is there with all its
// content or not at all. `layers` are the image's, lowest first.
base::Status FillVolumes(const std::vector<std::string>& layers,
                         const std::vector<std::pair<std::string, std::string>>& volumes);

}  // namespace cli
