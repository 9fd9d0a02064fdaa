// Signals by name.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace nspawn {

// The number of "SIGTERM", "TERM", "15", "SIGRTMIN+3" or "RTMAX-1"; case does not matter. Nothing for what is no
// signal.
std::optional<int> SignalNumber(std::string_view name);
// The name as systemd and a person write it: "SIGTERM", "RTMIN+3".
std::string SignalName(int signal);

}  // namespace nspawn
