// UpdatePodSandboxResources.

#include "cri/container_spec.h"
#include "cri/rpc.h"
#include "cri/runtime_service.h"
#include "cri/sandbox_stats.h"

namespace cri {

grpc::Status RuntimeService::UpdatePodSandboxResources(grpc::ServerContext* context,
                                                       const v1::UpdatePodSandboxResourcesRequest* in,
                                                       v1::UpdatePodSandboxResourcesResponse*) {
  return Answer(*context, RpcKind::kChange, "UpdatePodSandboxResources", [&]() -> base::Status {
    ASSIGN_OR_RETURN(const auto found, runtime_.sandboxes.Find(in->pod_sandbox_id()));
    runtime_.AddLogFields(*found);
    ASSIGN_OR_RETURN(const Operations::Turn turn, runtime_.BeginOnSandbox(found->id(), DeadlineOf(*context)));
    const auto record = runtime_.sandboxes.Get(found->id());
    if (!record) return base::NotFound("pod sandbox \"" + in->pod_sandbox_id() + "\" not found");
    if (record->state() != SandboxRecord::READY) {
      return {base::Code::kFailedPrecondition, "pod sandbox " + record->id() + " is not ready"};
    }
    // A kubelet has changed the pod's slice already, to the same values; other clients leave that to the runtime. A
    // slice in which others run too is not this pod's to limit.
    if (in->has_resources() && HasOwnSlice(runtime_, *record)) {
      RETURN_IF_ERROR(runtime_.parts.containers.UpdateSlice(record->slice(), MakeResources(in->resources()))
                          .Wrap("update the resources of pod sandbox " + record->id()));
    }
    return runtime_.sandboxes.Update(record->id(), [&](SandboxRecord& sandbox) {
      v1::LinuxPodSandboxConfig& config = *sandbox.mutable_config()->mutable_linux();
      if (in->has_overhead()) *config.mutable_overhead() = in->overhead();
      if (in->has_resources()) *config.mutable_resources() = in->resources();
      return true;
    });
  });
}

}  // namespace cri
