// What cri-nspawn-image asks of the daemon beyond the CRI (proto/image_store.proto). All of it can take long and ends
// with its client: see CancellableCalls.
#pragma once

#include <grpcpp/support/status.h>

#include <functional>
#include <stop_token>

#include "image/store.h"
#include "proto/image_store.grpc.pb.h"
#include "proto/runtime.pb.h"

namespace cri {

namespace store_v1 = cri_nspawn::image_store::v1;

class ImageStoreService final : public store_v1::ImageStore::AsyncService {
 public:
  // `images` must live longer.
  explicit ImageStoreService(image::Store& images) : images_(images) {}

  // These send messages of the stream by `write`, which is false when the client is gone.
  using WriteEvent = std::function<bool(const store_v1::PullEvent&)>;
  grpc::Status PullImage(const grpc::ServerContext& context, const store_v1::PullRequest& in, const WriteEvent& write,
                         const std::stop_token& cancelled);
  using WriteLayer = std::function<bool(const store_v1::CheckedLayer&)>;
  grpc::Status CheckStore(const grpc::ServerContext& context, const store_v1::CheckRequest& in, const WriteLayer& write,
                          const std::stop_token& cancelled);

  grpc::Status ImportImage(const grpc::ServerContext& context, const store_v1::ImportRequest& in,
                           store_v1::ImportResponse& out, const std::stop_token& cancelled);
  grpc::Status ExportImage(const grpc::ServerContext& context, const store_v1::ExportRequest& in,
                           store_v1::ExportResponse& out, const std::stop_token& cancelled);

 private:
  image::Store& images_;
};

image::Credentials CredentialsOf(const runtime::v1::AuthConfig& auth);

}  // namespace cri
