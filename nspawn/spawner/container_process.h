// A further process in a running container.
#pragma once

#include <sys/resource.h>

#include <array>

#include "base/fd.h"
#include "base/result.h"
#include "nspawn/spawner/protocol.h"

namespace nspawn {

// What of the container is found before the process is made.
struct ContainerHandles {
  base::UniqueFd process;  // pidfd of the container's process
  base::UniqueFd pid_namespace;
  base::UniqueFd cgroup;
  std::array<rlimit, RLIM_NLIMITS> limits{};
};

// kFailedPrecondition when the process does not run, or is none of the cgroup that is named.
base::Result<ContainerHandles> FindContainer(int proc, const SpawnRequest& request);

// In the new process, which is in the container's PID namespace and cgroup: enters its other namespaces, becomes its
// user as the bundle's specification says, and executes the request's command. The master of a terminal that was asked
// for goes to `answers` before. Returns only when that failed.
base::Error ExecuteInContainer(int proc, const SpawnRequest& request, const ContainerHandles& container, int answers);

}  // namespace nspawn
