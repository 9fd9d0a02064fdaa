// Attach: the URL at which the streaming server serves it.

#include "cri/rpc.h"
#include "cri/runtime_service.h"

namespace cri {

grpc::Status RuntimeService::Attach(grpc::ServerContext* context, const v1::AttachRequest* in,
                                    v1::AttachResponse* out) {
  return Answer(*context, RpcKind::kQuery, "Attach", [&]() -> base::Status {
    ASSIGN_OR_RETURN(const auto record, runtime_.containers.Find(in->container_id()));
    runtime_.AddLogFields(*record);
    if (record->state() != ContainerRecord::RUNNING) {
      return {base::Code::kFailedPrecondition, "container " + record->id() + " is not running"};
    }
    ASSIGN_OR_RETURN(std::string url, streaming_.Attach(*in));
    out->set_url(std::move(url));
    return base::Ok();
  });
}

}  // namespace cri
