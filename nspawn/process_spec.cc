#include "nspawn/process_spec.h"

#include <limits>

#include "base/text.h"

namespace nspawn {
namespace {

using base::InvalidArgument;
using base::Status;

constexpr std::string_view kYes = "yes";

std::string_view NameOf(Propagation propagation) {
  switch (propagation) {
    case Propagation::kHostToContainer:
      return "host-to-container";
    case Propagation::kBidirectional:
      return "bidirectional";
    case Propagation::kPrivate:
      break;
  }
  return "private";
}

std::string TextOf(const DeviceNode& node) {
  std::string text(1, node.type);
  for (const uint32_t number : {node.major, node.minor, node.mode, node.uid, node.gid}) {
    text += ":" + std::to_string(number);
  }
  return text;
}

class Encoder {
 public:
  void Text(std::string_view key, std::string_view value) {
    out_.append(key);
    out_ += '=';
    // A NUL would begin another entry: cut there, as execve(2) or mount(2) would.
    out_.append(value.substr(0, value.find('\0')));
    out_ += '\0';
  }
  void TextUnlessEmpty(std::string_view key, std::string_view value) {
    if (!value.empty()) Text(key, value);
  }
  void List(std::string_view key, const std::vector<std::string>& values) {
    for (const std::string& value : values) Text(key, value);
  }
  void Flag(std::string_view key, bool value) {
    if (value) Text(key, kYes);
  }
  void Number(std::string_view key, uint64_t value) { Text(key, std::to_string(value)); }
  void Mappings(std::string_view key, const std::vector<IdMapping>& mappings) {
    for (const IdMapping& mapping : mappings) {
      Text(key, std::to_string(mapping.host_id) + ":" + std::to_string(mapping.container_id) + ":" +
                    std::to_string(mapping.length));
    }
  }
  void Target(std::string_view key, const NamespaceTarget& target) {
    switch (target.kind) {
      case NamespaceTarget::Kind::kNew:
        return Text(key, "new");
      case NamespaceTarget::Kind::kHost:
        return Text(key, "host");
      case NamespaceTarget::Kind::kJoin:
        return Text(key, "join:" + std::to_string(target.pid) + ":" + std::to_string(target.inode));
    }
  }
  std::string Take() && { return std::move(out_); }

