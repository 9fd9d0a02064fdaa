// JSON documents from outside, read without exceptions and with a bounded depth.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace image {

using Json = nlohmann::json;

// The largest manifest, index, configuration or token answer that is read: what registries accept in a push.
constexpr size_t kMostDocumentBytes = size_t{4} << 20;

// Parses one JSON object. kDataLoss, naming `what`, if it is none or is nested too deep.
base::Result<Json> ParseObject(std::string_view text, std::string_view what);

// The same, but refuses an object, at any depth, that has a member twice: other programs may take another one of them.
base::Result<Json> ParseStrictObject(std::string_view text, std::string_view what);

// Members of an object. A member that is missing, null or of another type counts as empty, as the Go programs that
// write these documents leave members out.
std::string StringAt(const Json& object, const char* key);
std::optional<uint64_t> UnsignedAt(const Json& object, const char* key);
std::vector<std::string> StringsAt(const Json& object, const char* key);
std::vector<std::pair<std::string, std::string>> StringMapAt(const Json& object, const char* key);
// The names of an object's members.
std::vector<std::string> KeysAt(const Json& object, const char* key);
// The member, or nothing if it is not an object or not an array.
const Json* ObjectAt(const Json& object, const char* key);
const Json* ArrayAt(const Json& object, const char* key);

// Text for a file of ours. Never throws: what is not UTF-8 is replaced.
std::string Dump(const Json& value);

}  // namespace image
