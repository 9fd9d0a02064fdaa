// What containers still use of a store that another process than the daemon opens.
#pragma once

#include <string>

#include "base/result.h"
#include "image/store.h"

namespace cri {

// Has each container of which there is a record below `state_directory` hold its images, as the daemon does when it
// starts, so that nothing of them is removed.
base::Status HoldForContainers(const std::string& state_directory, image::Store& store);

}  // namespace cri
