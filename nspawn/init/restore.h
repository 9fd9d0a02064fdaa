// A container out of a checkpoint: criu(8) makes its processes, in the place of executing the program.
//
// criu is a program of the host, which needs the host's files. So the root filesystem with all its mounts is made in a
// copy of the host's mount namespace, where nobody else sees it, and criu takes it from there into the mount namespace
// that it makes for the container. The pod's namespaces are those that criu itself is in.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "nspawn/criu.h"
#include "nspawn/init/setup.h"

namespace nspawn {

// In a process of its own, which has joined the pod's namespaces and ends after it: makes the container's processes and
// gives the first one's number. They are stopped, so that the service manager can be told of them first. criu has ended
// by then, and they are children of the service manager. Whom the program ran as is written to the bundle.
base::Result<int> RestoreProcesses(const Setup& setup, const Restore& restore);

// Lets all processes of the PID namespace of `pid` go on. `proc` is a procfs of the host's PID namespace.
base::Status ResumeProcesses(int proc, int pid);

// The command line of criu for it. `mounts` are the mount points of the container, made below its "rootfs"; the streams
// that the checkpoint names are at the descriptors kFirstStream and those that follow.
std::vector<std::string> RestoreArguments(const Restore& restore, const std::vector<std::string>& mounts,
                                          const std::string& apparmor_profile);
inline constexpr int kFirstStream = 3;

}  // namespace nspawn
