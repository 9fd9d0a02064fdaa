#include "nspawn/container.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <mutex>
#include <set>
#include <utility>

#include "base/clock.h"
#include "base/fault.h"
#include "base/fd.h"
#include "base/files.h"
#include "base/log.h"
#include "base/text.h"
#include "base/trace.h"
#include "nspawn/bundle.h"
#include "nspawn/bus.h"
#include "nspawn/cgroup_file.h"
#include "nspawn/oom_kills.h"
#include "nspawn/oom_score.h"
#include "nspawn/resources.h"
#include "nspawn/service_failure.h"
#include "nspawn/signal_name.h"
#include "nspawn/start_status.h"
#include "nspawn/unit_text.h"
#include "nspawn/writable_layer.h"

namespace nspawn {
namespace {

using base::Code;
using base::Error;
using base::Result;
using base::Status;

constexpr char kProfile[] = "cri-nspawn";
// How long killed processes may take to be gone; longer means that the kernel holds them.
constexpr std::chrono::seconds kKillTimeout(10);

// Where systemd has the cgroup of a slice: "a-b.slice" is "/a.slice/a-b.slice" (systemd.slice(5)).
std::string CgroupOfSlice(const std::string& slice) {
  if (slice == "-.slice") return "";
  std::string path;
  for (size_t dash = slice.find('-'); dash != std::string::npos; dash = slice.find('-', dash + 1)) {
    path += "/" + slice.substr(0, dash) + ".slice";
  }
  return path + "/" + slice;
}

// What there is of a container in memory. Filled from disk and systemd once, then kept right by signals.
struct Record {
  ServiceState state;
  bool ran = false;  // its program has been executed
  // That is certain: the unit's status text, which init wrote at the start, is not looked at any more. A process of
  // the container that can reach systemd's socket could change it.
  bool confirmed = false;
  pid_t pid = 0;
  int64_t started_at = 0;
  std::string cgroup;
  std::optional<Exit> exit;
};

// Shared with the bus thread, which may still be in a handler when the Containers are gone.
class Records : public std::enable_shared_from_this<Records> {
 public:
  Records(Bundles bundles, std::string cgroup_root)
      : bundles_(std::move(bundles)), cgroup_root_(std::move(cgroup_root)) {}

  const Bundles& bundles() const { return bundles_; }

  void SetHandler(std::function<void(const std::string&, const Exit&)> handler) {
    const std::lock_guard lock(mutex_);
    handler_ = std::move(handler);
  }

  std::function<void(const ServiceState&)> WatcherFor(const std::string& name) {
    return [weak = weak_from_this(), name](const ServiceState& state) {
      if (const auto self = weak.lock()) self->Apply(name, state, true);
    };
  }

  std::optional<Record> Find(const std::string& name) {
    const std::lock_guard lock(mutex_);
    const auto found = records_.find(name);
    if (found == records_.end()) return std::nullopt;
    return found->second;
  }
  void Insert(const std::string& name) {
    const std::lock_guard lock(mutex_);
    records_.try_emplace(name);
  }
  void Erase(const std::string& name) {
    const std::lock_guard lock(mutex_);
    records_.erase(name);
    changed_.notify_all();
  }
  void SetCgroup(const std::string& name, const std::string& cgroup) {
    const std::lock_guard lock(mutex_);
    const auto found = records_.find(name);
    if (found != records_.end()) found->second.cgroup = cgroup;
  }
  void Confirm(const std::string& name) {
    const std::lock_guard lock(mutex_);
    const auto found = records_.find(name);
    if (found != records_.end()) found->second.confirmed = true;
  }
  void SetExit(const std::string& name, const Exit& exit) {
    const std::lock_guard lock(mutex_);
    const auto found = records_.find(name);
    if (found == records_.end() || found->second.exit) return;
    found->second.ran = true;
    found->second.pid = 0;
    found->second.started_at = exit.started_at;
    found->second.exit = exit;
    changed_.notify_all();
  }

