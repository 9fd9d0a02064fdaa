#include "cli/check_report.h"

namespace cli {
namespace {

using State = image::CheckedLayer::State;

const char* NameOf(State state) {
  switch (state) {
    case State::kRepaired:
      return "repaired";
    case State::kDamaged:
      return "damaged";
    case State::kUnrecorded:
      return "unrecorded";
    case State::kGood:
      break;
  }
  return "good";
}

}  // namespace

void CheckReport::Add(const image::CheckedLayer& layer) {
  switch (layer.state) {
    case State::kGood:
      ++good_;
      break;
    case State::kRepaired:
      ++repaired_;
      break;
    case State::kDamaged:
      ++damaged_;
      break;
    case State::kUnrecorded:
      ++unrecorded_;
      break;
  }
  layers_.push_back({{"diffID", layer.diff_id},
                     {"adaptation", layer.adaptation},
                     {"images", layer.images},
                     {"state", NameOf(layer.state)},
                     {"differences", layer.differences},
                     {"examples", layer.examples},
                     {"error", layer.error}});
}

std::vector<std::string> CheckReport::LinesFor(const image::CheckedLayer& layer, bool verbose) {
  std::vector<std::string> lines;
  if (layer.state == State::kGood && !verbose) return lines;
  std::string head =
      layer.diff_id + (layer.adaptation ? " (as adapted to the layers below) " : " ") + NameOf(layer.state);
  for (size_t i = 0; i < layer.images.size(); ++i) head += (i == 0 ? " (" : ", ") + layer.images[i];
  if (!layer.images.empty()) head += ")";
  lines.push_back(head);
  for (const std::string& example : layer.examples) lines.push_back("  " + example);
  if (layer.differences > layer.examples.size()) {
    lines.push_back("  and " + std::to_string(layer.differences - layer.examples.size()) + " more");
  }
  if (!layer.error.empty()) lines.push_back("  not repaired: " + layer.error);
  return lines;
}

std::string CheckReport::Summary() const {
  const size_t all = good_ + repaired_ + damaged_ + unrecorded_;
  std::string text = std::to_string(all) + (all == 1 ? " layer checked: " : " layers checked: ");
  text += std::to_string(good_) + " good";
  if (repaired_ > 0) text += ", " + std::to_string(repaired_) + " repaired";
  if (damaged_ > 0) text += ", " + std::to_string(damaged_) + " damaged";
  if (unrecorded_ > 0) text += ", " + std::to_string(unrecorded_) + " without a record";
  return text;
}

nlohmann::json CheckReport::ToJson() const {
  return {{"layers", layers_},
          {"good", good_},
          {"repaired", repaired_},
          {"damaged", damaged_},
          {"unrecorded", unrecorded_}};
}

}  // namespace cli
