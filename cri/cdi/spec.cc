#include "cri/cdi/spec.h"

#include <algorithm>
#include <array>
#include <initializer_list>

#include "base/text.h"
#include "cri/cdi/name.h"
#include "cri/cdi/yaml.h"

namespace cri::cdi {
namespace {

using base::InvalidArgument;
using base::Json;
using base::Result;
using base::Status;

constexpr std::array<std::string_view, 8> kVersions = {"0.3.0", "0.4.0", "0.5.0", "0.6.0",
                                                       "0.7.0", "0.8.0", "1.0.0", "1.1.0"};

std::string Quoted(std::string_view text) {
  return "\"" + base::Printable(text, 128) + "\"";
}

// An unknown member may say something that a container's author relies on.
Status CheckMembers(const Json& object, std::initializer_list<std::string_view> known) {
  for (const auto& [name, value] : object.items()) {
    if (std::find(known.begin(), known.end(), name) == known.end()) {
      return InvalidArgument("there is no member " + Quoted(name));
    }
  }
  return base::Ok();
}

// An absolute path without "..".
Status CheckPath(const std::string& path, std::string_view what) {
  const auto parts = base::Split(path, '/');
  const bool fits = path.starts_with('/') && path.find('\0') == std::string::npos &&
                    std::find(parts.begin(), parts.end(), "..") == parts.end();
  if (fits) return base::Ok();
  return InvalidArgument(std::string(what) + " " + Quoted(path) + " is not an absolute path");
}

Result<DeviceNode> ParseDeviceNode(const Json& object) {
  if (!object.is_object()) return InvalidArgument("it is not an object");
  RETURN_IF_ERROR(
      CheckMembers(object, {"path", "hostPath", "type", "major", "minor", "fileMode", "permissions", "uid", "gid"}));
  DeviceNode node;
  ASSIGN_OR_RETURN(node.path, base::StringMember(object, "path"));
  RETURN_IF_ERROR(CheckPath(node.path, "path"));
  ASSIGN_OR_RETURN(node.host_path, base::StringMember(object, "hostPath"));
  if (!node.host_path.empty()) RETURN_IF_ERROR(CheckPath(node.host_path, "hostPath"));
  ASSIGN_OR_RETURN(const std::string type, base::StringMember(object, "type"));
  if (type.size() > 1 || std::string_view("bcup").find(type) == std::string_view::npos) {
    return InvalidArgument("there is no device type " + Quoted(type));
  }
  if (!type.empty()) node.type = type[0] == 'u' ? 'c' : type[0];
  // The kernel has 12 bits for the major and 20 for the minor number.
  ASSIGN_OR_RETURN(const auto major, base::UnsignedMember(object, "major", 4095));
  ASSIGN_OR_RETURN(const auto minor, base::UnsignedMember(object, "minor", (1U << 20) - 1));
  node.major = static_cast<uint32_t>(major.value_or(0));
  node.minor = static_cast<uint32_t>(minor.value_or(0));
  ASSIGN_OR_RETURN(const auto mode, base::UnsignedMember(object, "fileMode", UINT32_MAX));
  if (mode) node.mode = static_cast<uint32_t>(*mode & 0777);
  ASSIGN_OR_RETURN(node.permissions, base::StringMember(object, "permissions"));
  if (node.permissions != "none" && node.permissions.find_first_not_of("rwm") != std::string::npos) {
    return InvalidArgument("permissions " + Quoted(node.permissions) + " are not made of r, w and m");
  }
  ASSIGN_OR_RETURN(const auto uid, base::UnsignedMember(object, "uid", UINT32_MAX - 1));
  ASSIGN_OR_RETURN(const auto gid, base::UnsignedMember(object, "gid", UINT32_MAX - 1));
  if (uid) node.uid = static_cast<uint32_t>(*uid);
  if (gid) node.gid = static_cast<uint32_t>(*gid);
  return node;
}

Result<MountEdit> ParseMount(const Json& object) {
  if (!object.is_object()) return InvalidArgument("it is not an object");
  RETURN_IF_ERROR(CheckMembers(object, {"hostPath", "containerPath", "type", "options"}));
  MountEdit mount;
  ASSIGN_OR_RETURN(mount.host_path, base::StringMember(object, "hostPath"));
  ASSIGN_OR_RETURN(mount.container_path, base::StringMember(object, "containerPath"));
  ASSIGN_OR_RETURN(mount.type, base::StringMember(object, "type"));
  ASSIGN_OR_RETURN(mount.options, base::StringsMember(object, "options"));
  RETURN_IF_ERROR(CheckPath(mount.host_path, "hostPath"));
  RETURN_IF_ERROR(CheckPath(mount.container_path, "containerPath"));
  return mount;
}

// What of `object` is not supported, as "hooks (createContainer /usr/bin/x)".
std::vector<std::string> UnsupportedOf(const Json& object) {
  std::vector<std::string> found;
  for (const char* name : {"hooks", "intelRdt", "netDevices"}) {
    const auto member = object.find(name);
    if (member != object.end() && !member->is_null() && !member->empty()) found.emplace_back(name);
  }
  return found;
}

Result<ContainerEdits> ParseEdits(const Json& object) {
  RETURN_IF_ERROR(
      CheckMembers(object, {"env", "deviceNodes", "mounts", "hooks", "intelRdt", "additionalGids", "netDevices"}));
  ContainerEdits edits;
  edits.unsupported = UnsupportedOf(object);
  ASSIGN_OR_RETURN(edits.environment, base::StringsMember(object, "env"));
  for (const std::string& variable : edits.environment) {
    const size_t equals = variable.find('=');
    if (equals == 0 || equals == std::string::npos || variable.find('\0') != std::string::npos) {
      return InvalidArgument("environment variable " + Quoted(variable) + " is not NAME=value");
    }
  }
  ASSIGN_OR_RETURN(const Json* nodes, base::ListMember(object, "deviceNodes"));
  for (size_t i = 0; nodes != nullptr && i < nodes->size(); ++i) {
    ASSIGN_OR_RETURN(DeviceNode node, ParseDeviceNode((*nodes)[i]).Wrap("\"deviceNodes\"[" + std::to_string(i) + "]"));
    edits.device_nodes.push_back(std::move(node));
  }
  ASSIGN_OR_RETURN(const Json* mounts, base::ListMember(object, "mounts"));
  for (size_t i = 0; mounts != nullptr && i < mounts->size(); ++i) {
    ASSIGN_OR_RETURN(MountEdit mount, ParseMount((*mounts)[i]).Wrap("\"mounts\"[" + std::to_string(i) + "]"));
    edits.mounts.push_back(std::move(mount));
  }
  ASSIGN_OR_RETURN(const Json* groups, base::ListMember(object, "additionalGids"));
  for (size_t i = 0; groups != nullptr && i < groups->size(); ++i) {
    const Json& group = (*groups)[i];
    if (!group.is_number_unsigned() || group.get<uint64_t>() >= UINT32_MAX) {
      return InvalidArgument("\"additionalGids\" has what is no group id");
    }
    // As in CDI's own library, root's group cannot be had in this way.
    if (group.get<uint32_t>() != 0) edits.additional_groups.push_back(group.get<uint32_t>());
  }
  return edits;
}

Result<ContainerEdits> EditsOf(const Json& object) {
  ASSIGN_OR_RETURN(const Json* edits, base::ObjectMember(object, "containerEdits"));
  if (edits == nullptr) return ContainerEdits();
  return ParseEdits(*edits).Wrap("\"containerEdits\"");
}

bool IsEmpty(const ContainerEdits& edits) {
  return edits.environment.empty() && edits.device_nodes.empty() && edits.mounts.empty() &&
         edits.additional_groups.empty() && edits.unsupported.empty();
}

}  // namespace

Result<Specification> ParseSpecification(const Json& document) {
  if (!document.is_object()) return InvalidArgument("it is not an object");
  RETURN_IF_ERROR(CheckMembers(document, {"cdiVersion", "kind", "annotations", "devices", "containerEdits"}));
  ASSIGN_OR_RETURN(const std::string version, base::StringMember(document, "cdiVersion"));
  const std::string_view bare = std::string_view(version).substr(version.starts_with('v') ? 1 : 0);
  if (std::find(kVersions.begin(), kVersions.end(), bare) == kVersions.end()) {
    return InvalidArgument("cdiVersion " + Quoted(version) + " is not supported; known are 0.3.0 to 1.1.0");
  }
  Specification specification;
  ASSIGN_OR_RETURN(specification.kind, base::StringMember(document, "kind"));
  const size_t slash = specification.kind.find('/');
  if (slash == std::string::npos || !IsVendorOrClass(std::string_view(specification.kind).substr(0, slash)) ||
      !IsVendorOrClass(std::string_view(specification.kind).substr(slash + 1))) {
    return InvalidArgument("kind " + Quoted(specification.kind) + " is not <vendor>/<class>");
  }
  ASSIGN_OR_RETURN(const Json* annotations, base::ObjectMember(document, "annotations"));
  (void)annotations;  // for people
  ASSIGN_OR_RETURN(specification.edits, EditsOf(document));
  ASSIGN_OR_RETURN(const Json* devices, base::ListMember(document, "devices"));
  if (devices == nullptr || devices->empty()) return InvalidArgument("it has no \"devices\"");
  for (const Json& device : *devices) {
    if (!device.is_object()) return InvalidArgument("an element of \"devices\" is not an object");
    ASSIGN_OR_RETURN(const std::string name, base::StringMember(device, "name"));
    if (!IsDevice(name)) return InvalidArgument("there is no device name " + Quoted(name));
    const std::string where = "device " + Quoted(name);
    RETURN_IF_ERROR(CheckMembers(device, {"name", "annotations", "containerEdits"}).Wrap(where));
    ASSIGN_OR_RETURN(ContainerEdits edits, EditsOf(device).Wrap(where));
    if (IsEmpty(edits)) return InvalidArgument(where + " has no \"containerEdits\"");
    const bool is_known = std::any_of(specification.devices.begin(), specification.devices.end(),
                                      [&](const auto& each) { return each.first == name; });
    if (is_known) return InvalidArgument(where + " stands there twice");
    specification.devices.emplace_back(name, std::move(edits));
  }
  return specification;
}

Result<Specification> ParseSpecificationText(std::string_view text, bool is_yaml) {
  ASSIGN_OR_RETURN(const Json document, is_yaml ? ParseYaml(text) : base::ParseJsonObject(text));
  return ParseSpecification(document);
}

}  // namespace cri::cdi
