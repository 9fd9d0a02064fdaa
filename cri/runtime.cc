#include "cri/runtime.h"

#include <future>

#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/text.h"
#include "base/trace.h"
#include "cri/journal_fields.h"

namespace cri {

using base::LogLevel;

namespace {

constexpr unsigned kRemovalsBetweenCollections = 64;

}  // namespace

Runtime::Runtime(const Config& config_in, const Parts& parts_in)
    : config(config_in),
      parts(parts_in),
      sandboxes(config.state_directory + "/sandboxes", "pod sandbox"),
      containers(config.state_directory + "/containers", "container") {
  containers.Observe([this](const auto* before, const auto* after) { HandleContainerChange(before, after); });
  sandboxes.Observe([this](const auto* before, const auto* after) { HandleSandboxChange(before, after); });
  // The bus goes on after this is gone; what it tells then is found by the next start.
  parts.containers.OnExit([this, worker = worker_](const std::string& name, const nspawn::Exit& exit) {
    worker->Post([this, name, exit] { HandleExit(name, exit); });
  });
  parts.machines.OnEnd(
      [this, worker = worker_](const std::string& name) { worker->Post([this, name] { HandleMachineEnd(name); }); });
}

Runtime::~Runtime() {
  worker_->End();
}

std::vector<RecordTable<ContainerRecord>::Snapshot> Runtime::ContainersOf(const std::string& sandbox_id) const {
  auto all = containers.All();
  std::erase_if(all, [&](const auto& record) { return record->sandbox_id() != sandbox_id; });
  return all;
}

nspawn::LogTarget Runtime::LogTargetOf(const ContainerRecord& record) const {
  const v1::ContainerConfig& container = record.config();
  const auto sandbox = sandboxes.Get(record.sandbox_id());
  nspawn::LogTarget target = {.name = record.name(),
                              .bundle = parts.containers.BundleDirectory(record.name()),
                              .path = record.log_path(),
                              .terminal = container.tty(),
                              .input = container.stdin(),
                              .input_once = container.stdin_once(),
                              .journal_fields = JournalFieldsOf(record, sandbox.get())};
  if (sandbox && sandbox->state() == SandboxRecord::READY) target.pod_process = sandbox->leader();
  const std::string& image = container.image().user_specified_image();
  target.journal_fields.emplace_back("SYSLOG_IDENTIFIER", container.metadata().name());
  target.journal_fields.emplace_back("IMAGE_NAME", image.empty() ? container.image().image() : image);
  return target;
}

void Runtime::AddLogFields(const ContainerRecord& record) const {
  for (const auto& [name, value] : JournalFieldsOf(record, sandboxes.Get(record.sandbox_id()).get())) {
    base::AddLogField(name, value);
  }
}

void Runtime::AddLogFields(const SandboxRecord& record) {
  for (const auto& [name, value] : JournalFieldsOf(record)) base::AddLogField(name, value);
}

base::Result<nspawn::ExecRequest> Runtime::ExecIn(const std::string& container_id) const {
  ASSIGN_OR_RETURN(const auto record, containers.Find(container_id));
  AddLogFields(*record);
  if (record->state() != ContainerRecord::RUNNING) {
    return base::Error(base::Code::kFailedPrecondition, "container " + record->id() + " is not running");
  }
  nspawn::ExecRequest request;
  request.bundle = parts.containers.BundleDirectory(record->name());
  request.pid = record->pid();
  request.cgroup = record->cgroup();
  return request;
}

void Runtime::HandleExit(const std::string& name, const nspawn::Exit& exit) {
  const std::lock_guard taken_over(taking_over_);
  for (const auto& record : containers.All()) {
    if (record->name() == name) RecordExit(record->id(), exit);
  }
}

base::Status Runtime::MarkNotReady(const std::string& sandbox_id) {
  const auto not_ready = [](SandboxRecord& sandbox) {
    if (sandbox.state() != SandboxRecord::READY) return false;
    sandbox.set_state(SandboxRecord::NOT_READY);
    return true;
  };
  return sandboxes.Update(sandbox_id, not_ready, Keep::kUntilReboot);
}

void Runtime::HandleMachineEnd(const std::string& name) {
  for (const auto& record : sandboxes.All()) {
    if (record->machine() != name) continue;
    const base::Status status = MarkNotReady(record->id());
    if (!status.ok()) base::Log(LogLevel::kWarning, status.error().message(), {{"CRI_SANDBOX_ID", record->id()}});
  }
}

void Runtime::RecordExit(const std::string& id, const nspawn::Exit& exit) {
  const auto record = containers.Get(id);
  if (!record) return;
  // The unit's processes are gone: what is still in the FIFOs is all there will be. It is written before the exit is
  // recorded, so that a daemon killed in between does both again, and that whoever sees the exit sees the whole log.
  FAULT_POINT("container exit: seen");
  parts.logs.Close(record->name(), /*grace_milliseconds=*/2000);
  FAULT_POINT("container exit: log closed");
  const base::Status status = containers.Update(id, [&](ContainerRecord& container) {
    if (container.state() == ContainerRecord::EXITED || container.state() == ContainerRecord::REMOVING) return false;
    container.set_state(ContainerRecord::EXITED);
    container.set_pid(0);
    container.set_started_at(exit.started_at);
    container.set_finished_at(exit.finished_at);
    container.set_exit_code(exit.code);
    container.set_reason(exit.oom_killed ? "OOMKilled" : exit.code == 0 ? "Completed" : "Error");
    return true;
  });
  if (!status.ok()) base::Log(LogLevel::kWarning, status.error().message(), {{"CRI_CONTAINER_ID", id}});
  FAULT_POINT("container exit: recorded");
}

base::Status Runtime::StopContainer(const ContainerRecord& record, std::chrono::milliseconds grace) {
  RETURN_IF_ERROR(parts.containers.Stop(record.name(), "", grace).Wrap("stop container " + record.id()));
  auto ended = parts.containers.Find(record.name());
  if (!ended.ok() && ended.error().code() != base::Code::kNotFound) return std::move(ended).error();
  nspawn::Exit exit;
  if (ended.ok()) {
    exit = ended->exit;
  } else {
    // Somebody took the bundle away: it does not run, and how it ended nobody can tell.
    exit.code = nspawn::kUnknownExitCode;
    exit.started_at = record.started_at();
    exit.finished_at = base::NowNanoseconds();
  }
  RecordExit(record.id(), exit);
  return base::Ok();
}

base::Status Runtime::RemoveContainer(const std::string& id) {
  const auto record = containers.Get(id);
  if (!record) return base::Ok();
  const base::LogScope scope;
  AddLogFields(*record);
  const auto removing = [](ContainerRecord& container) {
    container.set_state(ContainerRecord::REMOVING);
    return true;
  };
  const base::Status marked = containers.Update(id, removing, Keep::kUntilReboot);
  // A full disk must not keep anybody from removing; the mark only matters to a crash of the daemon on the way.
  if (!marked.ok()) base::Log(LogLevel::kWarning, marked.error().message());
  FAULT_POINT("container remove: marked");
  // What it has written last is in the bundle until it is in the log.
  RETURN_IF_ERROR(
      parts.containers.Stop(record->name(), "", std::chrono::milliseconds(0)).Wrap("remove container " + id));
  parts.logs.Close(record->name(), /*grace_milliseconds=*/0);
  FAULT_POINT("container remove: log closed");
  RETURN_IF_ERROR(parts.containers.Remove(record->name()).Wrap("remove container " + id));
  FAULT_POINT("container remove: unit and bundle removed");
  parts.images.Release(id);
  FAULT_POINT("container remove: image released");
  // Layers of an image that was removed while the container used them.
  if (const base::Status status = parts.images.RemoveUnused(); !status.ok()) {
    base::Log(LogLevel::kWarning, status.error().message());
  }
  return containers.Erase(id);
}

base::Status Runtime::DetachNetwork(const SandboxRecord& record) {
  if (record.network_namespace().empty()) return base::Ok();
  cni::Attachment attachment;
  attachment.container_id = record.id();
  attachment.namespace_path = record.network_namespace();
  RETURN_IF_ERROR(parts.network.Detach(attachment).Wrap("release the network of pod sandbox " + record.id()));
  FAULT_POINT("sandbox stop: network detached");
  return parts.namespaces.Remove(record.network_namespace().substr(record.network_namespace().rfind('/') + 1));
}

base::Status Runtime::StopSandbox(const std::string& id, Deadline deadline) {
  const base::Status marked = MarkNotReady(id);
  if (!marked.ok()) base::Log(LogLevel::kWarning, marked.error().message());
  FAULT_POINT("sandbox stop: marked");
  const auto record = sandboxes.Get(id);
  if (!record) return base::Ok();

  for (const auto& container : ContainersOf(id)) {
    ASSIGN_OR_RETURN(const Operations::Turn turn, BeginOnContainer(container->id(), deadline));
    const auto current = containers.Get(container->id());
    if (!current || current->state() != ContainerRecord::RUNNING) continue;
    RETURN_IF_ERROR(StopContainer(*current, std::chrono::milliseconds(0)));
  }
  FAULT_POINT("sandbox stop: containers stopped");
  // Side by side: the plugins find what they made, since the network namespace is pinned and goes after them. Where no
  // thread can be had, one after the other.
  auto detaching = std::async(std::launch::async | std::launch::deferred, [&, caller = base::CurrentTrace()] {
    const base::TraceParent parent(caller);
    // What it logs says of which pod, on whichever thread.
    const base::LogScope scope;
    AddLogFields(*record);
    return DetachNetwork(*record);
  });
  base::Status stopped = parts.machines.Stop(record->machine()).Wrap("stop pod sandbox " + id);
  RETURN_IF_ERROR(detaching.get());
  FAULT_POINT("sandbox stop: network namespace removed");
  return stopped;
}

base::Status Runtime::RemoveSandbox(const std::string& id, Deadline deadline) {
  // First of all: whatever fails from here on, it is listed as not ready, and a later call or start goes on.
  const auto removing = [](SandboxRecord& sandbox) {
    sandbox.set_state(SandboxRecord::REMOVING);
    return true;
  };
  const base::Status marked = sandboxes.Update(id, removing, Keep::kUntilReboot);
  if (!marked.ok()) base::Log(LogLevel::kWarning, marked.error().message());
  RETURN_IF_ERROR(StopSandbox(id, deadline));
  for (const auto& container : ContainersOf(id)) {
    ASSIGN_OR_RETURN(const Operations::Turn turn, BeginOnContainer(container->id(), deadline));
    RETURN_IF_ERROR(RemoveContainer(container->id()));
  }
  FAULT_POINT("sandbox remove: containers removed");
  RETURN_IF_ERROR(base::RemoveTree(SandboxFiles(id)));
  FAULT_POINT("sandbox remove: files removed");
  RETURN_IF_ERROR(sandboxes.Erase(id));
  // Where no pod comes or goes there is nothing new to collect, and no timer wakes the node.
  if (++removed_sandboxes_ % kRemovalsBetweenCollections == 0) {
    network_worker_.Post([this] {
      const base::Status collected = CollectNetworkGarbage();
      if (!collected.ok()) base::Log(LogLevel::kWarning, collected.error().message());
    });
  }
  return base::Ok();
}

base::Status Runtime::CollectNetworkGarbage() {
  return parts.network.CollectGarbage([this](const std::string& id) { return sandboxes.Get(id) != nullptr; })
      .Wrap("collect what networks have left");
}

void RecordUser(const nspawn::Container& container, ContainerRecord& record) {
  if (!container.user) return;
  v1::LinuxContainerUser& user = *record.mutable_user()->mutable_linux();
  user.set_uid(container.user->uid);
  user.set_gid(container.user->gid);
  user.mutable_supplemental_groups()->Assign(container.user->groups.begin(), container.user->groups.end());
}

base::Result<RuntimeHandler> Runtime::HandlerOf(const std::string& name) const {
  const auto found = config.runtime_handlers.find(name);
  if (found != config.runtime_handlers.end()) return found->second;
  return base::NotFound("no runtime handler \"" + base::Printable(name, 128) +
                        "\" is configured (runtime_handlers in config.toml)");
}

}  // namespace cri
