#include "image/pull.h"

#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <optional>
#include <set>
#include <system_error>
#include <thread>
#include <vector>

#include "base/files.h"
#include "image/json.h"
#include "image/layer_fetch.h"
#include "image/platform.h"

namespace image {
namespace {

using base::Code;
using base::ErrnoError;
using base::Error;
using base::Status;

// An index may list indexes, as some build tools make them.
constexpr int kMostIndexDepth = 3;
constexpr size_t kMostPlatformsNamed = 16;

Error NoPlatform(const Index& index) {
  std::string offered;
  for (const Descriptor& manifest : index.manifests) {
    if (!manifest.platform.has_value() || manifest.platform->os == "unknown") continue;
    if (offered.size() > kMostPlatformsNamed * 16) break;
    offered += (offered.empty() ? "" : ", ") + ToString(*manifest.platform);
  }
  return base::NotFound("not found for this node's platform " + ToString(HostPlatforms().front()) +
                        (offered.empty() ? "" : "; the image is there for " + offered));
}

// One layer of one pull.
struct Work {
  const Descriptor* layer;
  const std::string* diff_id;
};

class LayerFetcher {
 public:
  LayerFetcher(Source& source, Layers& layers, const std::vector<Slots*>& slots, const UnpackBounds& bounds,
               const std::stop_token& stop)
      : source_(source), layers_(layers), slots_(slots), bounds_(bounds), on_stop_(stop, Stopper{&stop_}) {}

  void Fetch(const std::vector<Work>& work, unsigned parallel) {
    work_ = &work;
    std::vector<std::thread> threads;
    const size_t count = std::min<size_t>(parallel, work.size());
    // This thread is one of them.
    for (size_t i = 1; i < count; ++i) {
      try {
        threads.emplace_back([this] { Run(); });
      } catch (const std::system_error&) {
        break;  // fewer threads do the same work
      }
    }
    Run();
    for (std::thread& thread : threads) thread.join();
  }

  std::optional<Error>& failure() { return failure_; }
  const std::vector<std::string>& acquired() const { return acquired_; }

 private:
  struct Stopper {
    std::stop_source* stop;
    void operator()() const { stop->request_stop(); }
  };

  void Run() {
    for (size_t i = next_++; i < work_->size() && !stop_.stop_requested(); i = next_++) {
      const Work& work = (*work_)[i];
      Status status = FetchOne(work);
      const std::lock_guard lock(mutex_);
      if (status.ok()) {
        acquired_.push_back(*work.diff_id);
      } else if (!failure_.has_value()) {
        // The first failure ends the others, whose own word is then only that they were cancelled.
        failure_ = std::move(status).error().Wrap("layer " + work.layer->digest);
        stop_.request_stop();
      }
    }
  }

  Status FetchOne(const Work& work) {
    const auto fill = [&](const std::string& directory, const std::stop_token& stop) -> base::Result<UnpackedSize> {
      std::vector<Slots*> taken;
      for (Slots* slots : slots_) {
        if (!slots->Take(stop)) break;
        taken.push_back(slots);
      }
      base::Result<UnpackedSize> size = Error(Code::kCancelled, "cancelled");
      if (taken.size() == slots_.size()) size = FillDirectory(work, directory, stop);
      for (Slots* slots : taken) slots->GiveBack();
      return size;
    };
    return layers_.Acquire(*work.diff_id, fill, stop_.get_token());
  }

  base::Result<UnpackedSize> FillDirectory(const Work& work, const std::string& directory,
                                           const std::stop_token& stop) {
    while (true) {
      auto size = FetchLayer(source_, *work.layer, *work.diff_id, directory, bounds_, stop);
      if (size.ok() || size.error().code() != Code::kAborted) return size;
      // A mirror's copy was bad. The next host's is unpacked into an empty directory.
      RETURN_IF_ERROR(base::RemoveTree(directory));
      if (::mkdir(directory.c_str(), 0755) != 0) return ErrnoError("make directory " + directory);
      if (::chmod(directory.c_str(), 0755) != 0) return ErrnoError("set mode of " + directory);
    }
  }

