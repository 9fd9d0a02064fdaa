// JSON from outside (configuration files, plugin results, our own cache files), bounded before it is parsed.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "base/result.h"

namespace cni {

using Json = nlohmann::json;

// No document from outside may nest deeper: serialising walks the tree recursively.
inline constexpr size_t kMostJsonDepth = 64;

// Parses a whole document. kInvalidArgument says where it is malformed.
base::Result<Json> ParseJson(std::string_view text, size_t most_depth = kMostJsonDepth);
// The same for a document that must be an object.
base::Result<Json> ParseJsonObject(std::string_view text, size_t most_depth = kMostJsonDepth);

// Compact text. Never fails: what is not UTF-8 is replaced.
std::string JsonText(const Json& value);

// The string member `name` of an object: empty when it is absent, kInvalidArgument when it is of another type.
base::Result<std::string> StringMember(const Json& object, const char* name);

}  // namespace cni
