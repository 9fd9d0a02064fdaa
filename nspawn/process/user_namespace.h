// User namespaces of pods, and mounts whose ids are mapped by a user namespace.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "nspawn/process/root_path.h"
#include "nspawn/process/user.h"
#include "nspawn/process_spec.h"

namespace nspawn {

// What a container's id is on the host; nothing for one that is not mapped.
std::optional<uint32_t> ToHostId(const std::vector<IdMapping>& mappings, uint32_t id);

bool HasUserNamespace(const ProcessSpec& spec);

// The host's ids of the container's root: those of root itself where the container has no user namespace of its own.
Owner RootOwner(const ProcessSpec& spec);

// A user namespace with these mappings and without a process, to map the ids of mounts by. `proc` is a procfs of the
// caller's PID namespace. Forks: for single-threaded processes.
base::Result<base::UniqueFd> MakeUserNamespace(int proc, const std::vector<IdMapping>& uids,
                                               const std::vector<IdMapping>& gids);

// Maps the ids on a detached mount that has never been attached. kFailedPrecondition when its file system does not
// support that on this kernel.
base::Status MapIds(int mount, int user_namespace);

// Becomes root of the user namespace that this process has just joined, with all capabilities in it and none outside.
base::Status BecomeRootInside();

// For a container with a user namespace, before that is joined: kInvalidArgument when it does not map the user or a
// group.
base::Status CheckMapped(const ProcessSpec& spec, const Identity& identity);
// Gives a descriptor that is a pipe to the user, which nobody inside could; any other is left alone. The user is
// mapped.
base::Status GivePipe(const ProcessSpec& spec, const Identity& identity, int fd);

}  // namespace nspawn
