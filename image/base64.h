// Base64 of RFC 4648, with padding and without line breaks.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace image {

std::string EncodeBase64(std::string_view bytes);
// Nothing when `text` is anything else.
std::optional<std::string> DecodeBase64(std::string_view text);

}  // namespace image
