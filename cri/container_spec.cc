#include "cri/container_spec.h"

#include <dirent.h>
#include <sys/stat.h>

#include <algorithm>
#include <filesystem>

#include "base/text.h"
#include "cri/container_devices.h"
#include "cri/container_mounts.h"
#include "cri/container_namespaces.h"
#include "cri/container_security.h"
#include "cri/container_user.h"
#include "cri/image_name.h"
#include "cri/selinux.h"
#include "cri/stop_signal.h"
#include "cri/sysctls.h"

namespace cri {
namespace {

using base::InvalidArgument;

constexpr char kDefaultPath[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

// Kept from a container that names none itself: what tells about or changes the host. The kubelet names them, and
// nothing for procMount: Unmasked, which it allows only to pods with a user namespace of their own.
constexpr const char* kMaskedPaths[] = {"/proc/acpi",
                                        "/proc/asound",
                                        "/proc/interrupts",
                                        "/proc/kcore",
                                        "/proc/keys",
                                        "/proc/latency_stats",
                                        "/proc/sched_debug",
                                        "/proc/scsi",
                                        "/proc/timer_list",
                                        "/proc/timer_stats",
                                        "/sys/devices/virtual/powercap",
                                        "/sys/firmware"};
constexpr const char* kReadOnlyPaths[] = {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"};

bool HasNul(const std::string& text) {
  return text.find('\0') != std::string::npos;
}

// The image's variables, then the pod's; PATH and HOSTNAME are always there.
base::Result<std::vector<std::string>> MakeEnvironment(const v1::ContainerConfig& config,
                                                       const image::ImageConfig& image, const std::string& hostname) {
  std::vector<std::string> environment = {kDefaultPath};
  SetVariable(environment, "HOSTNAME", hostname);
  for (const std::string& entry : image.environment) {
    const size_t equals = entry.find('=');
    if (equals == 0 || equals == std::string::npos || HasNul(entry)) continue;
    SetVariable(environment, entry.substr(0, equals), entry.substr(equals + 1));
  }
  for (const v1::KeyValue& entry : config.envs()) {
    if (entry.key().empty() || entry.key().find('=') != std::string::npos || HasNul(entry.key()) ||
        HasNul(entry.value())) {
      return InvalidArgument("environment variable \"" + entry.key() +
                             "\": a name must not be empty or hold '=', and no part a NUL");
    }
    SetVariable(environment, entry.key(), entry.value());
  }
  return environment;
}

// A path without "..", which would lead out of where it was meant to stay.
bool IsAbsoluteAndPlain(const std::string& path) {
  if (path.empty() || path.front() != '/' || HasNul(path)) return false;
  const auto parts = base::Split(path, '/');
  return std::find(parts.begin(), parts.end(), "..") == parts.end();
}

std::string JoinWords(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += (text.empty() ? "" : " ") + word;
  return text;
}

}  // namespace

void SetVariable(std::vector<std::string>& environment, const std::string& name, const std::string& value) {
  const std::string prefix = name + "=";
  std::erase_if(environment, [&](const std::string& entry) { return entry.rfind(prefix, 0) == 0; });
  environment.push_back(prefix + value);
}

base::Result<std::vector<std::string>> MakeArguments(const v1::ContainerConfig& config,
                                                     const image::ImageConfig& image) {
  std::vector<std::string> arguments;
  if (!config.command().empty()) {
    arguments.assign(config.command().begin(), config.command().end());
    arguments.insert(arguments.end(), config.args().begin(), config.args().end());
  } else {
    arguments = image.entrypoint;
    if (!config.args().empty()) {
      arguments.insert(arguments.end(), config.args().begin(), config.args().end());
    } else {
      arguments.insert(arguments.end(), image.command.begin(), image.command.end());
    }
  }
  if (arguments.empty() || arguments.front().empty()) {
    return InvalidArgument("no command specified: neither the container nor its image names a program to run");
  }
  if (std::any_of(arguments.begin(), arguments.end(), HasNul))
    return InvalidArgument("an argument of the command holds a NUL");
  return arguments;
}

nspawn::Resources MakeResources(const v1::LinuxContainerResources& resources) {
  nspawn::Resources result;
  // Zero means "not said" in CRI.
  if (resources.cpu_shares() > 0) result.cpu_shares = static_cast<uint64_t>(resources.cpu_shares());
  if (resources.cpu_quota() != 0) result.cpu_quota = resources.cpu_quota();
  if (resources.cpu_period() > 0) result.cpu_period = static_cast<uint64_t>(resources.cpu_period());
  if (resources.memory_limit_in_bytes() != 0) result.memory_limit = resources.memory_limit_in_bytes();
  if (resources.memory_swap_limit_in_bytes() != 0) result.memory_swap_limit = resources.memory_swap_limit_in_bytes();
  result.cpuset_cpus = resources.cpuset_cpus();
  result.cpuset_mems = resources.cpuset_mems();
  for (const v1::HugepageLimit& limit : resources.hugepage_limits()) {
    result.hugepage_limits.emplace_back(limit.page_size(), limit.limit());
  }
  for (const auto& [key, value] : resources.unified()) result.unified.emplace_back(key, value);
  std::sort(result.unified.begin(), result.unified.end());
  return result;
}

base::Result<nspawn::ContainerSpec> MakeContainerSpec(const ContainerSources& sources) {
  const ContainerRecord& record = sources.record;
  const v1::ContainerConfig& config = record.config();
  const v1::PodSandboxConfig& pod = sources.sandbox.config();
  const v1::LinuxContainerSecurityContext& security = config.linux().security_context();

  nspawn::ContainerSpec spec;
  spec.name = record.name();
  spec.description =
      "Container " + config.metadata().name() + " of pod " + pod.metadata().namespace_() + "/" + pod.metadata().name();
  spec.slice = sources.sandbox.slice();
  spec.resources = MakeResources(config.linux().resources());
  spec.oom_score_adjust =
      static_cast<int>(std::clamp<int64_t>(config.linux().resources().oom_score_adj(), -1000, 1000));
  spec.stop_signal = SignalText(StopSignalOf(config, sources.image.config));
  spec.all_devices = security.privileged() && !sources.handler.privileged_without_host_devices;

  nspawn::ProcessSpec& process = spec.process;
  process.container_id = record.id();
  process.terminal = config.tty();
  process.open_stdin = config.stdin();
  ASSIGN_OR_RETURN(process.arguments, MakeArguments(config, sources.image.config));
  ASSIGN_OR_RETURN(process.environment, MakeEnvironment(config, sources.image.config, sources.sandbox.hostname()));
  process.working_directory =
      config.working_dir().empty() ? sources.image.config.working_directory : config.working_dir();
  if (process.working_directory.empty()) process.working_directory = "/";
  if (!IsAbsoluteAndPlain(process.working_directory)) {
    return InvalidArgument("working directory \"" + process.working_directory + "\" is not an absolute path");
  }
  ASSIGN_OR_RETURN(process.user, MakeUser(security, sources.image.config));
  process.layer_directories = sources.image.layer_directories;
  process.upper_directory = sources.state_directory + "/upper";
  process.work_directory = sources.state_directory + "/work";
  process.read_only_root = security.readonly_rootfs();
  process.privileged = security.privileged();
  process.host_devices = spec.all_devices;
  process.no_new_privileges = security.no_new_privs();
  process.oom_score_adjust = spec.oom_score_adjust;

  ASSIGN_OR_RETURN(process.capabilities, MakeCapabilities(security, sources.handler));
  RETURN_IF_ERROR(AddSeccomp(security, sources.handler, spec));
  ASSIGN_OR_RETURN(process.apparmor_profile, MakeAppArmorProfile(security, sources.apparmor));
  RETURN_IF_ERROR(SetNamespaces(sources, spec));
  RETURN_IF_ERROR(AddMounts(sources, spec));
  RETURN_IF_ERROR(AddSelinux(sources, spec));
  RETURN_IF_ERROR(AddDevices(config, spec));
  RETURN_IF_ERROR(AddCdiDevices(config, sources.cdi_directories, spec));
  if (!security.privileged()) {
    const v1::NamespaceOption& namespaces = pod.linux().security_context().namespace_options();
    const bool own_users = namespaces.has_userns_options() && namespaces.userns_options().mode() == v1::POD;
    const auto or_default = [own_users](const auto& given, const auto& defaults) {
      std::vector<std::string> paths(given.begin(), given.end());
      if (paths.empty() && !own_users) paths.assign(std::begin(defaults), std::end(defaults));
      return paths;
    };
    process.masked_paths = or_default(security.masked_paths(), kMaskedPaths);
    process.read_only_paths = or_default(security.readonly_paths(), kReadOnlyPaths);
  }
  // Those of the network namespace were set when it was made.
  ASSIGN_OR_RETURN(Sysctls sysctls, ReadSysctls(pod));
  process.sysctls = std::move(sysctls.ipc);

  spec.metadata = {{"Namespace", pod.metadata().namespace_()},
                   {"Pod", pod.metadata().name()},
                   {"PodUID", pod.metadata().uid()},
                   {"PodSandboxID", record.sandbox_id()},
                   {"Container", config.metadata().name()},
                   {"ContainerID", record.id()},
                   {"Attempt", std::to_string(config.metadata().attempt())},
                   {"Image", ImageName(config.image())},
                   {"ImageID", record.image_id()},
                   {"Command", JoinWords(process.arguments)},
                   {"LogPath", record.log_path()}};
  const auto fixed = static_cast<ptrdiff_t>(spec.metadata.size());
  for (const auto& [key, value] : config.labels()) spec.metadata.emplace_back("Label", key + "=" + value);
  std::sort(spec.metadata.begin() + fixed, spec.metadata.end());
  return spec;
}

}  // namespace cri
