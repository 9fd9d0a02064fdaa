// UpdateContainerResources and ReopenContainerLog.

#include "cri/container_spec.h"
#include "cri/rpc.h"
#include "cri/runtime_service.h"

namespace cri {
namespace {

// Members that the update leaves at zero keep their value, as runc and the kubelet have it.
void Merge(const v1::LinuxContainerResources& update, v1::LinuxContainerResources& resources) {
  resources.MergeFrom(update);
  if (!update.hugepage_limits().empty()) *resources.mutable_hugepage_limits() = update.hugepage_limits();
}

}  // namespace

grpc::Status RuntimeService::UpdateContainerResources(grpc::ServerContext* context,
                                                      const v1::UpdateContainerResourcesRequest* in,
                                                      v1::UpdateContainerResourcesResponse*) {
  return Answer(*context, RpcKind::kChange, "UpdateContainerResources", [&]() -> base::Status {
    ASSIGN_OR_RETURN(const auto found, runtime_.containers.Find(in->container_id()));
    runtime_.AddLogFields(*found);
    ASSIGN_OR_RETURN(const Operations::Turn turn, runtime_.BeginOnContainer(found->id(), DeadlineOf(*context)));
    const auto record = runtime_.containers.Get(found->id());
    if (!record) return base::NotFound("container \"" + in->container_id() + "\" not found");
    if (record->state() == ContainerRecord::EXITED) {
      return {base::Code::kFailedPrecondition, "container " + record->id() + " has ended"};
    }
    v1::LinuxContainerResources resources = record->resources();
    Merge(in->linux(), resources);
    RETURN_IF_ERROR(runtime_.parts.containers.Update(record->name(), MakeResources(resources))
                        .Wrap("update the resources of container " + record->id()));
    return runtime_.containers.Update(record->id(), [&](ContainerRecord& container) {
      *container.mutable_resources() = resources;
      return true;
    });
  });
}

grpc::Status RuntimeService::ReopenContainerLog(grpc::ServerContext* context, const v1::ReopenContainerLogRequest* in,
                                                v1::ReopenContainerLogResponse*) {
  return Answer(*context, RpcKind::kChange, "ReopenContainerLog", [&]() -> base::Status {
    ASSIGN_OR_RETURN(const auto record, runtime_.containers.Find(in->container_id()));
    if (record->state() != ContainerRecord::RUNNING) {
      return {base::Code::kFailedPrecondition, "container " + record->id() + " is not running"};
    }
    return runtime_.parts.logs.Reopen(record->name()).Wrap("reopen the log of container " + record->id());
  });
}

}  // namespace cri
