// StartContainer.

#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "cri/container_restore.h"
#include "cri/rpc.h"
#include "cri/runtime_service.h"
#include "nspawn/cgroup_moves.h"

namespace cri {
namespace {

// What containerd reports for a container whose program could not be started.
constexpr int kStartErrorExitCode = 128;

base::Status Start(Runtime& runtime, const ContainerRecord& record) {
  RETURN_IF_ERROR(runtime.parts.logs.Open(runtime.LogTargetOf(record)).Wrap("open the container's log"));
  FAULT_POINT("container start: log opened");
  const auto started = runtime.parts.containers.Start(record.name());
  if (!started.ok()) return started.error();
  FAULT_POINT("container start: started");
  if (started->state == nspawn::Container::State::kExited) runtime.RecordExit(record.id(), started->exit);
  const auto running = [&](ContainerRecord& container) {
    RecordUser(*started, container);
    if (container.state() != ContainerRecord::CREATED) return true;  // it has ended in the meantime
    container.set_state(ContainerRecord::RUNNING);
    container.set_pid(started->pid);
    container.set_cgroup(started->cgroup);
    container.set_started_at(started->started_at);
    return true;
  };
  return runtime.containers.Update(record.id(), running, Keep::kUntilReboot);
}

}  // namespace

base::Status Runtime::StartContainer(const ContainerRecord& record) {
  base::Status started = Start(*this, record);
  ForgetRestore(*this, record.id());
  FAULT_POINT("container start: recorded");
  if (started.ok()) return started;

  parts.logs.Close(record.name(), /*grace_milliseconds=*/0);
  const base::Status recorded = containers.Update(record.id(), [&](ContainerRecord& container) {
    container.set_state(ContainerRecord::EXITED);
    container.set_exit_code(kStartErrorExitCode);
    container.set_reason("StartError");
    container.set_message(started.error().message());
    container.set_finished_at(base::NowNanoseconds());
    return true;
  });
  if (!recorded.ok()) base::Log(base::LogLevel::kWarning, recorded.error().message());
  return std::move(started).Wrap("start container " + record.config().metadata().name());
}

grpc::Status RuntimeService::StartContainer(grpc::ServerContext* context, const v1::StartContainerRequest* in,
                                            v1::StartContainerResponse*) {
  return Answer(*context, RpcKind::kChange, "StartContainer", [&]() -> base::Status {
    ASSIGN_OR_RETURN(const auto found, runtime_.containers.Find(in->container_id()));
    nspawn::ExpectCgroupMove();
    runtime_.AddLogFields(*found);
    ASSIGN_OR_RETURN(const Operations::Turn turn, runtime_.BeginOnContainer(found->id(), DeadlineOf(*context)));
    const auto record = runtime_.containers.Get(found->id());
    if (!record) return base::NotFound("container \"" + in->container_id() + "\" not found");
    // A call repeated after a timeout finds what the first one did, also when the program has ended since.
    const bool has_run = record->state() == ContainerRecord::EXITED && record->started_at() > 0;
    if (record->state() == ContainerRecord::RUNNING || has_run) return base::Ok();
    if (record->state() != ContainerRecord::CREATED) {
      return {base::Code::kFailedPrecondition,
              "container " + record->id() + " cannot be started any more: " + record->message()};
    }
    const auto sandbox = runtime_.sandboxes.Get(record->sandbox_id());
    if (!sandbox || sandbox->state() != SandboxRecord::READY) {
      return {base::Code::kFailedPrecondition, "pod sandbox " + record->sandbox_id() + " is not ready"};
    }
    return runtime_.StartContainer(*record);
  });
}

}  // namespace cri
