#include "image/json.h"

#include <set>

#include "base/text.h"

namespace image {
namespace {

constexpr int kMostDepth = 64;

// Counts brackets outside of strings. The text need not be valid.
bool TooDeep(std::string_view text) {
  int depth = 0;
  bool in_string = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (in_string) {
      if (c == '\\') {
        ++i;
      } else if (c == '"') {
        in_string = false;
      }
    } else if (c == '"') {
      in_string = true;
    } else if (c == '{' || c == '[') {
      if (++depth > kMostDepth) return true;
    } else if (c == '}' || c == ']') {
      --depth;
    }
  }
  return false;
}

base::Result<Json> Parse(std::string_view text, std::string_view what, const Json::parser_callback_t& look) {
  const auto bad = [&](std::string_view why) {
    return base::Error(base::Code::kDataLoss, std::string(what) + " is " + std::string(why));
  };
  if (TooDeep(text)) return bad("nested too deep");
  Json value = Json::parse(text, look, /*allow_exceptions=*/false);
  if (value.is_discarded()) return bad("not valid JSON");
  if (!value.is_object()) return bad("no JSON object");
  return value;
}

const Json* MemberAt(const Json& object, const char* key) {
  if (!object.is_object()) return nullptr;
  const auto found = object.find(key);
  return found == object.end() ? nullptr : &*found;
}

}  // namespace

base::Result<Json> ParseObject(std::string_view text, std::string_view what) {
  return Parse(text, what, nullptr);
}

base::Result<Json> ParseStrictObject(std::string_view text, std::string_view what) {
  std::vector<std::set<std::string>> names;  // of the objects that are open, outermost first
  std::string repeated;
  const auto look = [&](int, Json::parse_event_t event, Json& value) {
    if (event == Json::parse_event_t::object_start) {
      names.emplace_back();
    } else if (event == Json::parse_event_t::object_end) {
      names.pop_back();
    } else if (event == Json::parse_event_t::key) {
      const auto& name = value.get_ref<const std::string&>();
      if (!names.back().insert(name).second && repeated.empty()) repeated = base::Printable(name, 100);
    }
    return true;
  };
  auto value = Parse(text, what, look);
  if (value.ok() && !repeated.empty()) {
    return base::Error(base::Code::kDataLoss, std::string(what) + " has \"" + repeated + "\" twice");
  }
  return value;
}

std::string StringAt(const Json& object, const char* key) {
  const Json* member = MemberAt(object, key);
  return member != nullptr && member->is_string() ? member->get_ref<const std::string&>() : std::string();
}

std::optional<uint64_t> UnsignedAt(const Json& object, const char* key) {
  const Json* member = MemberAt(object, key);
  if (member == nullptr || !member->is_number_unsigned()) return std::nullopt;
  return member->get<uint64_t>();
}

std::vector<std::string> StringsAt(const Json& object, const char* key) {
  std::vector<std::string> out;
  const Json* array = ArrayAt(object, key);
  if (array == nullptr) return out;
  for (const Json& element : *array) {
    if (element.is_string()) out.push_back(element.get_ref<const std::string&>());
  }
  return out;
}

std::vector<std::pair<std::string, std::string>> StringMapAt(const Json& object, const char* key) {
  std::vector<std::pair<std::string, std::string>> out;
  const Json* map = ObjectAt(object, key);
  if (map == nullptr) return out;
  for (const auto& [name, value] : map->items()) {
    if (value.is_string()) out.emplace_back(name, value.get_ref<const std::string&>());
  }
  return out;
}

std::vector<std::string> KeysAt(const Json& object, const char* key) {
  std::vector<std::string> out;
  const Json* map = ObjectAt(object, key);
  if (map == nullptr) return out;
  for (const auto& item : map->items()) out.push_back(item.key());
  return out;
}

const Json* ObjectAt(const Json& object, const char* key) {
  const Json* member = MemberAt(object, key);
  return member != nullptr && member->is_object() ? member : nullptr;
}

const Json* ArrayAt(const Json& object, const char* key) {
  const Json* member = MemberAt(object, key);
  return member != nullptr && member->is_array() ? member : nullptr;
}

std::string Dump(const Json& value) {
  return value.dump(1, ' ', false, Json::error_handler_t::replace);
}

}  // namespace image
