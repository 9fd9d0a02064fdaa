// The layers of an image as overlayfs is to see them: those that it names, each with its adaptation to what lies below
// (adaptation.h) where it needs one.
#pragma once

#include <stop_token>
#include <string>
#include <vector>

#include "base/result.h"
#include "image/layers.h"

namespace image {

// All functions take layers that somebody needs, lowest first.

// The layers `diff_ids` and, right above each that has one, its adaptation, which is made unless it is there. What is
// added is needed once more each; nothing after an error.
base::Result<std::vector<std::string>> AdaptLayers(Layers& layers, const std::vector<std::string>& diff_ids,
                                                   const std::stop_token& stop);

// Makes the last of `chain`, an adaptation, anew in the empty `directory`, and its record beside it.
base::Status AdaptAnew(const Layers& layers, const std::vector<std::string>& chain, const std::string& directory,
                       const std::stop_token& stop);

// The directories to mount. overlayfs refuses one twice, and shows what is below an opaque root: both are left out.
std::vector<std::string> DirectoriesOf(const Layers& layers, const std::vector<std::string>& chain);

}  // namespace image
