// Makes layers that were unpacked without knowing each other come out as if each had been unpacked onto those below.
//
// overlayfs shows what the topmost layer says of a name. That is wrong for what a layer says only by implication: a
// directory for which it has no entry has the mode, owner, attributes and time that a lower layer gives it, and where
// that has a symbolic link, the link stays and what the upper layer has "in" it goes to where the link points, which is
// always inside of the root, as in umoci, containerd and Docker. What has to be corrected is laid over the layer as one
// more, which belongs to this sequence of layers alone: its *adaptation*. It holds directories, links, whiteouts and
// hard links to files of the layer that come to lie elsewhere, so it costs next to nothing.
#pragma once

#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "base/result.h"
#include "image/unpack.h"

namespace image {

// What an adaptation goes by among the layers: the digest of a text of our own, and so of no layer. `diff_ids` are
// those of the layer, which is the last, and of all below it.
std::string AdaptationId(const std::vector<std::string>& diff_ids);

class Adaptation {
 public:
  // What is to be corrected of the layer in `directory`, by its record of implied paths; null where nothing is. `below`
  // are the directories of the layers below it with their own adaptations, lowest first. The directories must not
  // change as long as the object lives.
  //
  // A link that cannot be followed (a loop, or to something that is no directory) is replaced by the directory, as is a
  // file. Where a moved file and one of the layer itself have the same path, the later one of the archive wins.
  // kResourceExhausted for layers that are made to need too much work, kCancelled after a stop.
  static base::Result<std::unique_ptr<Adaptation>> Plan(const std::vector<std::string>& below,
                                                        const std::string& directory, const std::string& tree_record,
                                                        const std::stop_token& stop);
  virtual ~Adaptation() = default;

  // Makes the layer in the empty directory `target`, on the file system of the others, and its record beside it
  // (tree_record.h). Call it once.
  virtual base::Result<UnpackedSize> Write(const std::string& target) = 0;
};

}  // namespace image
