#include "cri/user_namespace.h"

#include <string>

namespace cri {
namespace {

using base::InvalidArgument;

// As many as the kernel takes (user_namespaces(7)).
constexpr int kMostMappings = 340;

bool HasOwn(const v1::NamespaceOption& options) {
  return options.has_userns_options() && options.userns_options().mode() == v1::POD;
}

base::Status CheckMapping(const char* kind, const google::protobuf::RepeatedPtrField<v1::IDMapping>& mappings) {
  const std::string what = std::string("userns_options: the mapping of ") + kind;
  if (mappings.size() != 1) {
    return InvalidArgument("userns_options: " + std::to_string(mappings.size()) + " mappings of " + kind +
                           "; a pod's user namespace needs exactly one");
  }
  if (mappings[0].container_id() != 0) return InvalidArgument(what + " does not begin with the container's id 0");
  const auto checked = MakeIdMappings(mappings);
  if (!checked.ok()) return base::Error(checked.error()).Wrap(what);
  return base::Ok();
}

bool SameMappings(const google::protobuf::RepeatedPtrField<v1::IDMapping>& a,
                  const google::protobuf::RepeatedPtrField<v1::IDMapping>& b) {
  if (a.size() != b.size()) return false;
  for (int i = 0; i < a.size(); ++i) {
    if (a[i].host_id() != b[i].host_id() || a[i].container_id() != b[i].container_id() ||
        a[i].length() != b[i].length()) {
      return false;
    }
  }
  return true;
}

}  // namespace

base::Result<std::vector<nspawn::IdMapping>> MakeIdMappings(
    const google::protobuf::RepeatedPtrField<v1::IDMapping>& mappings) {
  if (mappings.size() > kMostMappings) return InvalidArgument("there are more than 340 id mappings");
  std::vector<nspawn::IdMapping> result;
  for (const v1::IDMapping& mapping : mappings) {
    if (mapping.length() == 0) return InvalidArgument("an id mapping has the length 0");
    // The greatest number is no id.
    const auto overflows = [&](uint32_t first) { return mapping.length() > UINT32_MAX - first; };
    if (overflows(mapping.host_id()) || overflows(mapping.container_id())) {
      return InvalidArgument("an id mapping goes beyond the greatest id");
    }
    result.push_back({mapping.host_id(), mapping.container_id(), mapping.length()});
  }
  return result;
}

base::Status CheckUserNamespace(const v1::NamespaceOption& options) {
  if (!options.has_userns_options()) return base::Ok();
  const v1::UserNamespace& users = options.userns_options();
  if (users.mode() == v1::NODE) {
    if (users.uids().empty() && users.gids().empty()) return base::Ok();
    return InvalidArgument("userns_options: mappings are given for the node's user namespace");
  }
  if (users.mode() != v1::POD) {
    return InvalidArgument("userns_options: mode " + v1::NamespaceMode_Name(users.mode()) +
                           " is not one of POD and NODE");
  }
  RETURN_IF_ERROR(CheckMapping("users", users.uids()));
  RETURN_IF_ERROR(CheckMapping("groups", users.gids()));
  if (!SameMappings(users.uids(), users.gids())) {
    return InvalidArgument("userns_options: users and groups must be mapped to the same range");
  }
  if (options.network() == v1::NODE || options.pid() == v1::NODE || options.ipc() == v1::NODE) {
    return InvalidArgument(
        "userns_options: a pod with a user namespace cannot use the node's network, PID or IPC "
        "namespace");
  }
  return base::Ok();
}

base::Status CheckSameUserNamespace(const v1::NamespaceOption& pod, const v1::NamespaceOption& container) {
  RETURN_IF_ERROR(CheckUserNamespace(container));
  const bool same = HasOwn(pod) == HasOwn(container) &&
                    (!HasOwn(pod) || (SameMappings(pod.userns_options().uids(), container.userns_options().uids()) &&
                                      SameMappings(pod.userns_options().gids(), container.userns_options().gids())));
  if (same) return base::Ok();
  return InvalidArgument("userns_options: the container's user namespace is not that of its pod sandbox");
}

std::optional<nspawn::IdMapping> UserNamespaceOf(const v1::NamespaceOption& options) {
  if (!HasOwn(options)) return std::nullopt;
  const v1::IDMapping& mapping = options.userns_options().uids(0);
  return nspawn::IdMapping{mapping.host_id(), mapping.container_id(), mapping.length()};
}

}  // namespace cri
