#include "cri/cdi/yaml.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <string>

#include "base/text.h"

namespace cri::cdi {
namespace {

using base::InvalidArgument;
using base::Json;
using base::Result;

constexpr size_t kMostNodes = 100'000;

template <typename Integer>
std::optional<Integer> ParseWhole(std::string_view text, int radix) {
  Integer value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, radix);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// A scalar without quotes.
Json PlainScalar(const std::string& text) {
  if (text.empty() || text == "~" || text == "null" || text == "Null" || text == "NULL") return nullptr;
  if (text == "true" || text == "True" || text == "TRUE") return true;
  if (text == "false" || text == "False" || text == "FALSE") return false;
  std::string_view digits = text;
  int radix = 10;
  if (text.starts_with("0x")) {
    radix = 16;
    digits.remove_prefix(2);
  } else if (text.starts_with("0o")) {
    radix = 8;
    digits.remove_prefix(2);
  } else if (text.size() > 1 && text.front() == '0') {
    radix = 8;
    digits.remove_prefix(1);
  }
  if (const auto number = ParseWhole<uint64_t>(digits, radix)) return *number;
  if (const auto number = ParseWhole<int64_t>(digits, radix)) return *number;
  return text;
}

class Converter {
 public:
  Result<Json> Convert(const YAML::Node& node, size_t depth = 0) {
    if (depth > base::kMostJsonDepth || ++nodes_ > kMostNodes) {
      return InvalidArgument("the YAML is nested too deep or, with its aliases, too large");
    }
    switch (node.Type()) {
      case YAML::NodeType::Scalar:
        // Quoted text has the tag "!".
        if (node.Tag() == "?" || node.Tag().empty()) return PlainScalar(node.Scalar());
        return Json(node.Scalar());
      case YAML::NodeType::Sequence: {
        Json list = Json::array();
        for (const YAML::Node& element : node) {
          ASSIGN_OR_RETURN(Json value, Convert(element, depth + 1));
          list.push_back(std::move(value));
        }
        return list;
      }
      case YAML::NodeType::Map: {
        Json object = Json::object();
        for (const auto& member : node) {
          if (!member.first.IsScalar()) return InvalidArgument("a key in the YAML is not text");
          ASSIGN_OR_RETURN(Json value, Convert(member.second, depth + 1));
          if (!object.emplace(member.first.Scalar(), std::move(value)).second) {
            return InvalidArgument("the key \"" + base::Printable(member.first.Scalar(), 64) + "\" stands there twice");
          }
        }
        return object;
      }
      default:
        return Json(nullptr);
    }
  }

 private:
  size_t nodes_ = 0;
};

}  // namespace

Result<Json> ParseYaml(std::string_view text) {
  try {
    return Converter().Convert(YAML::Load(std::string(text)));
  } catch (const std::exception& exception) {
    return InvalidArgument("it is not YAML: " + base::Printable(exception.what(), 256));
  }
}

}  // namespace cri::cdi
