#include "base/json.h"

#include <algorithm>

#include "base/text.h"

namespace base {
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

const Json* Find(const Json& object, const char* name) {
  const auto member = object.find(name);
  return member == object.end() || member->is_null() ? nullptr : &*member;
}

Error Unfit(const char* name, const std::string& why) {
  return InvalidArgument("\"" + std::string(name) + "\" " + why);
}

}  // namespace

Result<Json> ParseJson(std::string_view text, size_t most_depth) {
  // The parser takes a NUL for the end of the text.
  if (text.find('\0') != std::string_view::npos) return InvalidArgument("it is not JSON: it has a NUL byte");
  if (Trim(text).empty()) return InvalidArgument("it is empty");
  if (Depth(text) > most_depth) {
    return InvalidArgument("the JSON nests deeper than " + std::to_string(most_depth) + " levels");
  }
  try {
    return Json::parse(text);
  } catch (const Json::exception& exception) {
    // "[json.exception.parse_error.101] parse error at line 1, column 2: ..."
    std::string_view reason = exception.what();
    if (const size_t end = reason.find("] "); end != std::string_view::npos) reason.remove_prefix(end + 2);
    return InvalidArgument("it is not JSON: " + Printable(reason, 256));
  }
}

Result<Json> ParseJsonObject(std::string_view text, size_t most_depth) {
  ASSIGN_OR_RETURN(Json value, ParseJson(text, most_depth));
  if (!value.is_object()) return InvalidArgument("it is not a JSON object");
  return value;
}

std::string JsonText(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Result<std::string> StringMember(const Json& object, const char* name) {
  const Json* member = Find(object, name);
  if (member == nullptr) return std::string();
  if (!member->is_string()) return Unfit(name, "is not a string");
  return member->get<std::string>();
}

Result<std::vector<std::string>> StringsMember(const Json& object, const char* name) {
  std::vector<std::string> strings;
  ASSIGN_OR_RETURN(const Json* list, ListMember(object, name));
  if (list == nullptr) return strings;
  for (const Json& element : *list) {
    if (!element.is_string()) return Unfit(name, "is not a list of strings");
    strings.push_back(element.get<std::string>());
  }
  return strings;
}

Result<const Json*> ObjectMember(const Json& object, const char* name) {
  const Json* member = Find(object, name);
  if (member != nullptr && !member->is_object()) return Unfit(name, "is not an object");
  return member;
}

Result<const Json*> ListMember(const Json& object, const char* name) {
  const Json* member = Find(object, name);
  if (member != nullptr && !member->is_array()) return Unfit(name, "is not a list");
  return member;
}

Result<std::optional<int64_t>> IntegerMember(const Json& object, const char* name, int64_t least, int64_t most) {
  const Json* member = Find(object, name);
  if (member == nullptr) return std::optional<int64_t>();
  if (!member->is_number_integer()) return Unfit(name, "is not a whole number");
  const bool fits = member->is_number_unsigned() && member->get<uint64_t>() > INT64_MAX
                        ? false
                        : member->get<int64_t>() >= least && member->get<int64_t>() <= most;
  if (!fits) return Unfit(name, "is not from " + std::to_string(least) + " to " + std::to_string(most));
  return std::optional<int64_t>(member->get<int64_t>());
}

Result<std::optional<uint64_t>> UnsignedMember(const Json& object, const char* name, uint64_t most) {
  const Json* member = Find(object, name);
  if (member == nullptr) return std::optional<uint64_t>();
  if (!member->is_number_unsigned()) return Unfit(name, "is not a whole number of 0 or more");
  if (member->get<uint64_t>() > most) return Unfit(name, "is more than " + std::to_string(most));
  return std::optional<uint64_t>(member->get<uint64_t>());
}

}  // namespace base
