// Writes images as an OCI image layout
// (https://github.com/opencontainers/image-spec/blob/main/image-layout.md).
#pragma once

#include <set>
#include <stop_token>
#include <string>
#include <vector>

#include "base/result.h"

namespace image {

struct ExportSource {
  std::string id;
  std::vector<std::string> tags;  // full references
  std::string raw_config;
  // For each layer, lowest first.
  std::vector<std::string> diff_ids;
  std::vector<std::string> layer_directories;
  // Those for which the layer has no entry (ImpliedPaths): they get none in the archive.
  std::vector<std::set<std::string>> implied_directories;
};

struct ExportedImage {
  // The digest of the configuration as exported. It is not the image's own id where a layer, packed anew, is another
  // archive of the same files: then the configuration names the new diff IDs.
  std::string id;
  std::string manifest_digest;
};

// Writes the image into `directory`, which must not exist or be empty, and syncs it. Until all of it is there, it goes
// by another name beside it. Layers are packed without compression. kAlreadyExists where there is something else.
base::Result<ExportedImage> ExportLayout(const ExportSource& image, const std::string& directory,
                                         const std::stop_token& stop);

}  // namespace image
