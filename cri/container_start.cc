// StartContainer.

#include "base/clock.h"
#include "base/log.h"
#include "cri/container_restore.h"
#include "cri/rpc.h"
#include "cri/runtime_service.h"

namespace cri {
namespace {

// What containerd reports for a container whose program could not be started.
constexpr int kStartErrorExitCode = 128;

base::Status Start(Runtime& runtime, const ContainerRecord& record) {
  RETURN_IF_ERROR(runtime.parts.logs.Open(runtime.LogTargetOf(record)).Wrap("open the container's log"));
  const auto started = runtime.parts.containers.Start(record.name());
  if (!started.ok()) return started.error();
  if (started->state == nspawn::Container::State::kExited) runtime.RecordExit(record.id(), started->exit);
  return runtime.containers.Update(record.id(), [&](ContainerRecord& container) {
    RecordUser(*started, container);
    if (container.state() != ContainerRecord::CREATED) return true;  // it has ended in the meantime
    container.set_state(ContainerRecord::RUNNING);
    container.set_pid(started->pid);
    container.set_cgroup(started->cgroup);
    container.set_started_at(started->started_at);
    return true;
  });
}

}  // namespace

grpc::Status RuntimeService::StartContainer(grpc::ServerContext* context, const v1::StartContainerRequest* in,
                                            v1::StartContainerResponse*) {
  return Answer(RpcKind::kChange, "StartContainer", [&]() -> base::Status {
    ASSIGN_OR_RETURN(const auto found, runtime_.containers.Find(in->container_id()));
    base::AddLogField("CRI_CONTAINER_ID", found->id());
    ASSIGN_OR_RETURN(const Operations::Turn turn, runtime_.BeginOnContainer(found->id(), DeadlineOf(*context)));
    const auto record = runtime_.containers.Get(found->id());
    if (!record) return base::NotFound("container \"" + in->container_id() + "\" not found");
    if (record->state() == ContainerRecord::RUNNING) return base::Ok();  // a call repeated after a timeout
    if (record->state() != ContainerRecord::CREATED) {
      return {base::Code::kFailedPrecondition, "container " + record->id() + " has already run; create another one"};
    }
    const auto sandbox = runtime_.sandboxes.Get(record->sandbox_id());
    if (!sandbox || sandbox->state() != SandboxRecord::READY) {
      return {base::Code::kFailedPrecondition, "pod sandbox " + record->sandbox_id() + " is not ready"};
    }
    base::Status started = Start(runtime_, *record);
    ForgetRestore(runtime_, record->id());
    if (started.ok()) return started;

    runtime_.parts.logs.Close(record->name(), /*grace_milliseconds=*/0);
    const base::Status recorded = runtime_.containers.Update(record->id(), [&](ContainerRecord& container) {
      container.set_state(ContainerRecord::EXITED);
      container.set_exit_code(kStartErrorExitCode);
      container.set_reason("StartError");
      container.set_message(started.error().message());
      container.set_finished_at(base::NowNanoseconds());
      return true;
    });
    if (!recorded.ok()) base::Log(base::LogLevel::kWarning, recorded.error().message());
    return std::move(started).Wrap("start container " + record->config().metadata().name());
  });
}

}  // namespace cri
