#include "cri/image_service.h"

#include <fnmatch.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "base/text.h"
#include "cri/batches.h"
#include "cri/image_store_service.h"
#include "cri/rpc.h"

namespace cri {
namespace {

bool IsPinned(const image::Image& image, const std::vector<std::string>& patterns) {
  return std::any_of(patterns.begin(), patterns.end(), [&](const std::string& pattern) {
    return std::any_of(image.tags.begin(), image.tags.end(), [&](const std::string& tag) {
      return ::fnmatch(pattern.c_str(), tag.c_str(), FNM_NOESCAPE) == 0;
    });
  });
}

void FillImage(const image::Image& from, const Config& config, v1::Image& to) {
  to.set_id(from.id);
  for (const std::string& tag : from.tags) to.add_repo_tags(tag);
  for (const std::string& digest : from.digests) to.add_repo_digests(digest);
  to.set_size(from.size);
  to.set_pinned(IsPinned(from, config.pinned_images));
  // "1000:1000" is a number and "nginx" a name; the kubelet checks runAsNonRoot by them.
  const std::string user = from.config.user.substr(0, from.config.user.find(':'));
  if (const auto uid = base::ParseUnsigned(user); uid && *uid <= INT64_MAX) {
    to.mutable_uid()->set_value(static_cast<int64_t>(*uid));
  } else if (user.empty()) {
    to.mutable_uid()->set_value(0);
  } else {
    to.set_username(user);
  }
}

std::string VerboseInfo(const image::Image& image) {
  nlohmann::json info;
  info["imageSpec"] = nlohmann::json::parse(image.raw_config, nullptr, /*allow_exceptions=*/false);
  if (info["imageSpec"].is_discarded()) info["imageSpec"] = nullptr;
  info["layers"] = image.layer_directories;
  return info.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace

base::Result<std::vector<image::Image>> ImageService::Select(const v1::ImageFilter& filter) const {
  const std::string& wanted = filter.image().image();
  if (wanted.empty()) return runtime_.parts.images.List();
  ASSIGN_OR_RETURN(const auto image, runtime_.parts.images.Find(wanted));
  std::vector<image::Image> images;
  if (image) images.push_back(*image);
  return images;
}

grpc::Status ImageService::ListImages(grpc::ServerContext* context, const v1::ListImagesRequest* in,
                                      v1::ListImagesResponse* out) {
  return Answer(*context, RpcKind::kQuery, "ListImages", [&]() -> base::Status {
    ASSIGN_OR_RETURN(const std::vector<image::Image> images, Select(in->filter()));
    for (const image::Image& image : images) FillImage(image, runtime_.config, *out->add_images());
    return base::Ok();
  });
}

grpc::Status ImageService::StreamImages(grpc::ServerContext* context, const v1::StreamImagesRequest* in,
                                        grpc::ServerWriter<v1::StreamImagesResponse>* out) {
  return Answer(*context, RpcKind::kQuery, "StreamImages", [&]() -> base::Status {
    ASSIGN_OR_RETURN(const std::vector<image::Image> images, Select(in->filter()));
    Batches batches(*out, &v1::StreamImagesResponse::add_images);
    for (const image::Image& image : images) {
      v1::Image item;
      FillImage(image, runtime_.config, item);
      if (!batches.Add(std::move(item))) return base::Ok();
    }
    batches.Finish();
    return base::Ok();
  });
}

grpc::Status ImageService::ImageStatus(grpc::ServerContext* context, const v1::ImageStatusRequest* in,
                                       v1::ImageStatusResponse* out) {
  return Answer(*context, RpcKind::kQuery, "ImageStatus", [&]() -> base::Status {
    ASSIGN_OR_RETURN(const auto image, runtime_.parts.images.Find(in->image().image()));
    if (!image) return base::Ok();  // no image in the answer says that there is none
    FillImage(*image, runtime_.config, *out->mutable_image());
    if (in->verbose()) (*out->mutable_info())["info"] = VerboseInfo(*image);
    return base::Ok();
  });
}

grpc::Status ImageService::Pull(const grpc::ServerContext& context, const v1::PullImageRequest& in,
                                v1::PullImageResponse& out, std::stop_token cancelled) {
  return Answer(context, RpcKind::kChange, "PullImage", [&]() -> base::Status {
    ASSIGN_OR_RETURN(std::string id,
                     runtime_.parts.images.Pull(in.image().image(), CredentialsOf(in.auth()), std::move(cancelled)));
    out.set_image_ref(std::move(id));
    return base::Ok();
  });
}

grpc::Status ImageService::RemoveImage(grpc::ServerContext* context, const v1::RemoveImageRequest* in,
                                       v1::RemoveImageResponse*) {
  return Answer(*context, RpcKind::kChange, "RemoveImage",
                [&]() -> base::Status { return runtime_.parts.images.Remove(in->image().image()); });
}

grpc::Status ImageService::ImageFsInfo(grpc::ServerContext* context, const v1::ImageFsInfoRequest*,
                                       v1::ImageFsInfoResponse* out) {
  return Answer(*context, RpcKind::kQuery, "ImageFsInfo", [&]() -> base::Status {
    ASSIGN_OR_RETURN(const image::FilesystemUsage usage, runtime_.parts.images.Usage());
    v1::FilesystemUsage& images = *out->add_image_filesystems();
    images.set_timestamp(base::NowNanoseconds());
    images.mutable_fs_id()->set_mountpoint(usage.mountpoint);
    images.mutable_used_bytes()->set_value(usage.used_bytes);
    images.mutable_inodes_used()->set_value(usage.inodes_used);
    // Writable layers lie on the same file system.
    *out->add_container_filesystems() = images;
    return base::Ok();
  });
}

}  // namespace cri