  // Takes in what systemd says. `announce`: an end that is news is told to the handler.
  void Apply(const std::string& name, const ServiceState& state, bool announce) {
    std::function<void(const std::string&, const Exit&)> handler;
    std::string cgroup;
    Exit exit;
    const bool had_oom_kills = state.exit_code != 0 && HadOomKills(name);
    {
      const std::lock_guard lock(mutex_);
      const auto found = records_.find(name);
      if (found == records_.end() || found->second.exit) return;
      Record& record = found->second;
      record.state = state;
      if (!state.cgroup.empty()) record.cgroup = state.cgroup;
      // Before init says so, the main process is init itself; and it may still take it back.
      record.ran = record.confirmed || state.status_text == kStartedStatus;
      if (!record.ran) {
        record.pid = 0;
        return;
      }
      record.pid = state.main_pid;
      record.started_at = static_cast<int64_t>(state.started_at) * 1000;
      if (state.exit_code == 0) return;
      exit.oom_killed = state.result == "oom-kill" || (ExitSignal(state) == SIGKILL && had_oom_kills);
      exit.signal = exit.oom_killed ? SIGKILL : ExitSignal(state);
      exit.code = exit.oom_killed ? 128 + SIGKILL : ExitCode(state);
      exit.started_at = record.started_at;
      exit.finished_at = static_cast<int64_t>(state.exited_at) * 1000;
      record.exit = exit;
      record.pid = 0;
      cgroup = record.cgroup;
      if (announce) handler = handler_;
    }
    FAULT_POINT("container exit: told by systemd");
    // Below /run, so neither blocks. The unit's own record of the end is lost when it is stopped.
    if (auto status = bundles_.WriteExit(name, exit); !status.ok()) {
      base::Log(base::LogLevel::kError, "container " + name + ": keeping its exit status: " + status.error().message());
    }
    FAULT_POINT("container exit: kept in the bundle");
    KillAll(cgroup);
    if (had_oom_kills && !cgroup.empty()) {
      const std::string slice = SliceOf(cgroup);
      for (const auto& [other, other_cgroup] : RunningIn(slice)) KeepOomKills(other, slice);
    }
    changed_.notify_all();
    if (handler) handler(name, exit);
  }

  // With memory.oom.group=0 the kernel may kill the main process alone, and systemd does not tell that from any other
  // SIGKILL. The container's own count of such kills goes with its cgroup; that of the slice stays, and holds those of
  // all containers, running or gone. What is kept from before a container's start is how many were of containers that
  // are gone: when there are more at its end, they are its own.
  void KeepOomKills(const std::string& name, const std::string& slice) {
    // A slice is made with its first unit.
    bundles_.KeepOomKills(name, {.slice = slice, .gone = OomKillsOfTheGone(slice, "").value_or(0)});
  }

  // Waits until the container has ended; true when it has (or is gone).
  bool WaitForExit(const std::string& name, std::chrono::steady_clock::time_point deadline) {
    std::unique_lock lock(mutex_);
    return changed_.wait_until(lock, deadline, [&] {
      const auto found = records_.find(name);
      return found == records_.end() || found->second.exit.has_value() || !found->second.ran;
    });
  }

  // Kills every process in a unit's cgroup and below; nothing happens when it is gone.
  void KillAll(const std::string& cgroup) const {
    // Never the root of the tree.
    if (cgroup.size() < 2) return;
    const auto status = WriteCgroupFile(cgroup_root_ + cgroup, "cgroup.kill", "1");
    if (!status.ok() && status.error().code() != Code::kNotFound && status.error().number() != ENODEV) {
      base::Log(base::LogLevel::kWarning, "killing what is left of " + cgroup + ": " + status.error().message());
    }
  }

 private:
  static std::string SliceOf(const std::string& cgroup) { return cgroup.substr(0, cgroup.rfind('/')); }

  // Name and cgroup of each container that runs in a slice.
  std::map<std::string, std::string> RunningIn(const std::string& slice) {
    std::map<std::string, std::string> running;
    const std::lock_guard lock(mutex_);
    for (const auto& [name, record] : records_) {
      if (record.ran && !record.exit && SliceOf(record.cgroup) == slice) running[name] = record.cgroup;
    }
    return running;
  }

