// The way from a manifest to unpacked layers, the same for registries and archives.
#pragma once

#include <condition_variable>
#include <mutex>
#include <stop_token>
#include <string>
#include <vector>

#include "base/result.h"
#include "image/layers.h"
#include "image/manifest.h"
#include "image/source.h"

namespace image {

// An image of which everything but the layers' content is known.
struct ResolvedImage {
  std::string digest;  // of the document that was asked for: the index if there is one. Empty for archives without one
  // From that document down to the manifest of this platform: each names the next by its digest.
  std::vector<ManifestBlob> documents;
  Manifest manifest;
  std::string raw_config;
  ConfigDocument config;

  // The digest of the configuration.
  const std::string& id() const { return manifest.config.digest; }
  // Bytes of the configuration and the layers as transferred.
  uint64_t size() const;
};

// Fetches what `digest_or_tag` names, down to the manifest for this machine's platform, and its configuration.
base::Result<ResolvedImage> ResolveImage(Source& source, const std::string& digest_or_tag, const std::stop_token& stop);

// A blob of at most `most` bytes as a text. kResourceExhausted for a larger one.
base::Result<std::string> FetchDocument(Source& source, const Descriptor& blob, size_t most,
                                        const std::stop_token& stop);

// Checks that configuration and manifest belong together and that this machine runs the image.
base::Status CheckImage(const ResolvedImage& image);

// Bounds how many layers are fetched at once.
class Slots {
 public:
  explicit Slots(unsigned count) : free_(count) {}
  // False after a stop.
  bool Take(const std::stop_token& stop);
  void GiveBack();

 private:
  std::mutex mutex_;
  std::condition_variable_any changed_;
  unsigned free_;
};

// Makes sure that all layers of `image` are in `layers`, each needed once more for each different diff ID. After an
// error none is. At most `parallel` are fetched at once, each while it has one of each of `slots`, which are taken in
// this order.
base::Status FetchLayers(Source& source, const ResolvedImage& image, Layers& layers, const std::vector<Slots*>& slots,
                         unsigned parallel, const UnpackBounds& bounds, const std::stop_token& stop);

}  // namespace image
