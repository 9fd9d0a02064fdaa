// Checkpoints of running containers, taken by criu(8).
//
// criu runs on the host, in the host's mount and PID namespaces but in the container's network, IPC and UTS namespaces.
// Those belong to the pod: criu takes them for its own and leaves them out, as the restored container gets those of its
// own pod. For the same reason every mount is left out but the root and procfs, and so are the FIFOs of the streams.
#pragma once

#include <sys/types.h>

#include <array>
#include <string>
#include <vector>

#include "base/result.h"
#include "nspawn/criu.h"
#include "nspawn/process_spec.h"
#include "nspawn/spawner.h"

namespace nspawn {

struct CheckpointRequest {
  std::string bundle;  // the container's bundle directory
  pid_t pid = 0;       // the container's process, as the host sees it
  std::string cgroup;  // of the container's unit, below /sys/fs/cgroup
  // The process of the pod's machine. criu runs in its cgroup: there it outlives the daemon, whose end in the middle
  // would else be the container's, and uses none of the container's memory.
  pid_t pod_leader = 0;
  std::string images_directory;  // empty; criu writes its images and "dump.log" there
  std::string layer_archive;     // the writable layer, packed while no process of the container runs
  std::string helper;            // the program of checkpoint_main.cc
};

// How a checkpoint calls the FIFOs of the container's descriptors 0 to 2: "file[2a:1f]", a mount and an inode in
// hexadecimal. Empty for one that is no FIFO of the runtime.
using StreamNames = std::array<std::string, 3>;

// The cgroup (v2) of a process, as "/machine.slice/…".
base::Result<std::string> CgroupOf(pid_t pid);

// The absolute path of criu; kUnimplemented when the node has none.
base::Result<std::string> FindCriu();

// kFailedPrecondition for a container that no checkpoint can be taken of, or that could not be restored.
base::Status CheckDumpable(const ProcessSpec& spec);

// Stops the container's processes, writes their state and packs the writable layer, and lets them go on. That cannot be
// broken off without harm to the container, so there is no timeout. Gives what is needed to restore it. Thread-safe.
base::Result<StreamNames> TakeCheckpoint(Spawner& spawner, const CheckpointRequest& request);

// The command line of criu for it.
std::vector<std::string> DumpArguments(const CheckpointRequest& request, const std::string& criu,
                                       const std::vector<std::string>& external_mounts, const StreamNames& streams);

// Whether `text` is the name of a stream as in StreamNames, or empty.
bool IsStreamName(const std::string& text);

}  // namespace nspawn
