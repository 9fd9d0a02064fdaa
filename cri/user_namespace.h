// User namespaces of pods (NamespaceOption.userns_options): what is accepted, and what it means.
#pragma once

#include <optional>

#include "base/result.h"
#include "cri/runtime.h"

namespace cri {

// kInvalidArgument unless the options name either the node's user namespace or one of the pod's own: then with one
// mapping of users and the same of groups, from 0 on, and without the node's network, PID or IPC namespace.
base::Status CheckUserNamespace(const v1::NamespaceOption& options);

// kInvalidArgument when a container's options are others than those of its pod.
base::Status CheckSameUserNamespace(const v1::NamespaceOption& pod, const v1::NamespaceOption& container);

// The mapping of users and groups of a pod that has a user namespace of its own. The options have been checked.
std::optional<nspawn::IdMapping> UserNamespaceOf(const v1::NamespaceOption& options);

// The mappings of a mount, as nspawn has them. kInvalidArgument when they are empty, overflow or only of one kind.
base::Result<std::vector<nspawn::IdMapping>> MakeIdMappings(
    const google::protobuf::RepeatedPtrField<v1::IDMapping>& mappings);

}  // namespace cri
