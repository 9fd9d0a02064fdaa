#include "image/image_record.h"

#include <algorithm>

#include "image/digest.h"
#include "image/json.h"
#include "image/manifest.h"

namespace image {

std::string Serialize(const ImageRecord& record) {
  const Json document = {{"id", record.image.id},           {"tags", record.image.tags},
                         {"digests", record.image.digests}, {"size", record.image.size},
                         {"diffIDs", record.diff_ids},      {"layers", record.layers},
                         {"sequence", record.sequence},     {"config", record.image.raw_config}};
  return Dump(document);
}

base::Result<ImageRecord> ParseRecord(const std::string& text) {
  ASSIGN_OR_RETURN(const Json document, ParseObject(text, "the image's record"));
  ImageRecord record;
  record.image.id = StringAt(document, "id");
  record.image.tags = StringsAt(document, "tags");
  record.image.digests = StringsAt(document, "digests");
  record.image.size = UnsignedAt(document, "size").value_or(0);
  record.image.raw_config = StringAt(document, "config");
  record.diff_ids = StringsAt(document, "diffIDs");
  record.layers = StringsAt(document, "layers");
  // Of an earlier version.
  if (record.layers.empty()) record.layers = record.diff_ids;
  record.sequence = UnsignedAt(document, "sequence").value_or(0);
  if (!IsDigest(record.image.id) || !std::all_of(record.layers.begin(), record.layers.end(), IsDigest)) {
    return base::Error(base::Code::kDataLoss, "the image's record is not complete");
  }
  ASSIGN_OR_RETURN(ConfigDocument config, ParseConfig(record.image.raw_config));
  record.image.config = std::move(config.config);
  record.image.os = config.platform.os;
  record.image.architecture = config.platform.architecture;
  return record;
}

}  // namespace image
