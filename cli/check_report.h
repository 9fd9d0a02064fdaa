// What a check of a store has found, for people and programs.
#pragma once

#include <cstddef>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "image/layer_check.h"

namespace cli {

class CheckReport {
 public:
  void Add(const image::CheckedLayer& layer);

  // What a person is told of one layer; nothing of a good one unless `verbose`.
  static std::vector<std::string> LinesFor(const image::CheckedLayer& layer, bool verbose);
  // "7 layers checked: 6 good, 1 repaired"
  std::string Summary() const;
  nlohmann::json ToJson() const;

  // Layers that are not as they should be, or of which nobody can tell.
  size_t bad() const { return damaged_ + unrecorded_; }

 private:
  size_t good_ = 0;
  size_t repaired_ = 0;
  size_t damaged_ = 0;
  size_t unrecorded_ = 0;
  nlohmann::json layers_ = nlohmann::json::array();
};

}  // namespace cli
