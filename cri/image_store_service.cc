#include "cri/image_store_service.h"

#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>
#include <thread>
#include <vector>

#include "cri/rpc.h"
#include "image/pull_observer.h"

namespace cri {
namespace {

// How often a client hears how far a pull is.
constexpr std::chrono::milliseconds kInterval{100};

// Gathers what the pull's threads tell, so that a client that reads slowly does not hold them up.
class Gathering final : public image::PullObserver {
 public:
  void OnLayers(const std::vector<image::PulledLayer>& layers) override {
    store_v1::PullEvent event;
    for (const image::PulledLayer& layer : layers) {
      store_v1::PullEvent::Layer& out = *event.add_layers();
      out.set_digest(layer.digest);
      out.set_size(layer.size);
      out.set_present(layer.present);
    }
    const std::lock_guard lock(mutex_);
    events_.push_back(std::move(event));
  }
  void OnReceived(const std::string& digest, uint64_t bytes) override {
    const std::lock_guard lock(mutex_);
    received_[digest] = bytes;
  }
  void OnComplete(const std::string& digest) override {
    store_v1::PullEvent event;
    event.set_complete(digest);
    const std::lock_guard lock(mutex_);
    events_.push_back(std::move(event));
  }
  void End() {
    const std::lock_guard lock(mutex_);
    ended_ = true;
    changed_.notify_one();
  }

  // What is new after a while; sets `ended` when nothing more will come.
  std::vector<store_v1::PullEvent> Take(bool& ended) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, kInterval, [this] { return ended_; });
    ended = ended_;
    std::vector<store_v1::PullEvent> out = std::move(events_);
    events_.clear();
    for (const auto& [digest, bytes] : received_) {
      store_v1::PullEvent& event = out.emplace_back();
      event.mutable_received()->set_digest(digest);
      event.mutable_received()->set_bytes(bytes);
    }
    received_.clear();
    return out;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<store_v1::PullEvent> events_;
  std::map<std::string, uint64_t> received_;
  bool ended_ = false;
};

store_v1::CheckedLayer::State StateOf(image::CheckedLayer::State state) {
  switch (state) {
    case image::CheckedLayer::State::kRepaired:
      return store_v1::CheckedLayer::REPAIRED;
    case image::CheckedLayer::State::kDamaged:
      return store_v1::CheckedLayer::DAMAGED;
    case image::CheckedLayer::State::kUnrecorded:
      return store_v1::CheckedLayer::UNRECORDED;
    case image::CheckedLayer::State::kGood:
      break;
  }
  return store_v1::CheckedLayer::GOOD;
}

base::Status CheckPath(const std::string& path) {
  if (!path.starts_with('/') || path.find('\0') != std::string::npos) {
    return base::InvalidArgument("the path must be absolute");
  }
  return base::Ok();
}

}  // namespace

image::Credentials CredentialsOf(const runtime::v1::AuthConfig& auth) {
  image::Credentials credentials;
  credentials.username = auth.username();
  credentials.password = auth.password();
  credentials.auth = auth.auth();
  credentials.identity_token = auth.identity_token();
  credentials.registry_token = auth.registry_token();
  credentials.server_address = auth.server_address();
  return credentials;
}

grpc::Status ImageStoreService::PullImage(const grpc::ServerContext& context, const store_v1::PullRequest& in,
                                          const WriteEvent& write, const std::stop_token& cancelled) {
  return Answer(context, RpcKind::kChange, "ImageStore.Pull", [&]() -> base::Status {
    Gathering gathering;
    base::Result<std::string> id = base::Internal("the pull did not begin");
    std::thread puller([&] {
      id = images_.Pull(in.reference(), CredentialsOf(in.auth()), cancelled, &gathering);
      gathering.End();
    });
    bool listening = true;
    for (bool ended = false; !ended;) {
      for (const store_v1::PullEvent& event : gathering.Take(ended)) listening = listening && write(event);
    }
    puller.join();
    if (!id.ok()) return std::move(id).error();
    store_v1::PullEvent last;
    last.set_id(*id);
    write(last);
    return base::Ok();
  });
}

grpc::Status ImageStoreService::CheckStore(const grpc::ServerContext& context, const store_v1::CheckRequest& in,
                                           const WriteLayer& write, const std::stop_token& cancelled) {
  return Answer(context, RpcKind::kChange, "ImageStore.Check", [&] {
    const auto checked = [&](const image::CheckedLayer& layer) {
      store_v1::CheckedLayer out;
      out.set_diff_id(layer.diff_id);
      out.set_adaptation(layer.adaptation);
      out.mutable_images()->Assign(layer.images.begin(), layer.images.end());
      out.set_state(StateOf(layer.state));
      out.set_differences(layer.differences);
      out.mutable_examples()->Assign(layer.examples.begin(), layer.examples.end());
      out.set_error(layer.error);
      write(out);
    };
    return images_.Check(in.repair(), checked, cancelled);
  });
}

grpc::Status ImageStoreService::ImportImage(const grpc::ServerContext& context, const store_v1::ImportRequest& in,
                                            store_v1::ImportResponse& out, const std::stop_token& cancelled) {
  return Answer(context, RpcKind::kChange, "ImageStore.Import", [&]() -> base::Status {
    RETURN_IF_ERROR(CheckPath(in.path()));
    ASSIGN_OR_RETURN(const auto imported, images_.Import(in.path(), cancelled));
    for (const image::ImportedImage& image : imported) {
      store_v1::ImportResponse::Image& item = *out.add_images();
      item.set_id(image.id);
      item.mutable_names()->Assign(image.names.begin(), image.names.end());
    }
    return base::Ok();
  });
}

grpc::Status ImageStoreService::ExportImage(const grpc::ServerContext& context, const store_v1::ExportRequest& in,
                                            store_v1::ExportResponse& out, const std::stop_token& cancelled) {
  return Answer(context, RpcKind::kChange, "ImageStore.Export", [&]() -> base::Status {
    RETURN_IF_ERROR(CheckPath(in.directory()));
    ASSIGN_OR_RETURN(const auto exported, images_.Export(in.reference(), in.directory(), cancelled));
    out.set_id(exported.id);
    out.set_manifest_digest(exported.manifest_digest);
    return base::Ok();
  });
}

}  // namespace cri
