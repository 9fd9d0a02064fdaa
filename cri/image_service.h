// The CRI ImageService.
#pragma once

#include "cri/runtime.h"
#include "proto/runtime.grpc.pb.h"

namespace cri {

class ImageService final : public v1::ImageService::WithAsyncMethod_PullImage<v1::ImageService::Service> {
 public:
  explicit ImageService(Runtime& runtime) : runtime_(runtime) {}

  grpc::Status ListImages(grpc::ServerContext* context, const v1::ListImagesRequest* in,
                          v1::ListImagesResponse* out) override;
  grpc::Status StreamImages(grpc::ServerContext* context, const v1::StreamImagesRequest* in,
                            grpc::ServerWriter<v1::StreamImagesResponse>* out) override;
  grpc::Status ImageStatus(grpc::ServerContext* context, const v1::ImageStatusRequest* in,
                           v1::ImageStatusResponse* out) override;
  grpc::Status RemoveImage(grpc::ServerContext* context, const v1::RemoveImageRequest* in,
                           v1::RemoveImageResponse* out) override;
  grpc::Status ImageFsInfo(grpc::ServerContext* context, const v1::ImageFsInfoRequest* in,
                           v1::ImageFsInfoResponse* out) override;

  // PullImage, which ends with its client (see CancellableCalls).
  grpc::Status Pull(const grpc::ServerContext& context, const v1::PullImageRequest& in, v1::PullImageResponse& out,
                    std::stop_token cancelled);

 private:
  // Those that a filter asks for.
  base::Result<std::vector<image::Image>> Select(const v1::ImageFilter& filter) const;

  Runtime& runtime_;
};

}  // namespace cri