 private:
  std::string out_;
};

// Readers of one value each. What they refuse is reported with the key by Decode().
bool ReadFlag(std::string_view value, bool& out) {
  out = true;
  return value == kYes;
}

template <typename Integer>
bool ReadNumber(std::string_view value, Integer& out) {
  const std::optional<uint64_t> number = base::ParseUnsigned(value);
  if (!number || *number > static_cast<uint64_t>(std::numeric_limits<Integer>::max())) return false;
  out = static_cast<Integer>(*number);
  return true;
}

bool ReadSigned(std::string_view value, int& out) {
  const bool negative = !value.empty() && value.front() == '-';
  if (negative) value.remove_prefix(1);
  if (!ReadNumber(value, out)) return false;
  if (negative) out = -out;
  return true;
}

bool ReadPropagation(std::string_view value, Propagation& out) {
  for (const Propagation candidate :
       {Propagation::kPrivate, Propagation::kHostToContainer, Propagation::kBidirectional}) {
    if (value == NameOf(candidate)) {
      out = candidate;
      return true;
    }
  }
  return false;
}

bool ReadMapping(std::string_view value, std::vector<IdMapping>& out) {
  const std::vector<std::string_view> parts = base::Split(value, ':');
  IdMapping mapping;
  if (parts.size() != 3 || !ReadNumber(parts[0], mapping.host_id) || !ReadNumber(parts[1], mapping.container_id) ||
      !ReadNumber(parts[2], mapping.length)) {
    return false;
  }
  out.push_back(mapping);
  return true;
}

bool ReadTarget(std::string_view value, NamespaceTarget& out) {
  out = {};
  if (value == "new") return true;
  if (value == "host") {
    out.kind = NamespaceTarget::Kind::kHost;
    return true;
  }
  const std::vector<std::string_view> parts = base::Split(value, ':');
  out.kind = NamespaceTarget::Kind::kJoin;
  return parts.size() == 3 && parts[0] == "join" && ReadNumber(parts[1], out.pid) && out.pid > 0 &&
         ReadNumber(parts[2], out.inode);
}

bool ReadText(std::string_view value, std::string& out) {
  out = value;
  return true;
}

template <typename Item>
bool Append(Item value, std::vector<Item>& out) {
  out.push_back(std::move(value));
  return true;
}

bool AppendText(std::string_view value, std::vector<std::string>& out) {
  return Append(std::string(value), out);
}

// "c:1:3:438:0:0": type, major, minor, mode, user, group.
bool ReadDeviceNode(std::string_view value, std::optional<DeviceNode>& out) {
  const std::vector<std::string_view> parts = base::Split(value, ':');
  DeviceNode& node = out.emplace();
  if (parts.size() != 6 || (parts[0] != "c" && parts[0] != "b" && parts[0] != "p")) return false;
  node.type = parts[0].front();
  return ReadNumber(parts[1], node.major) && ReadNumber(parts[2], node.minor) && ReadNumber(parts[3], node.mode) &&
         ReadNumber(parts[4], node.uid) && ReadNumber(parts[5], node.gid);
}

// Entries below "mount.", which belong to the mount named last.
bool ReadMountEntry(std::string_view key, std::string_view value, std::vector<Mount>& mounts) {
  if (mounts.empty()) return false;
  Mount& mount = mounts.back();
  if (key == "destination") return ReadText(value, mount.destination);
  if (key == "read_only") return ReadFlag(value, mount.read_only);
  if (key == "recursive_read_only") return ReadFlag(value, mount.recursive_read_only);
  if (key == "propagation") return ReadPropagation(value, mount.propagation);
  if (key == "attributes") return ReadNumber(value, mount.attributes);
  if (key == "uid_mapping") return ReadMapping(value, mount.uid_mappings);
  if (key == "gid_mapping") return ReadMapping(value, mount.gid_mappings);
  if (key == "image_layer") return AppendText(value, mount.image_layers);
  if (key == "image_sub_path") return ReadText(value, mount.image_sub_path);
  return false;
}

bool ReadUserEntry(std::string_view key, std::string_view value, User& user) {
  if (key == "uid") return ReadNumber(value, user.uid.emplace());
  if (key == "name") return ReadText(value, user.name);
  if (key == "gid") return ReadNumber(value, user.gid.emplace());
  if (key == "group") return ReadText(value, user.group);
  if (key == "strict_groups") return ReadFlag(value, user.strict_groups);
  if (key == "supplementary_group") {
    uint32_t group = 0;
    return ReadNumber(value, group) && Append(group, user.supplementary_groups);
  }
  return false;
}

bool ReadCapabilityEntry(std::string_view key, std::string_view value, Capabilities& capabilities) {
  if (key == "bounding") return ReadNumber(value, capabilities.bounding);
  if (key == "permitted") return ReadNumber(value, capabilities.permitted);
  if (key == "inheritable") return ReadNumber(value, capabilities.inheritable);
  if (key == "ambient") return ReadNumber(value, capabilities.ambient);
  return false;
}

bool ReadEntry(std::string_view key, std::string_view value, ProcessSpec& spec) {
  const size_t dot = key.find('.');
  if (dot != std::string_view::npos) {
    const std::string_view group = key.substr(0, dot);
    const std::string_view rest = key.substr(dot + 1);
    if (group == "user") return ReadUserEntry(rest, value, spec.user);
    if (group == "capabilities") return ReadCapabilityEntry(rest, value, spec.capabilities);
    if (group == "mount") return ReadMountEntry(rest, value, spec.mounts);
    if (key == "device.container_path") {
      return !spec.devices.empty() && ReadText(value, spec.devices.back().container_path);
    }
    if (key == "device.node") return !spec.devices.empty() && ReadDeviceNode(value, spec.devices.back().node);
    if (key == "sysctl.value") return !spec.sysctls.empty() && ReadText(value, spec.sysctls.back().second);
    return false;
  }
  if (key == "container_id") return ReadText(value, spec.container_id);
  if (key == "argument") return AppendText(value, spec.arguments);
  if (key == "environment") return AppendText(value, spec.environment);
  if (key == "working_directory") return ReadText(value, spec.working_directory);
  if (key == "layer_directory") return AppendText(value, spec.layer_directories);
  if (key == "upper_directory") return ReadText(value, spec.upper_directory);
  if (key == "work_directory") return ReadText(value, spec.work_directory);
  if (key == "read_only_root") return ReadFlag(value, spec.read_only_root);
  if (key == "image_volume") return AppendText(value, spec.image_volumes);
  if (key == "mount") return ReadText(value, spec.mounts.emplace_back().source);
  if (key == "device") return ReadText(value, spec.devices.emplace_back().host_path);
  if (key == "masked_path") return AppendText(value, spec.masked_paths);
  if (key == "read_only_path") return AppendText(value, spec.read_only_paths);
  if (key == "privileged") return ReadFlag(value, spec.privileged);
  if (key == "host_devices") return ReadFlag(value, spec.host_devices);
  if (key == "sysctl") return Append(std::make_pair(std::string(value), std::string()), spec.sysctls);
  if (key == "pid") return ReadTarget(value, spec.pid);
  if (key == "ipc") return ReadTarget(value, spec.ipc);
  if (key == "uts") return ReadTarget(value, spec.uts);
  if (key == "user_namespace") return ReadTarget(value, spec.user_namespace);
  if (key == "uid_mapping") return ReadMapping(value, spec.uid_mappings);
  if (key == "gid_mapping") return ReadMapping(value, spec.gid_mappings);
  if (key == "shared_memory") return ReadTarget(value, spec.shared_memory);
  if (key == "no_new_privileges") return ReadFlag(value, spec.no_new_privileges);
  if (key == "seccomp") return ReadFlag(value, spec.seccomp);
  if (key == "seccomp_flags") return ReadNumber(value, spec.seccomp_flags);
  if (key == "apparmor_profile") return ReadText(value, spec.apparmor_profile);
  if (key == "selinux_process_label") return ReadText(value, spec.selinux_process_label);
  if (key == "selinux_mount_label") return ReadText(value, spec.selinux_mount_label);
  if (key == "terminal") return ReadFlag(value, spec.terminal);
  if (key == "open_stdin") return ReadFlag(value, spec.open_stdin);
  if (key == "unit_output") return ReadFlag(value, spec.unit_output);
  if (key == "oom_score_adjust") return ReadSigned(value, spec.oom_score_adjust);
  return false;
}

}  // namespace

std::string Encode(const ProcessSpec& spec) {
  Encoder out;
  out.Text("container_id", spec.container_id);
  out.List("argument", spec.arguments);
  out.List("environment", spec.environment);
  out.TextUnlessEmpty("working_directory", spec.working_directory);

  if (spec.user.uid) out.Number("user.uid", *spec.user.uid);
  out.TextUnlessEmpty("user.name", spec.user.name);
  if (spec.user.gid) out.Number("user.gid", *spec.user.gid);
  out.TextUnlessEmpty("user.group", spec.user.group);
  for (const uint32_t group : spec.user.supplementary_groups) out.Number("user.supplementary_group", group);
  out.Flag("user.strict_groups", spec.user.strict_groups);

  out.List("layer_directory", spec.layer_directories);
  out.TextUnlessEmpty("upper_directory", spec.upper_directory);
  out.TextUnlessEmpty("work_directory", spec.work_directory);
  out.Flag("read_only_root", spec.read_only_root);

  out.List("image_volume", spec.image_volumes);
  for (const Mount& mount : spec.mounts) {
    out.Text("mount", mount.source);
    out.Text("mount.destination", mount.destination);
    out.Flag("mount.read_only", mount.read_only);
    out.Flag("mount.recursive_read_only", mount.recursive_read_only);
    out.Text("mount.propagation", NameOf(mount.propagation));
    if (mount.attributes != 0) out.Number("mount.attributes", mount.attributes);
    out.Mappings("mount.uid_mapping", mount.uid_mappings);
    out.Mappings("mount.gid_mapping", mount.gid_mappings);
    out.List("mount.image_layer", mount.image_layers);
    out.TextUnlessEmpty("mount.image_sub_path", mount.image_sub_path);
  }
  for (const Device& device : spec.devices) {
    out.Text("device", device.host_path);
    out.Text("device.container_path", device.container_path);
    if (device.node) out.Text("device.node", TextOf(*device.node));
  }
  out.List("masked_path", spec.masked_paths);
  out.List("read_only_path", spec.read_only_paths);
  out.Flag("privileged", spec.privileged);
  out.Flag("host_devices", spec.host_devices);
  for (const auto& [name, value] : spec.sysctls) {
    out.Text("sysctl", name);
    out.Text("sysctl.value", value);
  }

  out.Target("pid", spec.pid);
  out.Target("ipc", spec.ipc);
  out.Target("uts", spec.uts);
  out.Target("user_namespace", spec.user_namespace);
  out.Mappings("uid_mapping", spec.uid_mappings);
  out.Mappings("gid_mapping", spec.gid_mappings);
  out.Target("shared_memory", spec.shared_memory);

  out.Number("capabilities.bounding", spec.capabilities.bounding);
  out.Number("capabilities.permitted", spec.capabilities.permitted);
  out.Number("capabilities.inheritable", spec.capabilities.inheritable);
  out.Number("capabilities.ambient", spec.capabilities.ambient);
  out.Flag("no_new_privileges", spec.no_new_privileges);
  out.Flag("seccomp", spec.seccomp);
  if (spec.seccomp_flags != 0) out.Number("seccomp_flags", spec.seccomp_flags);
  out.TextUnlessEmpty("apparmor_profile", spec.apparmor_profile);
  out.TextUnlessEmpty("selinux_process_label", spec.selinux_process_label);
  out.TextUnlessEmpty("selinux_mount_label", spec.selinux_mount_label);
  out.Flag("terminal", spec.terminal);
  out.Flag("open_stdin", spec.open_stdin);
  out.Flag("unit_output", spec.unit_output);
  if (spec.oom_score_adjust != 0) out.Text("oom_score_adjust", std::to_string(spec.oom_score_adjust));
  return std::move(out).Take();
}

base::Result<ProcessSpec> Decode(std::string_view encoded) {
  ProcessSpec spec;
  while (!encoded.empty()) {
    const size_t end = encoded.find('\0');
    if (end == std::string_view::npos)
      return InvalidArgument("process specification: it ends in the middle of an entry");
    const std::string_view entry = encoded.substr(0, end);
    encoded.remove_prefix(end + 1);
    const size_t equals = entry.find('=');
    if (equals == std::string_view::npos) {
      return InvalidArgument("process specification: \"" + base::Printable(entry, 64) + "\" has no '='");
    }
    const std::string_view key = entry.substr(0, equals);
    if (!ReadEntry(key, entry.substr(equals + 1), spec)) {
      return InvalidArgument("process specification: key \"" + base::Printable(key, 64) +
                             "\" is unknown or its value \"" + base::Printable(entry.substr(equals + 1), 64) +
                             "\" is wrong");
    }
  }
  return spec;
}

}  // namespace nspawn
