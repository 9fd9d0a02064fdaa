// Checks an unpacked layer against its record, and makes anew what differs.
#pragma once

#include <functional>
#include <stop_token>
#include <string>
#include <vector>

#include "base/result.h"

namespace image {

struct CheckedLayer {
  enum class State {
    kGood,
    kRepaired,    // it differed, or had no record, and has been made anew
    kDamaged,     // it differs
    kUnrecorded,  // there is no usable record to compare it with
  };
  std::string diff_id;
  bool adaptation = false;          // not the layer itself, but what corrects it in these images (adaptation.h)
  std::vector<std::string> images;  // names, else ids, of the images that have it
  State state = State::kGood;
  size_t differences = 0;
  std::vector<std::string> examples;  // of the differences: the first, printable
  std::string error;                  // why it was not repaired; empty where nobody tried
};

// Unpacks the layer anew into an empty directory, and its record beside it (tree_record.h).
using UnpackAnew = std::function<base::Status(const std::string& directory)>;

// `directory` is the layer's tree and `record` the file with its record. `anew` may be empty: then nothing is repaired.
// `staging` is an empty directory on the same file system, which is used up. What is in the layer must not be removed
// meanwhile. kCancelled after a stop; other errors are about the store itself.
base::Result<CheckedLayer> CheckLayer(const std::string& directory, const std::string& record, const UnpackAnew& anew,
                                      const std::string& staging, const std::stop_token& stop);

}  // namespace image
