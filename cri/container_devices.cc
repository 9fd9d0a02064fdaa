#include "cri/container_devices.h"

#include <linux/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <algorithm>
#include <filesystem>
#include <system_error>

#include "base/text.h"
#include "cri/cdi/devices.h"
#include "cri/cdi/name.h"
#include "cri/container_spec.h"

namespace cri {
namespace {

using base::InvalidArgument;

constexpr char kAllAccess[] = "rwm";
// Device nodes of one directory: each is a line of the unit.
constexpr size_t kMostNodes = 1024;

// A path without "..", which would lead out of where it was meant to stay.
bool IsAbsoluteAndPlain(const std::string& path) {
  if (path.empty() || path.front() != '/' || path.find('\0') != std::string::npos) return false;
  const auto parts = base::Split(path, '/');
  return std::find(parts.begin(), parts.end(), "..") == parts.end();
}

bool IsDevice(mode_t mode) {
  return S_ISCHR(mode) || S_ISBLK(mode);
}

// Allows the device nodes below a directory of the host, links left out; init makes the nodes.
base::Status AllowDirectory(const std::string& directory, const std::string& permissions, nspawn::ContainerSpec& spec) {
  namespace fs = std::filesystem;
  std::error_code error;
  fs::recursive_directory_iterator entries(directory, fs::directory_options::skip_permission_denied, error);
  size_t nodes = 0;
  for (; !error && entries != fs::recursive_directory_iterator(); entries.increment(error)) {
    struct stat info {};
    if (::lstat(entries->path().c_str(), &info) != 0 || !IsDevice(info.st_mode)) continue;
    if (++nodes > kMostNodes) {
      return InvalidArgument("it has more than " + std::to_string(kMostNodes) + " device nodes");
    }
    spec.devices.push_back({entries->path(), permissions});
  }
  if (error) return base::Error::FromErrno(error.value(), "read the directory");
  if (nodes == 0) return InvalidArgument("it is a directory without device nodes");
  return base::Ok();
}

base::Status AddDevice(const v1::Device& device, nspawn::ContainerSpec& spec) {
  const std::string& target = device.container_path().empty() ? device.host_path() : device.container_path();
  if (!IsAbsoluteAndPlain(device.host_path()) || !IsAbsoluteAndPlain(target)) {
    return InvalidArgument("a path is not absolute");
  }
  const std::string permissions = device.permissions().empty() ? kAllAccess : device.permissions();
  if (permissions.find_first_not_of(kAllAccess) != std::string::npos) {
    return InvalidArgument("permissions \"" + base::Printable(permissions, 64) + "\" are not made of r, w and m");
  }
  struct stat info {};
  if (::stat(device.host_path().c_str(), &info) != 0) return base::ErrnoError("stat");
  if (S_ISDIR(info.st_mode)) {
    RETURN_IF_ERROR(AllowDirectory(device.host_path(), permissions, spec));
  } else if (IsDevice(info.st_mode)) {
    spec.devices.push_back({device.host_path(), permissions});
  } else {
    return InvalidArgument("it is no device node");
  }
  spec.process.devices.push_back({device.host_path(), target, std::nullopt});
  return base::Ok();
}

// The names of CDI devices that a container asks for, each once.
base::Result<std::vector<std::string>> CdiNamesOf(const v1::ContainerConfig& config) {
  std::vector<std::string> names;
  const auto add = [&](const std::string& name) {
    if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
  };
  for (const v1::CDIDevice& device : config.cdi_devices()) add(device.name());
  // Annotations are what kubelets before 1.28 and device plugins use. Those of the map come in any order.
  std::vector<std::pair<std::string, std::string>> annotations;
  for (const auto& [key, value] : config.annotations()) {
    if (key.starts_with("cdi.k8s.io/")) annotations.emplace_back(key, value);
  }
  std::sort(annotations.begin(), annotations.end());
  for (const auto& [key, value] : annotations) {
    for (const std::string_view name : base::Split(value, ',')) {
      RETURN_IF_ERROR(cdi::ParseDeviceName(name).Wrap("annotation \"" + base::Printable(key, 128) + "\""));
      add(std::string(name));
    }
  }
  return names;
}

base::Status AddNode(const cdi::DeviceNode& edit, nspawn::ContainerSpec& spec) {
  nspawn::DeviceNode node;
  const std::string& host_path = edit.host_path.empty() ? edit.path : edit.host_path;
  node.type = edit.type;
  node.major = edit.major;
  node.minor = edit.minor;
  const bool is_complete = edit.type == 'p' || (edit.type != 0 && edit.major != 0);
  struct stat info {};
  const bool is_there = ::stat(host_path.c_str(), &info) == 0;
  if (!is_complete) {
    if (!is_there) return base::ErrnoError("host path " + base::Printable(host_path, 256));
    const char type = S_ISCHR(info.st_mode) ? 'c' : S_ISBLK(info.st_mode) ? 'b' : S_ISFIFO(info.st_mode) ? 'p' : 0;
    if (type == 0) return InvalidArgument("host path " + base::Printable(host_path, 256) + " is no device node");
    if (edit.type != 0 && edit.type != type) {
      return InvalidArgument("host path " + base::Printable(host_path, 256) + " is of type " + std::string(1, type) +
                             ", not " + std::string(1, edit.type));
    }
    node.type = type;
    if (edit.major == 0) {
      node.major = major(info.st_rdev);
      node.minor = minor(info.st_rdev);
    }
  }
  node.mode = edit.mode ? *edit.mode : is_there ? info.st_mode & 0777 : 0666;
  // It belongs to the container's user unless the file says otherwise.
  node.uid = edit.uid.value_or(spec.process.user.uid.value_or(0));
  node.gid = edit.gid.value_or(spec.process.user.gid.value_or(0));
  std::erase_if(spec.process.devices, [&](const nspawn::Device& each) { return each.container_path == edit.path; });
  spec.process.devices.push_back({host_path, edit.path, node});
  if (node.type == 'p' || edit.permissions == "none") return base::Ok();
  spec.devices.push_back({std::string(node.type == 'c' ? "char " : "block ") + std::to_string(node.major) + ":" +
                              std::to_string(node.minor),
                          edit.permissions.empty() ? kAllAccess : edit.permissions});
  return base::Ok();
}

base::Status AddMount(const cdi::MountEdit& edit, nspawn::ContainerSpec& spec) {
  nspawn::Mount mount;
  mount.source = edit.host_path;
  mount.destination = edit.container_path;
  bool is_bind = edit.type.empty() || edit.type == "bind";
  for (const std::string& option : edit.options) {
    if (option == "bind" || option == "rbind") {
      is_bind = true;
    } else if (option == "ro") {
      mount.read_only = true;
    } else if (option == "rro") {
      mount.read_only = mount.recursive_read_only = true;
    } else if (option == "nosuid") {
      mount.attributes |= MOUNT_ATTR_NOSUID;
    } else if (option == "nodev") {
      mount.attributes |= MOUNT_ATTR_NODEV;
    } else if (option == "noexec") {
      mount.attributes |= MOUNT_ATTR_NOEXEC;
    } else if (option == "private" || option == "rprivate") {
      mount.propagation = nspawn::Propagation::kPrivate;
    } else if (option == "slave" || option == "rslave") {
      mount.propagation = nspawn::Propagation::kHostToContainer;
    } else if (option == "shared" || option == "rshared") {
      mount.propagation = nspawn::Propagation::kBidirectional;
    } else if (option != "rw" && option != "suid" && option != "dev" && option != "exec") {
      return {base::Code::kUnimplemented, "the option \"" + base::Printable(option, 64) + "\" is not supported"};
    }
  }
  if (!is_bind) {
    return {base::Code::kUnimplemented, "mounts of type \"" + base::Printable(edit.type, 64) + "\" are not supported"};
  }
  struct stat info {};
  if (::stat(mount.source.c_str(), &info) != 0) return base::ErrnoError("host path");
  std::erase_if(spec.process.mounts, [&](const nspawn::Mount& each) { return each.destination == mount.destination; });
  spec.process.mounts.push_back(std::move(mount));
  return base::Ok();
}

}  // namespace

base::Status AddDevices(const v1::ContainerConfig& config, nspawn::ContainerSpec& spec) {
  for (const v1::Device& device : config.devices()) {
    RETURN_IF_ERROR(AddDevice(device, spec).Wrap("device \"" + base::Printable(device.host_path(), 256) + "\""));
  }
  return base::Ok();
}

base::Status AddCdiDevices(const v1::ContainerConfig& config, const std::vector<std::string>& directories,
                           nspawn::ContainerSpec& spec) {
  ASSIGN_OR_RETURN(const std::vector<std::string> names, CdiNamesOf(config));
  if (names.empty()) return base::Ok();
  if (directories.empty()) {
    return {base::Code::kFailedPrecondition, "CDI devices are switched off in the configuration (cdi.directories)"};
  }
  ASSIGN_OR_RETURN(const cdi::ContainerEdits edits, cdi::ResolveDevices(directories, names));
  for (const std::string& variable : edits.environment) {
    const size_t equals = variable.find('=');
    SetVariable(spec.process.environment, variable.substr(0, equals), variable.substr(equals + 1));
  }
  for (const cdi::DeviceNode& node : edits.device_nodes) {
    RETURN_IF_ERROR(AddNode(node, spec).Wrap("CDI device node \"" + base::Printable(node.path, 256) + "\""));
  }
  for (const cdi::MountEdit& mount : edits.mounts) {
    RETURN_IF_ERROR(AddMount(mount, spec)
                        .Wrap("CDI mount of \"" + base::Printable(mount.host_path, 256) + "\" at \"" +
                              base::Printable(mount.container_path, 256) + "\""));
  }
  std::vector<uint32_t>& groups = spec.process.user.supplementary_groups;
  for (const uint32_t group : edits.additional_groups) {
    if (std::find(groups.begin(), groups.end(), group) == groups.end()) groups.push_back(group);
  }
  return base::Ok();
}

}  // namespace cri
