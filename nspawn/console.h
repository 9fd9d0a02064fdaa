// How init hands a container's terminal to the daemon, which must outlive init: a connection to a socket
// (SOCK_SEQPACKET) in the bundle, one message with the terminal's master, and the answer that it is kept.
#pragma once

#include <string_view>

namespace nspawn {

inline constexpr char kConsoleSocket[] = "console";
inline constexpr std::string_view kTerminalMessage = "terminal";
inline constexpr std::string_view kTerminalKept = "kept";

}  // namespace nspawn
