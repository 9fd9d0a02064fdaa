// A client of the running daemon: what `cri-nspawnd --remove-pods` does when the package is removed from a node.
#pragma once

#include <string>

#include "base/result.h"

namespace cri {

// Removes every pod of the daemon that listens at `socket` (a path), running or not, and gives how many there were.
// Waits 30 seconds for the daemon and two minutes for each pod; the first failure is the error, when all have been
// tried.
base::Result<size_t> RemovePods(const std::string& socket);

}  // namespace cri
