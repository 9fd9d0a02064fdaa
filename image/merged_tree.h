// The tree that overlayfs makes of unpacked layers, looked up path by path without a mount.
#pragma once

#include <sys/types.h>

#include <string>
#include <unordered_map>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

namespace image {

// The layers' directories must not change meanwhile. Not thread-safe.
class MergedTree {
 public:
  struct Node {
    mode_t type = 0;  // S_IFMT bits; 0: there is nothing
    // Nothing, because the topmost layer that has the name says so.
    bool whiteout = false;
    // A directory of which the topmost layer hides what lower ones have.
    bool opaque = false;
    // The layer whose metadata are seen, as a number into what was opened.
    size_t layer = 0;
    // Of a directory: all layers whose names are seen in it, topmost first.
    std::vector<size_t> merged;
  };

  // `directories` lowest layer first; there may be none.
  static base::Result<MergedTree> Open(const std::vector<std::string>& directories);

  // What is at `path`, relative to the root, which is "". No symbolic link is followed: below one, there is nothing.
  base::Result<Node> Find(const std::string& path);

  // The directory of a layer.
  int layer(size_t number) const { return layers_[number].get(); }

 private:
  base::Result<Node> Look(const std::string& path);

  std::vector<base::UniqueFd> layers_;
  // What was found before; forgotten when it takes too much memory.
  std::unordered_map<std::string, Node> found_;
  size_t found_bytes_ = 0;
};

}  // namespace image
