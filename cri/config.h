// The daemon's configuration, /etc/cri-nspawn/config.toml. Every key is described in packaging/config.toml, which is
// installed as that file, and in cri-nspawn-config.toml(5).
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/log.h"
#include "base/result.h"
#include "cni/network.h"
#include "cri/streaming/options.h"
#include "image/store.h"
#include "nspawn/container_journal.h"

namespace cri {

inline constexpr std::string_view kDefaultConfigPath = "/etc/cri-nspawn/config.toml";

// What pods of a RuntimeClass that names a handler get in the place of the defaults (runtime_handlers.<name>).
struct RuntimeHandler {
  enum class UserNamespaces { kAllowed, kRequired, kRefused };
  // What a container gets that asks for the runtime's default: "default" (the built-in profile), "unconfined", or the
  // path of a JSON profile (seccomp).
  std::string seccomp = "default";
  // Kept by a container before it adds and drops, bit n is capability n; none: the usual set (capabilities).
  std::optional<uint64_t> capabilities;
  // Whether pods may or must have a user namespace of their own (user_namespaces).
  UserNamespaces user_namespaces = UserNamespaces::kAllowed;
  // Privileged containers get no devices of the host but those they name (privileged_without_host_devices).
  bool privileged_without_host_devices = false;
};

// All paths are absolute and without "." and "..", repeated slashes or a slash at the end. Keys are named in brackets.
struct Config {
  // What must outlive a reboot: records, images, the CNI cache (state_directory).
  std::string state_directory = "/var/lib/cri-nspawn";
  // What must outlive only the daemon: bundles, sandbox files (runtime_directory).
  std::string runtime_directory = "/run/cri-nspawn";
  // Lines below this level are not logged (log_level).
  base::LogLevel log_level = base::LogLevel::kInfo;
  // The unix socket for gRPC (server.socket).
  std::string socket = "/run/cri-nspawn/cri-nspawn.sock";
  // Name of the group whose members may connect beside root; empty: root alone (server.group).
  std::string group;
  // The server of exec, attach and port-forward (streaming.*).
  streaming::ServerOptions streaming;
  // Where network namespaces are pinned (cni.network_namespace_directory).
  std::string network_namespace_directory = "/run/netns";
  // images.root is <state_directory>/images (image.*).
  image::StoreOptions images;
  // Names of images that the kubelet is told to keep, as glob(7) has patterns (image.pinned).
  std::vector<std::string> pinned_images;
  // network.cache_directory is <state_directory>/cni (cni.*).
  cni::NetworkOptions network;
  // Containers' output in the journal (journal.*).
  nspawn::JournalOptions journal;
  // Where the collector of traces is, as gRPC names targets; empty: there is none (tracing.endpoint).
  std::string trace_endpoint;
  // Of each million calls whose client has not decided, how many are traced (tracing.sampling_rate_per_million).
  uint32_t trace_sampling_rate = 1'000'000;
  // Where the files of the Container Device Interface are, those of later directories first; empty: no such devices
  // (cdi.directories).
  std::vector<std::string> cdi_directories = {"/etc/cdi", "/var/run/cdi"};
  // By name. The handler "" of pods that name none is always there.
  std::map<std::string, RuntimeHandler> runtime_handlers = {{"", {}}};

  // The defaults.
  Config();
};

// Reads the configuration. A file that does not exist means the defaults. What is wrong with a file comes back as
// kInvalidArgument, "/etc/cri-nspawn/config.toml:12: …", the earliest line first: broken TOML, a key that there is not,
// a value of another type or outside its range.
base::Result<Config> LoadConfig(const std::string& path);
// The same for a text; `name` stands in messages where the path would.
base::Result<Config> ParseConfig(std::string_view text, std::string_view name);

// All keys with their values in force, as a JSON object with one member for each key ("image.parallel_layers": 4): for
// verbose status.
std::string ConfigJson(const Config& config);

}  // namespace cri
