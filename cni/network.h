// Pod networking by CNI plugins: the configuration list in force, ADD and DEL with cached results, CHECK, garbage
// collection, readiness.
//
// Section numbers refer to the CNI specification 1.1. Thread-safe.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "cni/plugin_runner.h"

namespace cni {

struct NetworkOptions {
  std::string configuration_directory = "/etc/cni/net.d";
  std::vector<std::string> plugin_directories = {"/opt/cni/bin", "/usr/lib/cni"};
  // Where plugins, and what stands in for one, find iptables, nft and the like: PATH.
  std::vector<std::string> program_directories = {"/usr/local/sbin", "/usr/local/bin", "/usr/sbin",
                                                  "/usr/bin",        "/sbin",          "/bin"};
  std::string cache_directory = "/var/lib/cri-nspawn/cni";
  std::chrono::milliseconds plugin_timeout{120'000};
  // What reference plugins would do is left out, or done more cheaply, where the outcome is the same: the rules of
  // "ipMasq" are made by the runtime, and portmap is not called for what has no port mappings.
  bool plugin_shortcuts = false;
};

// Capability "portMappings".
struct PortMapping {
  std::string protocol;  // "tcp", "udp" or "sctp"
  uint16_t container_port = 0;
  uint16_t host_port = 0;
  std::string host_ip;
};

// One pod's attachment to the network.
struct Attachment {
  std::string container_id;  // CNI_CONTAINERID: the sandbox's id
  std::string namespace_path;
  std::string interface = "eth0";
  // K8S_POD_NAMESPACE, K8S_POD_NAME, K8S_POD_UID and so on, for CNI_ARGS; values with ';' or '=' are refused.
  std::vector<std::pair<std::string, std::string>> arguments;
  std::vector<PortMapping> port_mappings;
  // Further capability arguments, name to JSON value, given to plugins that declare the capability (for example
  // "io.kubernetes.cri.pod-annotations", "dns", "bandwidth", "cgroupPath").
  std::vector<std::pair<std::string, std::string>> capabilities;
};

struct AttachmentResult {
  std::vector<std::string> addresses;  // of the pod's own interface, without prefix length, in the result's order
  std::string json;                    // the final plugin's result, for verbose status
};

class Network {
 public:
  static std::unique_ptr<Network> Create(NetworkOptions options, PluginRunner& runner);
  virtual ~Network() = default;

  // Attaches a namespace by the configuration in force. The intent is cached on disk before the first plugin runs, with
  // the configuration used, so that Detach works after a crash at any point. A plugin's failure undoes the earlier ones
  // (DEL) and comes back with the plugin's name and message.
  virtual base::Result<AttachmentResult> Attach(const Attachment& attachment) = 0;
  // Detaches by the cached configuration and result; succeeds when there is nothing (left) to detach. Works with an
  // empty namespace_path when the namespace is gone. On failure the cache entry stays, so that it can be tried again.
  virtual base::Status Detach(const Attachment& attachment) = 0;
  // Whether an attachment is as its ADD left it (CHECK), in the failing plugin's words if not. kNotFound when there is
  // none; success where the configuration or a plugin's version has no CHECK.
  virtual base::Status Check(const std::string& container_id) const = 0;
  // Detaches what is cached and of which `in_use` says no, and has the plugins release what belongs to nobody (GC). No
  // attachment is made meanwhile.
  virtual base::Status CollectGarbage(const std::function<bool(const std::string& container_id)>& in_use) = 0;
  // Success when there is a valid network configuration whose plugins are there and say that they are ready (STATUS),
  // else what is missing, in a sentence fit for NetworkReady. Follows the configuration directory through inotify; no
  // timer.
  virtual base::Status Ready() const = 0;
  // The configuration in force as JSON, for verbose status; empty when there is none.
  virtual std::string ConfigurationJson() const = 0;
};

}  // namespace cni