  Source& source_;
  Layers& layers_;
  const std::vector<Slots*> slots_;
  const UnpackBounds bounds_;
  std::stop_source stop_;
  std::stop_callback<Stopper> on_stop_;
  const std::vector<Work>* work_ = nullptr;
  std::atomic<size_t> next_{0};
  std::mutex mutex_;
  std::optional<Error> failure_;
  std::vector<std::string> acquired_;
};

}  // namespace

uint64_t ResolvedImage::size() const {
  uint64_t sum = manifest.config.size;
  for (const Descriptor& layer : manifest.layers) sum += layer.size;
  return sum;
}

base::Result<std::string> FetchDocument(Source& source, const Descriptor& blob, size_t most,
                                        const std::stop_token& stop) {
  if (blob.size > most) {
    return Error(Code::kResourceExhausted, "longer than the " + std::to_string(most) + " bytes allowed");
  }
  while (true) {
    std::string content;
    const Status fetched = source.FetchBlob(
        blob,
        [&](std::string_view bytes) {
          content += bytes;
          return base::Ok();
        },
        stop);
    if (fetched.ok()) return content;
    if (fetched.error().code() != Code::kAborted) return fetched.error();
  }
}

Status CheckImage(const ResolvedImage& image) {
  if (image.config.diff_ids.size() != image.manifest.layers.size()) {
    return Error(Code::kDataLoss, "the manifest has " + std::to_string(image.manifest.layers.size()) +
                                      " layers but the configuration " + std::to_string(image.config.diff_ids.size()));
  }
  if (!Fits(image.config.platform, HostPlatforms())) {
    return base::NotFound("not found for this node's platform " + ToString(HostPlatforms().front()) +
                          ": the image is for " + ToString(image.config.platform));
  }
  return base::Ok();
}

base::Result<ResolvedImage> ResolveImage(Source& source, const std::string& digest_or_tag,
                                         const std::stop_token& stop) {
  ResolvedImage image;
  ASSIGN_OR_RETURN(ManifestBlob blob, source.FetchManifest(digest_or_tag, stop));
  image.digest = blob.digest;
  for (int depth = 0;; ++depth) {
    auto document = ParseManifest(blob.content, blob.content_type);
    if (!document.ok()) return std::move(document).error().Wrap("manifest " + blob.digest);
    image.documents.push_back(std::move(blob));
    if (auto* manifest = std::get_if<Manifest>(&*document); manifest != nullptr) {
      image.manifest = std::move(*manifest);
      break;
    }
    if (depth == kMostIndexDepth) return Error(Code::kDataLoss, "indexes are nested too deep");
    const Index& index = std::get<Index>(*document);
    const Descriptor* selected = SelectManifest(index, HostPlatforms());
    if (selected == nullptr) return NoPlatform(index);
    const Descriptor wanted = *selected;
    auto next = source.FetchManifest(wanted.digest, stop);
    if (!next.ok()) return std::move(next).error().Wrap("manifest " + wanted.digest);
    blob = *std::move(next);
    if (blob.content.size() != wanted.size) {
      return Error(Code::kDataLoss, "manifest " + wanted.digest + ": it has " + std::to_string(blob.content.size()) +
                                        " bytes, but the index states " + std::to_string(wanted.size));
    }
  }
  auto config = FetchDocument(source, image.manifest.config, kMostDocumentBytes, stop);
  if (!config.ok()) return std::move(config).error().Wrap("configuration " + image.id());
  image.raw_config = *std::move(config);
  auto parsed = ParseConfig(image.raw_config);
  if (!parsed.ok()) return std::move(parsed).error().Wrap("configuration " + image.id());
  image.config = *std::move(parsed);
  RETURN_IF_ERROR(CheckImage(image));
  return image;
}

bool Slots::Take(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  if (!changed_.wait(lock, stop, [&] { return free_ > 0; })) return false;
  --free_;
  return true;
}

void Slots::GiveBack() {
  const std::lock_guard lock(mutex_);
  ++free_;
  changed_.notify_one();
}

Status FetchLayers(Source& source, const ResolvedImage& image, Layers& layers, const std::vector<Slots*>& slots,
                   unsigned parallel, const UnpackBounds& bounds, const std::stop_token& stop) {
  std::vector<Work> missing;
  std::vector<std::string> present;
  std::set<std::string> seen;
  for (size_t i = 0; i < image.manifest.layers.size(); ++i) {
    const std::string& diff_id = image.config.diff_ids[i];
    if (!seen.insert(diff_id).second) continue;
    if (layers.Need(diff_id)) {
      present.push_back(diff_id);
    } else {
      missing.push_back({&image.manifest.layers[i], &diff_id});
    }
  }
  LayerFetcher fetcher(source, layers, slots, bounds, stop);
  if (!missing.empty()) fetcher.Fetch(missing, parallel);
  std::optional<Error>& failure = fetcher.failure();
  if (!failure.has_value() && stop.stop_requested()) failure = Error(Code::kCancelled, "cancelled");
  if (!failure.has_value()) return base::Ok();
  for (const std::string& diff_id : present) layers.Unneed(diff_id);
  for (const std::string& diff_id : fetcher.acquired()) layers.Unneed(diff_id);
  return *std::move(failure);
}

}  // namespace image
