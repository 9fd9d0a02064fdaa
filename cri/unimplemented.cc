// RPCs that are not there yet: each answers UNIMPLEMENTED with its name, and README.md lists them.

#include "cri/rpc.h"
#include "cri/runtime_service.h"

namespace cri {
namespace {

grpc::Status NotYet(std::string_view rpc) {
  return ToGrpc(base::Error(base::Code::kUnimplemented, std::string(rpc) + " is not implemented yet"));
}

}  // namespace

#define NOT_YET(rpc, request, response)                                                       \
  grpc::Status RuntimeService::rpc(grpc::ServerContext*, const v1::request*, v1::response*) { \
    return NotYet(#rpc);                                                                      \
  }

NOT_YET(CheckpointContainer, CheckpointContainerRequest, CheckpointContainerResponse)

}  // namespace cri
