// How init tells, through the status text of its unit (STATUS= of sd_notify(3), the unit's StatusText property), what
// became of a container's start.
//
// The text is "started" from the moment the container's program is about to be executed, and "error <code>: <message>",
// for example "error NotFound: exec: "nope": executable file not found in $PATH", when it could not be. A unit that
// ended with any other text never ran its program.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace nspawn {

inline constexpr std::string_view kStartedStatus = "started";

// The name of a code as gRPC writes it: "NotFound".
std::string_view CodeName(base::Code code);

// The status text of a failed start: one line of printable text.
std::string FormatStartError(const base::Error& error);
// The error in a status text, nothing when the text is not one of a failed start. A code name that there is not becomes
// kUnknown.
std::optional<base::Error> ParseStartError(std::string_view status);

}  // namespace nspawn
