// Small helpers for text that comes from outside and for identifiers.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace base {

// The parts between the separators; an empty text has one empty part.
std::vector<std::string_view> Split(std::string_view text, char separator);
// Without white space at both ends.
std::string_view Trim(std::string_view text);
// A decimal number of digits only, which must fit; else nothing.
std::optional<uint64_t> ParseUnsigned(std::string_view text);
// Lower-case hexadecimal.
std::string Hex(std::string_view bytes);
// `bytes` random bytes of the kernel as hexadecimal, twice as many characters.
std::string RandomHex(size_t bytes);
// Text of outside origin made safe to print: control characters and what is not UTF-8 become "\xNN", and after `most`
// bytes it ends in "...".
std::string Printable(std::string_view text, size_t most = 1024);

}  // namespace base
