#include "cri/remove_pods.h"

#include <grpcpp/create_channel.h>
#include <grpcpp/security/credentials.h>

#include <chrono>
#include <optional>
#include <utility>

#include "proto/runtime.grpc.pb.h"

namespace cri {
namespace {

constexpr std::chrono::seconds kConnectTimeout(30);
constexpr std::chrono::seconds kRemovalTimeout(120);

base::Status ToStatus(const grpc::Status& status) {
  if (status.ok()) return base::Ok();
  return base::Error(static_cast<base::Code>(status.error_code()), status.error_message());
}

}  // namespace

base::Result<size_t> RemovePods(const std::string& socket) {
  const auto stub =
      runtime::v1::RuntimeService::NewStub(grpc::CreateChannel("unix:" + socket, grpc::InsecureChannelCredentials()));
  runtime::v1::ListPodSandboxResponse pods;
  {
    grpc::ClientContext context;
    context.set_wait_for_ready(true);
    context.set_deadline(std::chrono::system_clock::now() + kConnectTimeout);
    RETURN_IF_ERROR(ToStatus(stub->ListPodSandbox(&context, {}, &pods)).Wrap("list the pods at " + socket));
  }
  std::optional<base::Error> failure;
  for (const auto& pod : pods.items()) {
    grpc::ClientContext context;
    context.set_deadline(std::chrono::system_clock::now() + kRemovalTimeout);
    runtime::v1::RemovePodSandboxRequest request;
    request.set_pod_sandbox_id(pod.id());
    runtime::v1::RemovePodSandboxResponse response;
    auto removed = ToStatus(stub->RemovePodSandbox(&context, request, &response));
    if (!removed.ok() && !failure) failure = std::move(removed).error().Wrap("remove pod " + pod.id());
  }
  if (failure) return *std::move(failure);
  return static_cast<size_t>(pods.items_size());
}

}  // namespace cri
