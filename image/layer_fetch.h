// One layer on its way from a source to disk, in one stream.
#pragma once

#include <stop_token>
#include <string>

#include "base/result.h"
#include "image/manifest.h"
#include "image/source.h"
#include "image/unpack.h"

namespace image {

// Fetches `layer`, and at the same time checks its digest, decompresses it, checks the diff ID and unpacks it into the
// empty `directory`, beside which it leaves the tree's record (tree_record.h). This thread receives
// and checks the digest, a second decompresses and checks the diff ID, a third writes. kAborted as of
// Source::FetchBlob; what is in `directory` after an error is the caller's to remove.
base::Result<UnpackedSize> FetchLayer(Source& source, const Descriptor& layer, const std::string& diff_id,
                                      const std::string& directory, const UnpackBounds& bounds,
                                      const std::stop_token& stop);

}  // namespace image
