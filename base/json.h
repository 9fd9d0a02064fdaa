// JSON from outside (configuration files, plugin results, our own cache files), bounded before it is parsed.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace base {

using Json = nlohmann::json;

// No document from outside may nest deeper: serialising walks the tree recursively.
inline constexpr size_t kMostJsonDepth = 64;

// Parses a whole document. kInvalidArgument says where it is malformed.
Result<Json> ParseJson(std::string_view text, size_t most_depth = kMostJsonDepth);
// The same for a document that must be an object.
Result<Json> ParseJsonObject(std::string_view text, size_t most_depth = kMostJsonDepth);

// Compact text. Never fails: what is not UTF-8 is replaced.
std::string JsonText(const Json& value);

// Members of an object by name. A member that is null counts as absent, as with the Go programs whose formats these
// are. kInvalidArgument names a member that is of another type or out of range.

// Empty when absent.
Result<std::string> StringMember(const Json& object, const char* name);
Result<std::vector<std::string>> StringsMember(const Json& object, const char* name);
// Null when absent; else points into `object`.
Result<const Json*> ObjectMember(const Json& object, const char* name);
Result<const Json*> ListMember(const Json& object, const char* name);
Result<std::optional<int64_t>> IntegerMember(const Json& object, const char* name, int64_t least, int64_t most);
Result<std::optional<uint64_t>> UnsignedMember(const Json& object, const char* name, uint64_t most);

}  // namespace base
