// PortForward: the URL at which the streaming server serves it.

#include "cri/rpc.h"
#include "cri/runtime_service.h"

namespace cri {

grpc::Status RuntimeService::PortForward(grpc::ServerContext* context, const v1::PortForwardRequest* in,
                                         v1::PortForwardResponse* out) {
  return Answer(*context, RpcKind::kQuery, "PortForward", [&]() -> base::Status {
    ASSIGN_OR_RETURN(const auto record, runtime_.sandboxes.Find(in->pod_sandbox_id()));
    runtime_.AddLogFields(*record);
    if (record->state() != SandboxRecord::READY) {
      return {base::Code::kFailedPrecondition, "pod sandbox " + record->id() + " is not running"};
    }
    ASSIGN_OR_RETURN(std::string url, streaming_.PortForward(*in));
    out->set_url(std::move(url));
    return base::Ok();
  });
}

}  // namespace cri
