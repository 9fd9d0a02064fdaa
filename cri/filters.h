// The selectors of the list RPCs.
#pragma once

#include <google/protobuf/map.h>

#include <string>
#include <string_view>

namespace cri {

using StringMap = google::protobuf::Map<std::string, std::string>;

// Whether `labels` has every pair of `selector`.
inline bool MatchesLabels(const StringMap& labels, const StringMap& selector) {
  for (const auto& [key, value] : selector) {
    const auto found = labels.find(key);
    if (found == labels.end() || found->second != value) return false;
  }
  return true;
}

// Whether `id` is selected by a filter's id: a whole one or the beginning of one; an empty filter selects all.
inline bool MatchesId(std::string_view id, std::string_view selector) {
  return id.substr(0, selector.size()) == selector;
}

}  // namespace cri
