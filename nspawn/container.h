// A container: a portable service of its own, attached at creation, a unit while it runs, detached at removal.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "nspawn/process/user.h"
#include "nspawn/process_spec.h"

namespace nspawn {

class Bus;

// cgroup v2 resources as the unit's settings say them. Absent members are not set.
struct Resources {
  std::optional<uint64_t> cpu_shares;  // cgroup v1 shares, 2..262144, turned into CPUWeight=
  std::optional<int64_t> cpu_quota;    // microseconds per period; negative: no limit
  std::optional<uint64_t> cpu_period;  // microseconds
  std::string cpuset_cpus;             // "0-1,3"
  std::string cpuset_mems;
  std::optional<int64_t> memory_limit;       // bytes; negative: no limit
  std::optional<int64_t> memory_swap_limit;  // bytes of memory and swap together, as OCI has it; negative: no limit
  std::vector<std::pair<std::string, uint64_t>> hugepage_limits;  // "2MB" → bytes
  std::vector<std::pair<std::string, std::string>> unified;       // cgroup file → value
};

struct DeviceRule {
  std::string path;         // "/dev/null", "char-pts", or "char 1:3"
  std::string permissions;  // of "rwm"
};

struct ContainerSpec {
  // Name of the portable image and, with ".service", of the unit; see ReadableName().
  std::string name;
  std::string description;
  std::string slice;
  std::string network_namespace;  // path; empty: the host's
  ProcessSpec process;
  std::vector<char> seccomp_program;  // written into the bundle when process.seccomp is set
  Resources resources;
  int oom_score_adjust = 0;
  bool all_devices = false;  // privileged
  std::vector<DeviceRule> devices;
  std::string stop_signal = "SIGTERM";
  // The [X-Kubernetes] section of the unit: key → value. Both may hold anything; they are escaped.
  std::vector<std::pair<std::string, std::string>> metadata;
  // A service of the host by itself (host_service.h) instead of a container that a daemon looks after: systemd starts
  // it at boot and again after a failure, and keeps its output. The section is [X-Image] then.
  bool host_service = false;
};

// Exit code of a container whose end nobody saw, for example because the node was started anew; as containerd has it.
inline constexpr int kUnknownExitCode = 255;

// How a container's process ended.
struct Exit {
  int code = 0;  // 0..255; 128 + signal when a signal ended it
  int signal = 0;
  bool oom_killed = false;
  int64_t started_at = 0;   // nanoseconds since the epoch
  int64_t finished_at = 0;  // nanoseconds since the epoch
};

struct Container {
  enum class State { kCreated, kRunning, kExited };
  std::string name;
  State state = State::kCreated;
  bool starting = false;         // kCreated, and an earlier run of the daemon was cut off while it started this
  pid_t pid = 0;                 // while running
  int64_t started_at = 0;        // nanoseconds since the epoch, 0 before the start
  std::string cgroup;            // of the unit, below /sys/fs/cgroup
  std::optional<Identity> user;  // whom its program runs as, known from the start on
  Exit exit;                     // when kExited
};

struct ContainerOptions {
  std::string bundle_root = "/run/cri-nspawn/containers";
  std::string init = "/usr/lib/cri-nspawn/init";
  std::string cgroup_root = "/sys/fs/cgroup";
  // Where drop-ins go: beside what SetUnitProperties() writes. It is one of the directories whose changes do not have
  // systemd look through all unit files anew (lookup_paths_mtime_exclude() of systemd).
  std::string drop_ins = "/run/systemd/system.control";
  // Where portabled puts the units of attached images and their drop-ins, and where it makes links to the images.
  std::string attached = "/run/systemd/system.attached";
  std::string attached_images = "/run/portables";
};

// Thread-safe; calls block until systemd's job is done. Calls that change the same container are to be made one after
// another, except that Stop() may be called at any time.
class Containers {
 public:
  // Removes what a crash left of half-written bundles. `bus` must live longer.
  static base::Result<std::unique_ptr<Containers>> Make(Bus& bus, ContainerOptions options = {});
  virtual ~Containers() = default;

  // Directory of a container's bundle: "stdout", "stderr" and "stdin" in it are the FIFOs of its streams.
  virtual std::string BundleDirectory(const std::string& name) const = 0;

  // Writes the bundle and attaches it. On failure nothing is left.
  virtual base::Status Create(const ContainerSpec& spec) = 0;
  // Starts the unit. An error carries what init reported ("exec /bin/nope: No such file or directory"), as
  // kNotFound, kInvalidArgument, kPermissionDenied … A process that ran and has already ended is no error.
  virtual base::Result<Container> Start(const std::string& name) = 0;
  // Sends `signal` (empty: the one of the spec) to the container's process, waits until it has ended or `grace` is
  // over, then kills all that is left. No error when it does not run.
  virtual base::Status Stop(const std::string& name, const std::string& signal, std::chrono::milliseconds grace) = 0;
  // Stops at once when it runs, detaches, removes the bundle and the writable layer. No error when there is nothing.
  virtual base::Status Remove(const std::string& name) = 0;
  // Applies to the running unit and to a later start.
  virtual base::Status Update(const std::string& name, const Resources& resources) = 0;
  // Applies to a slice with all that runs in it, until the next boot.
  virtual base::Status UpdateSlice(const std::string& slice, const Resources& resources) = 0;
  // kNotFound when there is no such bundle.
  virtual base::Result<Container> Find(const std::string& name) = 0;
  // All containers that have a bundle, in few bus calls: for the reconciliation at start.
  virtual base::Result<std::map<std::string, Container>> List() = 0;
  // `handler` is called from the bus thread, once, when a container's process has ended; it must not block. Not for an
  // end that List() or Find() find after the daemon was away. To be set before the first other call.
  virtual void OnExit(std::function<void(const std::string& name, const Exit&)> handler) = 0;
};

}  // namespace nspawn
