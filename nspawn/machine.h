// A pod sandbox: one systemd-nspawn machine that holds the pod's UTS, IPC and (when shared) PID namespaces.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "nspawn/process_spec.h"

namespace nspawn {

class Bus;

struct MachineSpec {
  // Name of the machine and, with ".service", of its unit: at most 64 characters, see ReadableName().
  std::string name;
  std::string description;  // the unit's Description=
  std::string slice;        // "kubepods-….slice"; empty: machine.slice
  std::string uuid;         // the machine's id, the pod's UID when that is a UUID; empty: made from the name
  std::string hostname;
  std::string network_namespace;  // path of the namespace to join; empty: the host's
  // The range of ids of a user namespace of its own, from 0 on for users and groups alike. systemd-nspawn does not
  // combine it with a namespace to join: such a machine makes its own network namespace, and `network_namespace` and
  // the host_* members must not be set.
  std::optional<IdMapping> user_namespace = {};
  bool host_pid = false;
  bool host_ipc = false;
  bool host_uts = false;
};

struct Machine {
  std::string name;
  bool running = false;
  pid_t leader = 0;    // pause, as the host sees it
  std::string cgroup;  // of the unit, below /sys/fs/cgroup
  // Inode numbers of the leader's namespaces (the host's where the pod shares it).
  uint64_t pid_namespace = 0;
  uint64_t ipc_namespace = 0;
  uint64_t uts_namespace = 0;
  uint64_t user_namespace = 0;
};

// A readable name from hostile parts: "namespace-pod-<first 12 of id>" (or "namespace-pod-container-<…>"). Letters
// become small, and what is not of [a-z0-9-] a '-'; the parts before the id are cut so that the whole has at most 64
// characters.
std::string ReadableName(const std::vector<std::string>& parts, const std::string& id);

struct MachineOptions {
  // Directory that all machines share, made when missing; not on a file system that is mounted noexec.
  std::string root = "/var/lib/cri-nspawn/pause-root";
  std::string pause = "/usr/lib/cri-nspawn/pause";  // copied into it
  std::string cgroup_root = "/sys/fs/cgroup";
  std::string proc_root = "/proc";
};

// Thread-safe; calls block until systemd's job is done.
class Machines {
 public:
  // Makes the machines' shared root directory. `bus` must live longer.
  static base::Result<std::unique_ptr<Machines>> Make(Bus& bus, MachineOptions options = {});
  virtual ~Machines() = default;
  // Starts the machine and gives it back when it is ready. On failure nothing is left (unit, machine).
  virtual base::Result<Machine> Start(const MachineSpec& spec) = 0;
  // Ends the machine and unloads its unit; no error when there is none.
  virtual base::Status Stop(const std::string& name) = 0;
  // kNotFound when it does not run. After a restart of the daemon OnEnd() holds for machines that were found.
  virtual base::Result<Machine> Find(const std::string& name) = 0;
  // `handler` is called from the bus thread, once, when a machine ends; it must not block. To be
  // set before the first other call.
  virtual void OnEnd(std::function<void(const std::string& name)> handler) = 0;
};

}  // namespace nspawn
