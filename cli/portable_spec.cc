#include "cli/portable_spec.h"

#include <limits.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "base/text.h"
#include "cri/container_spec.h"
#include "image/digest.h"
#include "image/reference.h"
#include "nspawn/capabilities.h"

namespace cli {
namespace {

using base::InvalidArgument;
using base::Result;
using base::Status;

constexpr size_t kMostName = 64;
constexpr uint64_t kFirstFreePort = 1024;
constexpr size_t kIdDigits = 12;

bool HasNul(const std::string& text) {
  return text.find('\0') != std::string::npos;
}

bool IsAbsoluteAndPlain(const std::string& path) {
  if (!path.starts_with('/') || HasNul(path)) return false;
  const auto parts = base::Split(path, '/');
  return std::find(parts.begin(), parts.end(), "..") == parts.end();
}

std::string HostName() {
  std::array<char, HOST_NAME_MAX + 1> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "localhost";
}

// In the host's network a program that is not root may not listen on low ports, as it may in a pod.
bool NeedsLowPort(const image::ImageConfig& image) {
  return std::any_of(image.exposed_ports.begin(), image.exposed_ports.end(), [](const std::string& port) {
    const auto number = base::ParseUnsigned(port.substr(0, port.find('/')));
    return number && *number < kFirstFreePort;
  });
}

cri::ContainerRecord RecordFor(const PortableRecord& record) {
  cri::ContainerRecord container;
  container.set_id(record.name);
  container.set_name(record.name);
  container.set_image_id(record.image);
  auto& config = *container.mutable_config();
  config.mutable_metadata()->set_name(record.name);
  config.mutable_image()->set_image(record.reference);
  for (const std::string& argument : record.command) config.add_args(argument);
  for (const std::string& variable : record.environment) {
    auto& entry = *config.add_envs();
    const size_t equals = variable.find('=');
    entry.set_key(variable.substr(0, equals));
    entry.set_value(equals == std::string::npos ? "" : variable.substr(equals + 1));
  }
  auto& security = *config.mutable_linux()->mutable_security_context();
  security.mutable_seccomp()->set_profile_type(runtime::v1::SecurityProfile::RuntimeDefault);
  security.mutable_apparmor()->set_profile_type(runtime::v1::SecurityProfile::RuntimeDefault);
  security.set_no_new_privs(true);
  security.mutable_namespace_options()->set_pid(runtime::v1::CONTAINER);
  return container;
}

// The host's own files: read-only, and those alone that there are.
void KeepHostFiles(nspawn::ProcessSpec& process) {
  std::erase_if(process.mounts, [](const nspawn::Mount& mount) { return ::access(mount.source.c_str(), R_OK) != 0; });
  for (nspawn::Mount& mount : process.mounts) mount.read_only = true;
}

}  // namespace

Result<std::string> DefaultServiceName(const std::string& reference) {
  ASSIGN_OR_RETURN(const image::Reference parsed, image::ParseReference(reference));
  std::string name;
  for (const char c : parsed.repository.substr(parsed.repository.rfind('/') + 1)) {
    const bool kept = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
    if (kept) name += c;
    if (!kept && !name.empty() && name.back() != '-') name += '-';
  }
  name.resize(std::min(name.size(), kMostName));
  while (name.ends_with('-')) name.pop_back();
  if (name.empty())
    return InvalidArgument("no name of a service follows from \"" + reference + "\": give one with --name");
  return name;
}

PortableData DataOf(const cri::Config& config, const std::string& name) {
  return {config.state_directory + "/portable/data/" + name, config.state_directory + "/portable/volumes/" + name};
}

std::string VolumeDirectory(const PortableData& data, const std::string& volume) {
  // As systemd escapes paths: readable, and no two alike.
  std::string name;
  for (const char c : volume.substr(std::min<size_t>(volume.size(), 1))) {
    const bool kept = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
                      (c == '.' && !name.empty());
    if (c == '/') {
      name += '-';
    } else if (kept) {
      name += c;
    } else {
      name += "\\x" + base::Hex(std::string_view(&c, 1));
    }
  }
  // Longer than a file's name may be: its digest is one.
  if (name.size() > NAME_MAX) name = std::string(image::DigestHex(image::Sha256(volume)));
  return data.volumes + "/" + name;
}

Result<nspawn::Mount> ParseVolume(const std::string& text) {
  const auto parts = base::Split(text, ':');
  const bool has_options = parts.size() == 3;
  if ((parts.size() != 2 && !has_options) || (has_options && parts[2] != "ro" && parts[2] != "rw")) {
    return InvalidArgument("volume \"" + text + "\": it is to be HOST:CONTAINER or HOST:CONTAINER:ro");
  }
  nspawn::Mount mount;
  mount.source = parts[0];
  mount.destination = parts[1];
  mount.read_only = has_options && parts[2] == "ro";
  if (!IsAbsoluteAndPlain(mount.source) || !IsAbsoluteAndPlain(mount.destination) || mount.destination == "/") {
    return InvalidArgument("volume \"" + text + "\": both paths must be absolute and without \"..\"");
  }
  return mount;
}

Status CheckVariable(const std::string& text) {
  const size_t equals = text.find('=');
  if (equals != 0 && equals != std::string::npos) return base::Ok();
  return InvalidArgument("environment variable \"" + text + "\": it is to be NAME=value");
}

Result<nspawn::ContainerSpec> MakePortableSpec(const PortableRecord& record, const image::Image& image,
                                               const cri::Config& config, const nspawn::AppArmor* apparmor) {
  const cri::ContainerRecord container = RecordFor(record);
  cri::SandboxRecord host;
  host.set_hostname(HostName());
  const PortableData data = DataOf(config, record.name);
  const auto handler = config.runtime_handlers.find("");
  ASSIGN_OR_RETURN(
      nspawn::ContainerSpec spec,
      cri::MakeContainerSpec(
          {.record = container,
           .sandbox = host,
           .image = image,
           .state_directory = data.writable_layers + "/" + std::string(image::DigestHex(image.id).substr(0, kIdDigits)),
           .sandbox_files = "/etc",
           .handler = handler == config.runtime_handlers.end() ? cri::RuntimeHandler() : handler->second,
           .apparmor = apparmor}));
  nspawn::ProcessSpec& process = spec.process;
  KeepHostFiles(process);
  // There is no pod to share these with.
  process.ipc = {};
  process.shared_memory = {};
  for (const std::string& volume : process.image_volumes) {
    nspawn::Mount mount;
    mount.source = VolumeDirectory(data, volume);
    mount.destination = volume;
    process.mounts.push_back(std::move(mount));
  }
  process.image_volumes.clear();
  for (const std::string& volume : record.volumes) {
    ASSIGN_OR_RETURN(nspawn::Mount mount, ParseVolume(volume));
    // One that was asked for by name takes the place of the image's, or of the host's file.
    std::erase_if(process.mounts, [&](const nspawn::Mount& other) { return other.destination == mount.destination; });
    process.mounts.push_back(std::move(mount));
  }
  if (NeedsLowPort(image.config)) {
    const auto bind = nspawn::CapabilityNumber("NET_BIND_SERVICE");
    const uint64_t bit = bind ? (uint64_t{1} << *bind) & process.capabilities.permitted : 0;
    process.capabilities.inheritable |= bit;
    process.capabilities.ambient |= bit;
  }
  spec.description = record.reference;
  std::string command;
  for (const std::string& argument : process.arguments) command += (command.empty() ? "" : " ") + argument;
  spec.metadata = {{"Image", record.reference}, {"ImageID", image.id}, {"Command", command}};
  for (const std::string& port : image.config.exposed_ports) spec.metadata.emplace_back("Port", port);
  return spec;
}

}  // namespace cli
