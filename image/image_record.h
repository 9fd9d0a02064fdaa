// An image as the store records it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "image/store.h"

namespace image {

struct ImageRecord {
  Image image;                        // layer_directories are not recorded
  std::vector<std::string> diff_ids;  // lowest layer first, repeated where a layer is
  // The same with adaptations (layer_chain.h): what the image needs and mounts.
  std::vector<std::string> layers;
  // Grows with every record written: where two records claim a tag after a crash, the later one has it.
  uint64_t sequence = 0;
};

std::string Serialize(const ImageRecord& record);
// kDataLoss for a text that Serialize did not write.
base::Result<ImageRecord> ParseRecord(const std::string& text);

}  // namespace image
