#include "cni/json.h"

#include <algorithm>

#include "base/text.h"

namespace cni {
namespace {

// The deepest nesting of arrays and objects, whether or not the text is well-formed.
size_t Depth(std::string_view text) {
  size_t depth = 0;
  size_t deepest = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') ++i;
      if (c == '"') in_string = false;
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{' || c == '[') {
      deepest = std::max(deepest, ++depth);
    } else if ((c == '}' || c == ']') && depth > 0) {
      --depth;
    }
  }
  return deepest;
}

}  // namespace

base::Result<Json> ParseJson(std::string_view text, size_t most_depth) {
  // The parser takes a NUL for the end of the text.
  if (text.find('\0') != std::string_view::npos) return base::InvalidArgument("it is not JSON: it has a NUL byte");
  if (base::Trim(text).empty()) return base::InvalidArgument("it is empty");
  if (Depth(text) > most_depth) {
    return base::InvalidArgument("the JSON nests deeper than " + std::to_string(most_depth) + " levels");
  }
  try {
    return Json::parse(text);
  } catch (const Json::exception& exception) {
    // "[json.exception.parse_error.101] parse error at line 1, column 2: ..."
    std::string_view reason = exception.what();
    if (const size_t end = reason.find("] "); end != std::string_view::npos) reason.remove_prefix(end + 2);
    return base::InvalidArgument("it is not JSON: " + base::Printable(reason, 256));
  }
}

base::Result<Json> ParseJsonObject(std::string_view text, size_t most_depth) {
  ASSIGN_OR_RETURN(Json value, ParseJson(text, most_depth));
  if (!value.is_object()) return base::InvalidArgument("it is not a JSON object");
  return value;
}

std::string JsonText(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

base::Result<std::string> StringMember(const Json& object, const char* name) {
  const auto member = object.find(name);
  if (member == object.end()) return std::string();
  if (!member->is_string()) return base::InvalidArgument("\"" + std::string(name) + "\" is not a string");
  return member->get<std::string>();
}

}  // namespace cni
