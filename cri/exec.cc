// Exec: the URL at which the streaming server serves it.

#include "cri/rpc.h"
#include "cri/runtime_service.h"

namespace cri {

grpc::Status RuntimeService::Exec(grpc::ServerContext* context, const v1::ExecRequest* in, v1::ExecResponse* out) {
  return Answer(*context, RpcKind::kQuery, "Exec", [&]() -> base::Status {
    const auto running = runtime_.ExecIn(in->container_id());
    if (!running.ok()) return running.error();
    ASSIGN_OR_RETURN(std::string url, streaming_.Exec(*in));
    out->set_url(std::move(url));
    return base::Ok();
  });
}

}  // namespace cri
