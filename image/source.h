// Where an image's documents and layers come from: a registry, or an archive on disk.
#pragma once

#include <functional>
#include <stop_token>
#include <string>
#include <string_view>

#include "base/result.h"
#include "image/manifest.h"

namespace image {

// Takes the next bytes of a stream. An error ends the stream and becomes the result of who feeds it.
using ByteSink = std::function<base::Status(std::string_view bytes)>;

struct ManifestBlob {
  std::string content;
  std::string content_type;  // what the source calls it, may be empty
  std::string digest;        // verified, or computed where it was asked for by tag
};

class Source {
 public:
  virtual ~Source() = default;

  // A manifest by digest or tag, of at most kMostDocumentBytes. Its digest has been checked.
  virtual base::Result<ManifestBlob> FetchManifest(const std::string& digest_or_tag, std::stop_token stop) = 0;

  // Streams a blob into `sink`. Size and digest have been checked when it returns success; until then nothing of what
  // the sink got may be trusted. kAborted: the content was bad, but another host may have a good copy, so begin anew.
  virtual base::Status FetchBlob(const Descriptor& blob, const ByteSink& sink, std::stop_token stop) = 0;
};

}  // namespace image
