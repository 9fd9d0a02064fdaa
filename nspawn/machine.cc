#include "nspawn/machine.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <limits>
#include <map>
#include <mutex>
#include <optional>

#include "base/fault.h"
#include "base/files.h"
#include "base/log.h"
#include "base/text.h"
#include "base/trace.h"
#include "nspawn/bus.h"
#include "nspawn/hostname.h"
#include "nspawn/machine_cgroups.h"
#include "nspawn/oom_score.h"
#include "nspawn/pause_root.h"
#include "nspawn/service_failure.h"

namespace nspawn {
namespace {

using base::Code;
using base::Error;
using base::InvalidArgument;
using base::Result;
using base::Status;

constexpr uint64_t kStartTimeout = 60'000'000;  // microseconds
constexpr uint64_t kStopTimeout = 10'000'000;
constexpr char kPropagation[] = "/run/systemd/nspawn/propagate";
// As the pause containers of other runtimes have it: a pod's namespaces are the last to go.
constexpr int32_t kOomScore = -998;
// Three for each of 340 containers; what does not fit is kept by the daemon's own store alone.
constexpr uint32_t kLentDescriptors = 1024;

// systemd-nspawn mounts a devpts whose files have group 5 of the machine, by its number on the host. Linux 6.1 reads
// that as a signed number, so that no machine starts whose ids are mapped beyond this.
constexpr uint32_t kLastHostId = std::numeric_limits<int32_t>::max() - 5;

std::string UnitName(const std::string& name) {
  return name + ".service";
}

bool HasOnlyLettersDigitsAnd(std::string_view text, std::string_view more) {
  return std::all_of(text.begin(), text.end(), [&](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || more.find(c) != more.npos;
  });
}

bool IsUuid(std::string_view text) {
  if (text.size() != 36) return false;
  bool zero = true;
  for (size_t i = 0; i < text.size(); ++i) {
    if (i == 8 || i == 13 || i == 18 || i == 23) {
      if (text[i] != '-') return false;
    } else if (!isxdigit(static_cast<unsigned char>(text[i]))) {
      return false;
    } else if (text[i] != '0') {
      zero = false;
    }
  }
  return !zero;
}

// A UUID that is always the same for a text (FNV-1a, twice). It names, it protects nothing.
std::string UuidOf(std::string_view text) {
  uint64_t halves[] = {0xcbf29ce484222325, 0x84222325cbf29ce4};
  for (uint64_t& half : halves) {
    for (const char c : text) half = (half ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  }
  std::string bytes;
  for (const uint64_t half : halves) {
    for (int shift = 56; shift >= 0; shift -= 8) bytes += static_cast<char>(half >> shift & 0xff);
  }
  bytes[6] = static_cast<char>((bytes[6] & 0x0f) | 0x40);
  bytes[8] = static_cast<char>((bytes[8] & 0x3f) | 0x80);
  std::string uuid = base::Hex(bytes);
  for (const size_t at : {8, 13, 18, 23}) uuid.insert(at, "-");
  return uuid;
}

std::vector<uint8_t> UuidBytes(const std::string& uuid) {
  std::string digits;
  for (const char c : uuid) {
    if (c != '-') digits += c;
  }
  std::vector<uint8_t> bytes;
  for (size_t i = 0; i + 1 < digits.size(); i += 2) {
    bytes.push_back(static_cast<uint8_t>(std::stoul(digits.substr(i, 2), nullptr, 16)));
  }
  return bytes;
}

Status Check(const MachineSpec& spec) {
  const auto unfit = [](std::string_view what, const std::string& value) {
    return InvalidArgument("\"" + base::Printable(value, 256) + "\" is no valid " + std::string(what));
  };
  if (!IsHostname(spec.name) || spec.name.find('.') != std::string::npos) return unfit("machine name", spec.name);
  if (!spec.hostname.empty() && !spec.host_uts && !IsHostname(spec.hostname)) return unfit("host name", spec.hostname);
  // These become words of a command line, in which systemd would expand '$'.
  if (!spec.network_namespace.empty() &&
      (spec.network_namespace.front() != '/' || !HasOnlyLettersDigitsAnd(spec.network_namespace, "/._-"))) {
    return unfit("path of a network namespace", spec.network_namespace);
  }
  if (spec.user_namespace && (!spec.network_namespace.empty() || spec.host_pid || spec.host_ipc || spec.host_uts ||
                              spec.user_namespace->container_id != 0 || spec.user_namespace->length == 0)) {
    return InvalidArgument("a machine with a user namespace maps ids from 0 on and shares no other namespace");
  }
  return {};
}

std::vector<Setting> UnitSettings(const MachineSpec& spec, const std::string& uuid, const std::string& root,
                                  bool may_lower_oom_score) {
  Command command = {
      "/usr/bin/systemd-nspawn",
      "--quiet",
      "--keep-unit",
      // By the daemon, below: nspawn would keep a connection to the bus for as long as the pod lives, of which
      // dbus-daemon allows root 256.
      "--register=no",
      "--machine=" + spec.name,
      "--uuid=" + uuid,
      "--directory=" + root,
      "--read-only",
      "--link-journal=no",
      "--resolv-conf=off",
      "--timezone=off",
      "--console=pipe",
      "--drop-capability=all",
      "--no-new-privileges=yes",
  };
  if (!spec.network_namespace.empty()) command.push_back("--network-namespace-path=" + spec.network_namespace);
  if (spec.user_namespace) {
    command.push_back("--private-users=" + std::to_string(spec.user_namespace->host_id) + ":" +
                      std::to_string(spec.user_namespace->length));
    // All machines share one root directory: it stays as it is, and everybody may read it.
    command.emplace_back("--private-users-ownership=off");
    command.emplace_back("--private-network");
  }
  if (!spec.host_uts) {
    std::string hostname = spec.hostname;
    if (utsname host{}; hostname.empty() && uname(&host) == 0) hostname = host.nodename;
    if (IsHostname(hostname)) command.push_back("--hostname=" + hostname);
  }
  command.insert(command.end(), {"--", "/pause"});

  std::vector<std::string> environment = {
      // Only pause runs below nspawn's system-call filter, without capabilities or new privileges; compiling the filter
      // would take three quarters of the start.
      "SYSTEMD_SECCOMP=0",
      "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1",
  };
  if (spec.host_pid) environment.emplace_back("SYSTEMD_NSPAWN_SHARE_NS_PID=1");
  if (spec.host_ipc) environment.emplace_back("SYSTEMD_NSPAWN_SHARE_NS_IPC=1");
  if (spec.host_uts) environment.emplace_back("SYSTEMD_NSPAWN_SHARE_NS_UTS=1");

  const std::vector<std::string> shutdown = {"shutdown.target"};
  return {
      {"Description", base::Printable(spec.description.empty() ? spec.name : spec.description, 1024)},
      {"DefaultDependencies", false},
      {"Conflicts", shutdown},
      {"Before", shutdown},
      {"IgnoreOnIsolate", true},
      {"CollectMode", std::string("inactive-or-failed")},
      {"Type", std::string("notify")},
      // The daemon gives it what containers write while no daemon is there: see FdStore::Lend().
      {"NotifyAccess", std::string("all")},
      {"FileDescriptorStoreMax", kLentDescriptors},
      {"Slice", spec.slice.empty() ? std::string("machine.slice") : spec.slice},
      {"Delegate", true},
      {"KillMode", std::string("mixed")},
      {"TasksMax", std::numeric_limits<uint64_t>::max()},
      {"TimeoutStartUSec", kStartTimeout},
      {"TimeoutStopUSec", kStopTimeout},
      {"OOMScoreAdjust", may_lower_oom_score ? kOomScore : int32_t{0}},
      {"StandardInput", std::string("null")},
      {"StandardOutput", std::string("null")},
      {"StandardError", std::string("journal")},
      {"Environment", std::move(environment)},
      {"ExecStart", std::vector<Command>{std::move(command)}},
  };
}

// nspawn makes it for mounts that are handed into the machine, and leaves it when it is killed.
void RemovePropagation(const std::string& name) {
  const std::string path = std::string(kPropagation) + "/" + name;
  if (rmdir(path.c_str()) != 0 && errno != ENOENT) {
    base::Log(base::LogLevel::kWarning, base::ErrnoError("removing " + path).message());
  }
}

struct Record {
  ServiceState state;
  std::optional<Machine> machine;  // once it runs
};

// Shared with the bus thread, which may still be in a handler when the Machines are gone.
class Records : public std::enable_shared_from_this<Records> {
 public:
  void SetHandler(std::function<void(const std::string&)> handler) {
    const std::lock_guard lock(mutex_);
    handler_ = std::move(handler);
  }

  std::function<void(const ServiceState&)> WatcherFor(const std::string& name) {
    return [weak = weak_from_this(), name](const ServiceState& state) {
      if (const auto self = weak.lock()) self->Apply(name, state);
    };
  }

  // False when there is a record already.
  bool Insert(const std::string& name) {
    const std::lock_guard lock(mutex_);
    return records_.try_emplace(name).second;
  }
  void Erase(const std::string& name) {
    const std::lock_guard lock(mutex_);
    records_.erase(name);
  }
  std::optional<Record> Find(const std::string& name) {
    const std::lock_guard lock(mutex_);
    const auto found = records_.find(name);
    if (found == records_.end()) return std::nullopt;
    return found->second;
  }
  // From now on its end is told; false when that has come already.
  bool SetRunning(const std::string& name, const Machine& machine) {
    const std::lock_guard lock(mutex_);
    const auto found = records_.find(name);
    if (found == records_.end() || found->second.state.exit_code != 0) return false;
    found->second.machine = machine;
    return true;
  }

 private:
  void Apply(const std::string& name, const ServiceState& state) {
    std::function<void(const std::string&)> handler;
    {
      const std::lock_guard lock(mutex_);
      const auto found = records_.find(name);
      if (found == records_.end()) return;
      found->second.state = state;
      if (state.exit_code == 0 || !found->second.machine) return;
      records_.erase(found);
      handler = handler_;
    }
    RemovePropagation(name);
    if (handler) handler(name);
  }

  std::mutex mutex_;
  std::map<std::string, Record> records_;            // guarded by mutex_
  std::function<void(const std::string&)> handler_;  // guarded by mutex_
};

class SystemdMachines : public Machines {
 public:
  SystemdMachines(Bus& bus, MachineOptions options)
      : bus_(bus),
        options_(std::move(options)),
        records_(std::make_shared<Records>()),
        cgroups_(options_.cgroup_root),
        may_lower_oom_score_(MayLowerOomScore()) {}

  Result<Machine> Start(const MachineSpec& spec) override;
  Status Stop(const std::string& name) override;
  Result<Machine> Find(const std::string& name) override;
  void OnEnd(std::function<void(const std::string&)> handler) override { records_->SetHandler(std::move(handler)); }

 private:
  Result<Machine> Describe(const std::string& name, pid_t supervisor);
  Result<pid_t> OnlyChild(pid_t parent);
  Result<Machine> Run(const MachineSpec& spec);
  void Forget(const std::string& name);

  Bus& bus_;
  const MachineOptions options_;
  const std::shared_ptr<Records> records_;
  MachineCgroups cgroups_;
  const bool may_lower_oom_score_;
};

// When nspawn has said that it is ready, the leader is the only child that it has left.
Result<pid_t> SystemdMachines::OnlyChild(pid_t parent) {
  const std::string process = std::to_string(parent);
  ASSIGN_OR_RETURN(const std::string children,
                   base::ReadFile(options_.proc_root + "/" + process + "/task/" + process + "/children", 4096));
  const auto child = base::ParseUnsigned(base::Trim(children));
  if (!child || *child == 0 || *child > INT32_MAX) {
    return base::Internal("systemd-nspawn (process " + process + ") has the children \"" +
                          base::Printable(base::Trim(children), 64) + "\" instead of one");
  }
  return static_cast<pid_t>(*child);
}

Result<Machine> SystemdMachines::Describe(const std::string& name, pid_t supervisor) {
  Machine machine;
  machine.name = name;
  machine.running = true;
  ASSIGN_OR_RETURN(machine.leader, OnlyChild(supervisor));
  const std::string process = options_.proc_root + "/" + std::to_string(machine.leader);
  const std::pair<const char*, uint64_t*> kinds[] = {{"pid", &machine.pid_namespace},
                                                     {"ipc", &machine.ipc_namespace},
                                                     {"uts", &machine.uts_namespace},
                                                     {"user", &machine.user_namespace}};
  for (const auto& [kind, inode] : kinds) {
    struct stat info {};
    const std::string path = process + "/ns/" + kind;
    if (stat(path.c_str(), &info) != 0) return base::ErrnoError("looking at " + path);
    *inode = info.st_ino;
  }
  ASSIGN_OR_RETURN(machine.cgroup, bus_.GetControlGroup(UnitName(name)));
  return machine;
}

void SystemdMachines::Forget(const std::string& name) {
  bus_.Unwatch(UnitName(name));
  records_->Erase(name);
  cgroups_.Forget(name);
}

Result<Machine> SystemdMachines::Run(const MachineSpec& spec) {
  const std::string uuid = IsUuid(spec.uuid) ? spec.uuid : UuidOf(spec.name + spec.uuid);
  ASSIGN_OR_RETURN(
      const std::string job,
      bus_.StartTransientUnit(UnitName(spec.name), UnitSettings(spec, uuid, options_.root, may_lower_oom_score_)));
  const auto record = records_->Find(spec.name);
  const ServiceState state = record ? record->state : ServiceState();
  FAULT_POINT("sandbox run: unit of the machine started");
  if (job != "done" || state.main_pid == 0) return ServiceFailure(state, job, "systemd-nspawn");
  ASSIGN_OR_RETURN(Machine machine, Describe(spec.name, state.main_pid));
  RETURN_IF_ERROR(bus_.RegisterMachine(spec.name, UuidBytes(uuid), machine.leader, options_.root));
  if (!records_->SetRunning(spec.name, machine)) return Error(Code::kAborted, "it ended at once");
  cgroups_.MergeSoon(spec.name, machine.cgroup);
  return machine;
}

Result<Machine> SystemdMachines::Start(const MachineSpec& spec) {
  const base::TraceSpan span("nspawn", "start machine", spec.name);
  std::string doing = "starting machine " + base::Printable(spec.name, 80);
  RETURN_IF_ERROR(Check(spec).Wrap(doing));
  if (!records_->Insert(spec.name)) return Error(Code::kAlreadyExists, doing + ": there is one by that name");
  bus_.Watch(UnitName(spec.name), records_->WatcherFor(spec.name));
  auto machine = Run(spec);
  if (!machine.ok()) {
    Forget(spec.name);
    // A unit by that name that was there before is not ours to stop.
    if (machine.error().code() != Code::kAlreadyExists) {
      (void)bus_.StopUnit(UnitName(spec.name));
      (void)bus_.ResetFailedUnit(UnitName(spec.name));
      RemovePropagation(spec.name);
    }
    if (spec.user_namespace && spec.user_namespace->host_id > kLastHostId) {
      doing += ", whose user namespace begins at " + std::to_string(spec.user_namespace->host_id) +
               ", where some kernels mount no devpts";
    }
  }
  return std::move(machine).Wrap(doing);
}

Status SystemdMachines::Stop(const std::string& name) {
  const base::TraceSpan span("nspawn", "stop machine", name);
  const std::string doing = "stopping machine " + name;
  // Asked again when the pod is removed, it is mostly gone.
  ASSIGN_OR_RETURN(const bool loaded, bus_.IsLoaded(UnitName(name)).Wrap(doing));
  if (loaded) {
    const auto job = bus_.StopUnit(UnitName(name));
    if (!job.ok() && job.error().code() != Code::kNotFound) return Error(job.error()).Wrap(doing);
  }
  FAULT_POINT("sandbox stop: machine stopped");
  RemovePropagation(name);
  // Its end has been told by now.
  Forget(name);
  return {};
}

Result<Machine> SystemdMachines::Find(const std::string& name) {
  if (const auto record = records_->Find(name); record && record->machine) return *record->machine;
  const std::string doing = "finding machine " + base::Printable(name, 80);
  if (!IsHostname(name)) return base::NotFound(doing + ": there is none");
  const bool inserted = records_->Insert(name);
  if (inserted) bus_.Watch(UnitName(name), records_->WatcherFor(name));
  auto machine = [&]() -> Result<Machine> {
    ASSIGN_OR_RETURN(const ServiceState state, bus_.GetService(UnitName(name)));
    if (state.main_pid == 0) return base::NotFound("it does not run");
    return Describe(name, state.main_pid);
  }();
  if (inserted && machine.ok() && !records_->SetRunning(name, *machine)) machine = base::NotFound("it has ended");
  if (inserted && machine.ok()) cgroups_.MergeSoon(name, machine->cgroup);
  if (inserted && !machine.ok()) Forget(name);
  return std::move(machine).Wrap(doing);
}

}  // namespace

Result<std::unique_ptr<Machines>> Machines::Make(Bus& bus, MachineOptions options) {
  RETURN_IF_ERROR(MakePauseRoot(options.root, options.pause));
  return std::unique_ptr<Machines>(std::make_unique<SystemdMachines>(bus, std::move(options)));
}

}  // namespace nspawn
