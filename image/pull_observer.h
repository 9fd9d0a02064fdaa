// Who wants to know how far a pull is.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "image/source.h"

namespace image {

struct PulledLayer {
  std::string digest;  // of the blob
  uint64_t size = 0;   // bytes to be transferred
  bool present = false;
};

// Called from the threads of the pull, several at once, and must not block for long.
class PullObserver {
 public:
  virtual ~PullObserver() = default;
  // What is to be pulled, told once, before any other call: each different layer, lowest first.
  virtual void OnLayers(const std::vector<PulledLayer>& layers) = 0;
  // Bytes of a layer received so far. It becomes less where another host has to be asked.
  virtual void OnReceived(const std::string& digest, uint64_t bytes) = 0;
  // All of the layer has been received; it may still be unpacked.
  virtual void OnComplete(const std::string& digest) = 0;
};

// A source that tells an observer what passes through.
class ObservedSource : public Source {
 public:
  // Both must live longer.
  ObservedSource(Source& source, PullObserver& observer) : source_(source), observer_(observer) {}

  base::Result<ManifestBlob> FetchManifest(const std::string& digest_or_tag, std::stop_token stop) override {
    return source_.FetchManifest(digest_or_tag, std::move(stop));
  }
  base::Status FetchBlob(const Descriptor& blob, const ByteSink& sink, std::stop_token stop) override {
    uint64_t received = 0;
    const auto counting = [&](std::string_view bytes) {
      received += bytes.size();
      observer_.OnReceived(blob.digest, received);
      return sink(bytes);
    };
    base::Status fetched = source_.FetchBlob(blob, counting, std::move(stop));
    if (fetched.ok()) observer_.OnComplete(blob.digest);
    return fetched;
  }

 private:
  Source& source_;
  PullObserver& observer_;
};

}  // namespace image
