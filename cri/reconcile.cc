// What happens at the start of the daemon, after whatever ended the one before.

#include <set>

#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "cri/container_restore.h"
#include "cri/runtime.h"

namespace cri {
namespace {

// Failing to clean one thing up must not keep the node from starting; the next start or the kubelet tries again.
void LogFailure(const base::Status& status) {
  if (!status.ok()) base::Log(base::LogLevel::kError, "reconcile: " + status.error().message());
}

}  // namespace

base::Status Runtime::Reconcile() {
  RETURN_IF_ERROR(base::MakeDirectories(config.runtime_directory + "/sandboxes", 0700));
  ASSIGN_OR_RETURN(const std::vector<std::string> broken_sandboxes, sandboxes.Load());
  ASSIGN_OR_RETURN(const std::vector<std::string> broken_containers, containers.Load());
  // Held from here on: what ends after it was listed is recorded when its output is being read.
  std::unique_lock taking_over(taking_over_);
  ASSIGN_OR_RETURN(const auto units, parts.containers.List().Wrap("list containers"));
  FAULT_POINT("reconcile: node listed");

  std::set<std::string> known_units;
  for (const auto& record : containers.All()) {
    known_units.insert(record->name());
    const auto unit = units.find(record->name());
    const nspawn::Container* state = unit == units.end() ? nullptr : &unit->second;
    LogFailure(ReconcileContainer(*record, state).Wrap("container " + record->id()));
  }
  taking_over.unlock();
  parts.logs.DropUnclaimed();
  for (const auto& [name, unit] : units) {
    if (known_units.count(name) == 0) LogFailure(parts.containers.Remove(name));
  }
  FAULT_POINT("reconcile: containers done");
  for (const std::string& id : broken_containers) LogFailure(base::RemoveTree(containers.Directory(id)));

  for (const auto& record : sandboxes.All()) LogFailure(ReconcileSandbox(*record).Wrap("pod sandbox " + record->id()));
  FAULT_POINT("reconcile: sandboxes done");
  for (const std::string& id : broken_sandboxes) LogFailure(base::RemoveTree(sandboxes.Directory(id)));

  // What only the network still knows of.
  LogFailure(CollectNetworkGarbage());
  std::set<std::string> used_namespaces;
  for (const auto& record : sandboxes.All()) used_namespaces.insert(record->network_namespace());
  ASSIGN_OR_RETURN(const std::vector<std::string> namespaces, parts.namespaces.List(kNamespacePrefix));
  for (const std::string& name : namespaces) {
    if (used_namespaces.count(config.network_namespace_directory + "/" + name) == 0)
      LogFailure(parts.namespaces.Remove(name));
  }
  FAULT_POINT("reconcile: networks done");
  ASSIGN_OR_RETURN(const std::vector<std::string> files, base::ListDirectory(config.runtime_directory + "/sandboxes"));
  for (const std::string& id : files) {
    if (!sandboxes.Get(id)) LogFailure(base::RemoveTree(SandboxFiles(id)));
  }

  for (const auto& record : containers.All()) {
    LogFailure(parts.images.Hold(record->image_id(), record->id()));
    for (const std::string& id : record->volume_image_ids()) LogFailure(parts.images.Hold(id, record->id()));
  }
  FAULT_POINT("reconcile: images held");
  // Takes a while with many pods, and nobody waits for it.
  for (const auto& record : sandboxes.All()) {
    if (record->state() != SandboxRecord::READY || record->network_namespace().empty()) continue;
    network_worker_.Post([this, id = record->id()] {
      const base::Status checked = parts.network.Check(id);
      if (checked.ok() || checked.error().code() == base::Code::kNotFound) return;
      base::Log(base::LogLevel::kWarning, checked.error().message(), {{"CRI_SANDBOX_ID", id}});
    });
  }
  return parts.images.RemoveUnused().Wrap("remove unused image layers");
}

base::Status Runtime::ReconcileContainer(const ContainerRecord& record, const nspawn::Container* unit) {
  if (record.state() == ContainerRecord::CREATING || record.state() == ContainerRecord::REMOVING) {
    // Its end is not recorded: what it wrote while the daemon was away is still to be read.
    if (record.finished_at() == 0 && unit != nullptr && unit->state != nspawn::Container::State::kCreated) {
      LogFailure(parts.logs.Open(LogTargetOf(record)));
    }
    return RemoveContainer(record.id());
  }
  if (record.state() == ContainerRecord::EXITED) return base::Ok();
  if (unit != nullptr && unit->state != nspawn::Container::State::kCreated) {
    ForgetRestore(*this, record.id());
    // The output that waited while the daemon was away is written before the exit is recorded.
    LogFailure(parts.logs.Open(LogTargetOf(record)));
    if (unit->state == nspawn::Container::State::kExited) RecordExit(record.id(), unit->exit);
    return containers.Update(record.id(), [&](ContainerRecord& container) {
      RecordUser(*unit, container);
      if (container.state() == ContainerRecord::EXITED) return true;
      container.set_state(ContainerRecord::RUNNING);
      container.set_pid(unit->pid);
      container.set_cgroup(unit->cgroup);
      container.set_started_at(unit->started_at);
      return true;
    });
  }
  if (unit != nullptr && record.state() == ContainerRecord::CREATED) {
    // systemd may be about to start it, and what it writes must find its way.
    return unit->starting ? StartContainer(record) : base::Ok();
  }
  // It ran or was ready to run, and systemd knows nothing of it: the node was started anew.
  return containers.Update(record.id(), [](ContainerRecord& container) {
    container.set_state(ContainerRecord::EXITED);
    container.set_pid(0);
    container.set_exit_code(nspawn::kUnknownExitCode);
    container.set_reason("Unknown");
    container.set_message("the container ended while its status could not be kept");
    container.set_finished_at(base::NowNanoseconds());
    return true;
  });
}

base::Status Runtime::ReconcileSandbox(const SandboxRecord& record) {
  const Deadline deadline = std::chrono::steady_clock::now() + std::chrono::minutes(2);
  if (record.state() == SandboxRecord::CREATING || record.state() == SandboxRecord::REMOVING) {
    return RemoveSandbox(record.id(), deadline);
  }
  if (record.state() == SandboxRecord::READY) {
    const auto machine = parts.machines.Find(record.machine());
    if (machine.ok() && machine->running) return base::Ok();
    if (!machine.ok() && machine.error().code() != base::Code::kNotFound) return base::Error(machine.error());
  }
  return StopSandbox(record.id(), deadline);
}

}  // namespace cri
