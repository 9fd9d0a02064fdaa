// Images of the running daemon, over its socket: by the CRI where that has a call, else by the daemon's own service
// (proto/image_store.proto).

#include <grpcpp/create_channel.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "base/fd.h"
#include "cli/images.h"
#include "image/json.h"
#include "proto/image_store.grpc.pb.h"
#include "proto/runtime.grpc.pb.h"

namespace cli {
namespace {

using base::Result;
using base::Status;

namespace v1 = ::runtime::v1;
namespace store_v1 = ::cri_nspawn::image_store::v1;

constexpr int kMostMessageBytes = 64 << 20;

bool SomebodyListens(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.empty() || path.size() >= sizeof address.sun_path) return false;
  path.copy(address.sun_path, path.size());
  const base::UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  return fd && ::connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0;
}

Status FromGrpc(const grpc::Status& status) {
  if (status.ok()) return base::Ok();
  return base::Error(static_cast<base::Code>(status.error_code()), status.error_message());
}

// A call that ends when this process is asked to stop.
class Call {
 public:
  explicit Call(const std::stop_token& stop) : on_stop_(stop, Cancel{&context}) {}
  grpc::ClientContext context;

 private:
  struct Cancel {
    grpc::ClientContext* context;
    void operator()() const { context->TryCancel(); }
  };
  std::stop_callback<Cancel> on_stop_;
};

image::Image FromProto(const v1::Image& from) {
  image::Image image;
  image.id = from.id();
  image.tags.assign(from.repo_tags().begin(), from.repo_tags().end());
  image.digests.assign(from.repo_digests().begin(), from.repo_digests().end());
  image.size = from.size();
  return image;
}

image::CheckedLayer FromProto(const store_v1::CheckedLayer& from) {
  using State = image::CheckedLayer::State;
  image::CheckedLayer layer;
  layer.diff_id = from.diff_id();
  layer.adaptation = from.adaptation();
  layer.images.assign(from.images().begin(), from.images().end());
  layer.state = from.state() == store_v1::CheckedLayer::GOOD       ? State::kGood
                : from.state() == store_v1::CheckedLayer::REPAIRED ? State::kRepaired
                : from.state() == store_v1::CheckedLayer::DAMAGED  ? State::kDamaged
                                                                   : State::kUnrecorded;
  layer.differences = from.differences();
  layer.examples.assign(from.examples().begin(), from.examples().end());
  layer.error = from.error();
  return layer;
}

void SetAuth(const image::Credentials& credentials, v1::AuthConfig& auth) {
  auth.set_username(credentials.username);
  auth.set_password(credentials.password);
  auth.set_auth(credentials.auth);
  auth.set_identity_token(credentials.identity_token);
  auth.set_registry_token(credentials.registry_token);
  auth.set_server_address(credentials.server_address);
}

class RemoteImages final : public Images {
 public:
  RemoteImages(const std::shared_ptr<grpc::Channel>& channel, std::stop_token stop)
      : cri_(v1::ImageService::NewStub(channel)),
        store_(store_v1::ImageStore::NewStub(channel)),
        stop_(std::move(stop)) {}

  Result<std::vector<image::Image>> List() override {
    Call call(stop_);
    v1::ListImagesResponse response;
    RETURN_IF_ERROR(FromGrpc(cri_->ListImages(&call.context, {}, &response)));
    std::vector<image::Image> images;
    for (const v1::Image& image : response.images()) images.push_back(FromProto(image));
    return images;
  }

  Result<std::optional<image::Image>> Find(const std::string& reference) override {
    Call call(stop_);
    v1::ImageStatusRequest request;
    request.mutable_image()->set_image(reference);
    request.set_verbose(true);
    v1::ImageStatusResponse response;
    RETURN_IF_ERROR(FromGrpc(cri_->ImageStatus(&call.context, request, &response)));
    if (!response.has_image()) return std::optional<image::Image>();
    image::Image image = FromProto(response.image());
    if (const auto info = response.info().find("info"); info != response.info().end()) {
      ASSIGN_OR_RETURN(const image::Json document, image::ParseObject(info->second, "the daemon's answer"));
      if (const image::Json* spec = image::ObjectAt(document, "imageSpec")) image.raw_config = image::Dump(*spec);
      image.layer_directories = image::StringsAt(document, "layers");
    }
    return std::optional(std::move(image));
  }

  Result<std::string> Pull(const std::string& reference, const image::Credentials& credentials,
                           image::PullObserver& observer) override {
    Call call(stop_);
    store_v1::PullRequest request;
    request.set_reference(reference);
    SetAuth(credentials, *request.mutable_auth());
    const auto events = store_->Pull(&call.context, request);
    store_v1::PullEvent event;
    std::string id;
    while (events->Read(&event)) {
      if (event.layers_size() > 0) {
        std::vector<image::PulledLayer> layers;
        for (const auto& layer : event.layers()) layers.push_back({layer.digest(), layer.size(), layer.present()});
        observer.OnLayers(layers);
      }
      if (event.has_received()) observer.OnReceived(event.received().digest(), event.received().bytes());
      if (!event.complete().empty()) observer.OnComplete(event.complete());
      if (!event.id().empty()) id = event.id();
    }
    RETURN_IF_ERROR(FromGrpc(events->Finish()));
    return id;
  }

  Status Remove(const std::string& reference) override {
    Call call(stop_);
    v1::RemoveImageRequest request;
    request.mutable_image()->set_image(reference);
    v1::RemoveImageResponse response;
    return FromGrpc(cri_->RemoveImage(&call.context, request, &response));
  }

  Result<std::vector<image::ImportedImage>> Import(const std::string& path) override {
    Call call(stop_);
    store_v1::ImportRequest request;
    request.set_path(path);
    store_v1::ImportResponse response;
    RETURN_IF_ERROR(FromGrpc(store_->Import(&call.context, request, &response)));
    std::vector<image::ImportedImage> images;
    for (const auto& image : response.images()) {
      images.push_back({image.id(), {image.names().begin(), image.names().end()}});
    }
    return images;
  }

  Result<image::ExportedImage> Export(const std::string& reference, const std::string& directory) override {
    Call call(stop_);
    store_v1::ExportRequest request;
    request.set_reference(reference);
    request.set_directory(directory);
    store_v1::ExportResponse response;
    RETURN_IF_ERROR(FromGrpc(store_->Export(&call.context, request, &response)));
    return image::ExportedImage{response.id(), response.manifest_digest()};
  }

  Status Check(bool repair, const image::Store::OnLayerChecked& checked) override {
    Call call(stop_);
    store_v1::CheckRequest request;
    request.set_repair(repair);
    const auto layers = store_->Check(&call.context, request);
    store_v1::CheckedLayer layer;
    while (layers->Read(&layer)) checked(FromProto(layer));
    return FromGrpc(layers->Finish());
  }

 private:
  const std::unique_ptr<v1::ImageService::Stub> cri_;
  const std::unique_ptr<store_v1::ImageStore::Stub> store_;
  const std::stop_token stop_;
};

}  // namespace

std::unique_ptr<Images> DaemonImages(const std::string& socket, std::stop_token stop) {
  if (!SomebodyListens(socket)) return nullptr;
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(kMostMessageBytes);
  // Nothing but this socket, whatever the environment says of proxies.
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  return std::make_unique<RemoteImages>(
      grpc::CreateCustomChannel("unix:" + socket, grpc::InsecureChannelCredentials(), arguments), std::move(stop));
}

}  // namespace cli
