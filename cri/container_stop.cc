// StopContainer and RemoveContainer.

#include "cri/rpc.h"
#include "cri/runtime_service.h"

namespace cri {

grpc::Status RuntimeService::StopContainer(grpc::ServerContext* context, const v1::StopContainerRequest* in,
                                           v1::StopContainerResponse*) {
  return Answer(*context, RpcKind::kChange, "StopContainer", [&]() -> base::Status {
    ASSIGN_OR_RETURN(const auto found, runtime_.containers.FindIfAny(in->container_id()));
    if (!found) return base::Ok();
    const std::string& id = found->id();
    runtime_.AddLogFields(*found);
    ASSIGN_OR_RETURN(const Operations::Turn turn, runtime_.BeginOnContainer(id, DeadlineOf(*context)));
    const auto record = runtime_.containers.Get(id);
    if (!record || record->state() != ContainerRecord::RUNNING) return base::Ok();
    return runtime_.StopContainer(*record, TimeoutOf(in->timeout()));
  });
}

grpc::Status RuntimeService::RemoveContainer(grpc::ServerContext* context, const v1::RemoveContainerRequest* in,
                                             v1::RemoveContainerResponse*) {
  return Answer(*context, RpcKind::kChange, "RemoveContainer", [&]() -> base::Status {
    ASSIGN_OR_RETURN(const auto found, runtime_.containers.FindIfAny(in->container_id()));
    if (!found) return base::Ok();
    const std::string& id = found->id();
    runtime_.AddLogFields(*found);
    ASSIGN_OR_RETURN(const Operations::Turn turn, runtime_.BeginOnContainer(id, DeadlineOf(*context)));
    return runtime_.RemoveContainer(id);
  });
}

}  // namespace cri