  // `ended` has gone, even if its record does not say so yet.
  std::optional<uint64_t> OomKillsOfTheGone(const std::string& slice, const std::string& ended) {
    const auto all = ReadOomKills(cgroup_root_ + slice);
    if (!all || *all == 0) return all;
    uint64_t running = 0;
    for (const auto& [name, cgroup] : RunningIn(slice)) {
      if (name != ended) running += ReadOomKills(cgroup_root_ + cgroup).value_or(0);
    }
    return *all - std::min(*all, running);
  }

  bool HadOomKills(const std::string& ended) {
    const auto kept = bundles_.ReadOomKills(ended);
    if (!kept) return false;
    const auto gone = OomKillsOfTheGone(kept->slice, ended);
    return gone && *gone > kept->gone;
  }

  const Bundles bundles_;
  const std::string cgroup_root_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, Record> records_;                         // guarded by mutex_
  std::function<void(const std::string&, const Exit&)> handler_;  // guarded by mutex_
};

class SystemdContainers : public Containers {
 public:
  SystemdContainers(Bus& bus, ContainerOptions options)
      : bus_(bus),
        options_(std::move(options)),
        records_(std::make_shared<Records>(Bundles(options_.bundle_root), options_.cgroup_root)),
        may_lower_oom_score_(MayLowerOomScore()) {}

  std::string BundleDirectory(const std::string& name) const override { return bundles().Path(name); }
  Status Create(const ContainerSpec& spec) override;
  Result<Container> Start(const std::string& name) override;
  Status Stop(const std::string& name, const std::string& signal, std::chrono::milliseconds grace) override;
  Status Remove(const std::string& name) override;
  Status Update(const std::string& name, const Resources& resources) override;
  Status UpdateSlice(const std::string& slice, const Resources& resources) override;
  Result<Container> Find(const std::string& name) override;
  Result<std::map<std::string, Container>> List() override;
  void OnExit(std::function<void(const std::string&, const Exit&)> handler) override {
    records_->SetHandler(std::move(handler));
  }

 private:
  const Bundles& bundles() const { return records_->bundles(); }

  // The record of a container that has a bundle, read from disk and systemd when there is none in memory.
  // `loaded`: whether systemd has its unit, where that is known.
  Result<Record> Load(const std::string& name, std::optional<bool> loaded = std::nullopt);
  // Whether the container's program has been executed, as far as its bundle tells.
  Result<bool> HasRun(const std::string& name) const;
  Error StartFailure(const std::string& name, const std::string& job_result);
  Status SetUnitProperties(const std::string& unit, ResourceSettings& resources);
  Status ApplyCgroupFiles(const std::string& name, const CgroupFiles& files);
  Status WriteCgroupFiles(const std::string& cgroup, const CgroupFiles& files) const;
  Status Kill(const std::string& name);
  Status Detach(const std::string& name);
  std::string DropInDirectory(const std::string& name) const { return options_.drop_ins + "/" + UnitName(name) + ".d"; }
  Status WriteDropIn(const std::string& name) const;
  Result<Container> Describe(const std::string& name, const Record& record) const;

