// StopPodSandbox and RemovePodSandbox.

#include "cri/rpc.h"
#include "cri/runtime_service.h"

namespace cri {

grpc::Status RuntimeService::StopPodSandbox(grpc::ServerContext* context, const v1::StopPodSandboxRequest* in,
                                            v1::StopPodSandboxResponse*) {
  return Answer(*context, RpcKind::kChange, "StopPodSandbox", [&]() -> base::Status {
    ASSIGN_OR_RETURN(const auto record, runtime_.sandboxes.FindIfAny(in->pod_sandbox_id()));
    if (!record) return base::Ok();
    runtime_.AddLogFields(*record);
    ASSIGN_OR_RETURN(const Operations::Turn turn, runtime_.BeginOnSandbox(record->id(), DeadlineOf(*context)));
    return runtime_.StopSandbox(record->id(), DeadlineOf(*context));
  });
}

grpc::Status RuntimeService::RemovePodSandbox(grpc::ServerContext* context, const v1::RemovePodSandboxRequest* in,
                                              v1::RemovePodSandboxResponse*) {
  return Answer(*context, RpcKind::kChange, "RemovePodSandbox", [&]() -> base::Status {
    ASSIGN_OR_RETURN(const auto record, runtime_.sandboxes.FindIfAny(in->pod_sandbox_id()));
    if (!record) return base::Ok();
    runtime_.AddLogFields(*record);
    ASSIGN_OR_RETURN(const Operations::Turn turn, runtime_.BeginOnSandbox(record->id(), DeadlineOf(*context)));
    return runtime_.RemoveSandbox(record->id(), DeadlineOf(*context));
  });
}

}  // namespace cri