  Bus& bus_;
  const ContainerOptions options_;
  const std::shared_ptr<Records> records_;
  const bool may_lower_oom_score_;
  std::once_flag oom_score_notice_;
};

Result<Container> SystemdContainers::Describe(const std::string& name, const Record& record) const {
  Container container;
  container.name = name;
  container.started_at = record.started_at;
  if (record.exit) {
    container.state = Container::State::kExited;
    container.exit = *record.exit;
  } else if (record.ran) {
    container.state = Container::State::kRunning;
    container.pid = record.pid;
    container.cgroup = record.cgroup;
  } else {
    container.starting = bundles().IsStarting(name);
  }
  if (record.ran) {
    ASSIGN_OR_RETURN(container.user, bundles().ReadUser(name));
  }
  return container;
}

Status SystemdContainers::Create(const ContainerSpec& asked) {
  if (!IsReadableName(asked.name)) {
    return base::InvalidArgument("\"" + base::Printable(asked.name, 80) + "\" is no valid name of a container's unit");
  }
  ContainerSpec spec = asked;
  if (spec.oom_score_adjust < 0 && !may_lower_oom_score_) {
    std::call_once(oom_score_notice_, [] {
      base::Log(base::LogLevel::kWarning,
                "this machine does not let OOM scores be lowered (no CAP_SYS_RESOURCE): negative OOM score "
                "adjustments of containers are taken as 0");
    });
    spec.oom_score_adjust = 0;
  }
  spec.process.oom_score_adjust = spec.oom_score_adjust;
  ASSIGN_OR_RETURN(const ResourceSettings resources, MapResources(spec.resources));
  ASSIGN_OR_RETURN(const std::string unit_text, UnitText(spec, resources, options_.init, bundles().Path(spec.name)));
  // The bundle comes first: it says what else there is.
  RETURN_IF_ERROR(bundles().Write(spec, unit_text, resources.files));
  FAULT_POINT("container create: bundle written");
  // Counted when it starts.
  bundles().KeepOomKills(spec.name, {.slice = CgroupOfSlice(SliceName(spec)), .gone = 0});
  Status status = MakeWritableLayer(spec.process);
  FAULT_POINT("container create: writable layer made");
  if (status.ok()) status = WriteDropIn(spec.name);
  if (status.ok()) {
    status = bus_.AttachImage(bundles().Path(spec.name), spec.name, kProfile);
    FAULT_POINT("container create: image attached");
    // It may be attached all the same, when the answer was lost.
    if (!status.ok() && status.error().code() != Code::kInvalidArgument) (void)Detach(spec.name);
  }
  if (!status.ok()) {
    (void)base::RemoveTree(DropInDirectory(spec.name));
    (void)RemoveWritableLayer(spec.process);
    (void)bundles().Remove(spec.name);
    return std::move(status).Wrap("creating container " + spec.name);
  }
  records_->Insert(spec.name);
  bus_.Watch(UnitName(spec.name), records_->WatcherFor(spec.name));
  return {};
}

Result<bool> SystemdContainers::HasRun(const std::string& name) const {
  if (bundles().IsStarted(name)) return true;
  // The daemon was killed while it started the container. init writes the user last of all, just before it executes the
  // program; without it this start did not come so far, and may be repeated.
  if (!bundles().IsStarting(name)) return false;
  ASSIGN_OR_RETURN(const std::optional<Identity> user, bundles().ReadUser(name));
  return user.has_value();
}

Result<Record> SystemdContainers::Load(const std::string& name, std::optional<bool> loaded) {
  if (auto record = records_->Find(name)) return *std::move(record);
  if (!bundles().Exists(name)) return base::NotFound("there is no container " + base::Printable(name, 80));
  ASSIGN_OR_RETURN(const std::optional<Exit> exit, bundles().ReadExit(name));
  records_->Insert(name);
  if (bundles().IsStarted(name)) records_->Confirm(name);
  if (exit) {
    records_->SetExit(name, *exit);
  } else {
    // Watching first: whatever happens after the state was read is signalled.
    bus_.Watch(UnitName(name), records_->WatcherFor(name));
    if (loaded.value_or(true)) {
      auto state = bus_.GetService(UnitName(name));
      if (!state.ok()) {
        bus_.Unwatch(UnitName(name));
        records_->Erase(name);
        return std::move(state).error();
      }
      records_->Apply(name, *state, false);
    }
    const auto record = records_->Find(name);
    bool unloaded = false;
    if (record && record->state.started_at == 0) {
      // A unit whose program has run, and of which systemd knows nothing, was unloaded.
      ASSIGN_OR_RETURN(unloaded, HasRun(name));
    }
    if (unloaded) {
      Exit unknown;
      unknown.code = kUnknownExitCode;
      unknown.finished_at = base::NowNanoseconds();
      base::Log(
          base::LogLevel::kWarning,
          "container " + name + " ended while nobody watched, and its unit was unloaded: its exit status is lost");
      RETURN_IF_ERROR(bundles().WriteExit(name, unknown));
      records_->SetExit(name, unknown);
    }
  }
  if (auto record = records_->Find(name)) return *std::move(record);
  return base::NotFound("container " + name + " has been removed");
}

Error SystemdContainers::StartFailure(const std::string& name, const std::string& job_result) {
  const auto record = records_->Find(name);
  const ServiceState state = record ? record->state : ServiceState();
  if (auto error = ParseStartError(state.status_text)) return *std::move(error);
  return ServiceFailure(state, job_result, "init");
}

Status SystemdContainers::ApplyCgroupFiles(const std::string& name, const CgroupFiles& files) {
  const auto record = records_->Find(name);
  if (!record || record->exit || record->cgroup.empty()) return {};
  return WriteCgroupFiles(record->cgroup, files);
}

Status SystemdContainers::WriteCgroupFiles(const std::string& cgroup, const CgroupFiles& files) const {
  for (const auto& [file, value] : files) {
    auto status = WriteCgroupFile(options_.cgroup_root + cgroup, file, value);
    if (status.ok()) continue;
    // It ended meanwhile.
    if (status.error().number() == ENODEV) return {};
    if (status.error().code() == Code::kNotFound) {
      if (access((options_.cgroup_root + cgroup).c_str(), F_OK) != 0) return {};
      // The kubelet sends a limit for every size of huge pages; where the controller is off there is nothing to limit.
      if (file.starts_with("hugetlb.")) continue;
      return base::InvalidArgument("cgroup file " + file + " does not exist on this machine");
    }
    return std::move(status).error().WithCode(Code::kInvalidArgument);
  }
  return {};
}

Result<Container> SystemdContainers::Start(const std::string& name) {
  const base::TraceSpan span("nspawn", "start container", name);
  ASSIGN_OR_RETURN(const Record before, Load(name));
  if (before.exit) return Error(Code::kFailedPrecondition, "container " + name + " has already run and ended");
  if (before.ran) return Describe(name, before);
  const std::string doing = "starting container " + name;
  ASSIGN_OR_RETURN(const CgroupFiles files, bundles().ReadCgroupFiles(name));
  if (const auto kept = bundles().ReadOomKills(name)) records_->KeepOomKills(name, kept->slice);
  RETURN_IF_ERROR(bundles().MarkStarting(name).Wrap(doing));
  FAULT_POINT("container start: marked as starting");
  if (base::Tracing()) bundles().AskForSteps(name);
  auto job = bus_.StartUnit(UnitName(name));
  FAULT_POINT("container start: unit started");
  if (!job.ok()) {
    // Else it may be starting all the same.
    const Code code = job.error().code();
    if (code != Code::kUnavailable && code != Code::kDeadlineExceeded) bundles().ClearStarting(name);
    return std::move(job).error().Wrap(doing);
  }
  auto record = records_->Find(name);
  if (!record) return Error(Code::kAborted, doing + ": it was removed meanwhile");
  if (!record->ran) {
    Error failure = StartFailure(name, *job);
    bundles().ClearStarting(name);
    return std::move(failure).Wrap(doing);
  }
  if (base::Tracing()) bundles().TraceSteps(name, record->pid);
  records_->Confirm(name);
  RETURN_IF_ERROR(bundles().MarkStarted(name).Wrap(doing));
  FAULT_POINT("container start: marked as started");
  if (record->cgroup.empty()) {
    ASSIGN_OR_RETURN(const std::string cgroup, bus_.GetControlGroup(UnitName(name)));
    records_->SetCgroup(name, cgroup);
    record = records_->Find(name);
    if (!record) return Error(Code::kAborted, doing + ": it was removed meanwhile");
    // It may have ended before its cgroup was known.
    if (record->exit) records_->KillAll(cgroup);
  }
  if (auto status = ApplyCgroupFiles(name, files); !status.ok()) {
    (void)Kill(name);
    return std::move(status).error().Wrap(doing);
  }
  return Describe(name, *record);
}

Status SystemdContainers::Kill(const std::string& name) {
  auto record = records_->Find(name);
  if (!record || !record->ran || record->exit) return {};
  if (record->cgroup.empty()) {
    ASSIGN_OR_RETURN(record->cgroup, bus_.GetControlGroup(UnitName(name)));
    records_->SetCgroup(name, record->cgroup);
  }
  records_->KillAll(record->cgroup);
  FAULT_POINT("container stop: killed");
  if (!records_->WaitForExit(name, std::chrono::steady_clock::now() + kKillTimeout)) {
    return Error(Code::kDeadlineExceeded,
                 "processes of container " + name + " are still there 10 seconds after they were killed");
  }
  return {};
}

Status SystemdContainers::Stop(const std::string& name, const std::string& signal, std::chrono::milliseconds grace) {
  const auto record = Load(name);
  if (!record.ok()) return record.error().code() == Code::kNotFound ? Status() : record.error();
  if (!record->ran || record->exit) return {};
  const std::string doing = "stopping container " + name;
  if (grace.count() > 0) {
    std::string wanted = signal;
    if (wanted.empty()) {
      ASSIGN_OR_RETURN(wanted, bundles().ReadStopSignal(name));
    }
    const auto number = SignalNumber(wanted);
    if (!number) return base::InvalidArgument(doing + ": there is no signal \"" + base::Printable(wanted, 64) + "\"");
    const auto deadline = std::chrono::steady_clock::now() + grace;
    auto status = bus_.KillMainProcess(UnitName(name), *number);
    if (!status.ok()) {
      // It may have ended in this moment; its end is signalled then. Else it is killed below.
      base::Log(base::LogLevel::kDebug, doing + ": " + status.error().message());
    }
    if (status.ok() && records_->WaitForExit(name, deadline)) return {};
  }
  return Kill(name).Wrap(doing);
}

Status SystemdContainers::WriteDropIn(const std::string& name) const {
  // Not where portabled has its own: an operator's "portablectl detach" would find that directory not empty. It goes
  // with what Update() has added there.
  RETURN_IF_ERROR(base::MakeDirectories(DropInDirectory(name)));
  return base::WriteFileAtomic(DropInDirectory(name) + "/" + kContainerDropInName, ContainerDropIn(), 0644);
}

Status SystemdContainers::Detach(const std::string& name) {
  auto status = bus_.DetachImage(bundles().Path(name));
  if (!status.ok()) {
    if (status.error().code() != Code::kNotFound) return status;
    // portabled goes by the unit's file, which it writes after the drop-ins and removes before these and the link to
    // the image: what it has left when it was killed in between, it does not find.
    RETURN_IF_ERROR(base::RemoveTree(options_.attached + "/" + UnitName(name) + ".d"));
    RETURN_IF_ERROR(base::RemoveTree(options_.attached_images + "/" + name));
  }
  return base::RemoveTree(DropInDirectory(name));
}

Status SystemdContainers::Remove(const std::string& name) {
  if (!bundles().Exists(name)) {
    records_->Erase(name);
    return {};
  }
  const std::string doing = "removing container " + name;
  RETURN_IF_ERROR(Load(name));
  RETURN_IF_ERROR(Kill(name).Wrap(doing));
  FAULT_POINT("container remove: processes killed");
  if (auto job = bus_.StopUnit(UnitName(name)); !job.ok() && job.error().code() != Code::kNotFound) {
    return std::move(job).error().Wrap(doing);
  }
  // A unit that ended well is gone by now.
  const auto ended = records_->Find(name);
  if (!ended || !ended->exit || ended->exit->code != 0) {
    auto status = bus_.ResetFailedUnit(UnitName(name));
    if (!status.ok() && status.error().code() != Code::kNotFound) return std::move(status).Wrap(doing);
  }
  FAULT_POINT("container remove: unit stopped");
  RETURN_IF_ERROR(Detach(name).Wrap(doing));
  FAULT_POINT("container remove: image detached");
  bus_.Unwatch(UnitName(name));
  // The bundle goes last: it says what else there is.
  if (const auto spec = bundles().ReadSpec(name); spec.ok()) RETURN_IF_ERROR(RemoveWritableLayer(*spec).Wrap(doing));
  FAULT_POINT("container remove: writable layer removed");
  RETURN_IF_ERROR(bundles().Remove(name).Wrap(doing));
  records_->Erase(name);
  return {};
}

Status SystemdContainers::SetUnitProperties(const std::string& unit, ResourceSettings& resources) {
  if (resources.unit.empty()) return {};
  std::vector<Setting> settings;
  for (auto& entry : resources.unit) settings.push_back(std::move(entry.setting));
  return bus_.SetUnitProperties(unit, settings);
}

Status SystemdContainers::UpdateSlice(const std::string& slice, const Resources& resources) {
  const std::string doing = "changing the resources of " + slice;
  ASSIGN_OR_RETURN(ResourceSettings mapped, MapResources(resources));
  RETURN_IF_ERROR(SetUnitProperties(slice, mapped).Wrap(doing));
  if (mapped.oom_group) mapped.files.emplace_back("memory.oom.group", *mapped.oom_group ? "1" : "0");
  if (mapped.files.empty()) return {};
  ASSIGN_OR_RETURN(const std::string cgroup, bus_.GetControlGroup(slice));
  return WriteCgroupFiles(cgroup, mapped.files).Wrap(doing);
}

Status SystemdContainers::Update(const std::string& name, const Resources& resources) {
  ASSIGN_OR_RETURN(const Record record, Load(name));
  const std::string doing = "changing the resources of container " + name;
  if (record.exit) return Error(Code::kFailedPrecondition, doing + ": it has ended");
  ASSIGN_OR_RETURN(ResourceSettings mapped, MapResources(resources));
  RETURN_IF_ERROR(SetUnitProperties(UnitName(name), mapped).Wrap(doing));
  FAULT_POINT("container update: properties set");
  // OOMPolicy= cannot change while the unit runs; the cgroup's file can.
  if (mapped.oom_group) mapped.files.emplace_back("memory.oom.group", *mapped.oom_group ? "1" : "0");
  if (mapped.files.empty()) return {};
  if (record.ran) return ApplyCgroupFiles(name, mapped.files).Wrap(doing);
  ASSIGN_OR_RETURN(CgroupFiles files, bundles().ReadCgroupFiles(name));
  for (const auto& changed : mapped.files) {
    std::erase_if(files, [&](const auto& entry) { return entry.first == changed.first; });
    files.push_back(changed);
  }
  return bundles().WriteCgroupFiles(name, files).Wrap(doing);
}

Result<Container> SystemdContainers::Find(const std::string& name) {
  ASSIGN_OR_RETURN(const Record record, Load(name));
  return Describe(name, record);
}

Result<std::map<std::string, Container>> SystemdContainers::List() {
  ASSIGN_OR_RETURN(const std::vector<std::string> names, bundles().List());
  std::optional<std::set<std::string>> loaded;
  std::map<std::string, Container> containers;
  for (const std::string& name : names) {
    auto record = records_->Find(name);
    if (!record) {
      if (!loaded) {
        ASSIGN_OR_RETURN(const std::vector<std::string> units, bus_.ListUnits("*.service"));
        loaded.emplace(units.begin(), units.end());
      }
      auto read = Load(name, loaded->contains(UnitName(name)));
      if (!read.ok()) {
        if (read.error().code() == Code::kNotFound) continue;
        return std::move(read).error().Wrap("listing containers");
      }
      record = *std::move(read);
    }
    ASSIGN_OR_RETURN(Container container, Describe(name, *record));
    containers.emplace(name, std::move(container));
  }
  return containers;
}

}  // namespace

Result<std::unique_ptr<Containers>> Containers::Make(Bus& bus, ContainerOptions options) {
  RETURN_IF_ERROR(Bundles(options.bundle_root).RemoveIncomplete());
  return std::unique_ptr<Containers>(std::make_unique<SystemdContainers>(bus, std::move(options)));
}

}  // namespace nspawn
