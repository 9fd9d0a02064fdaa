#include "nspawn/signal_name.h"

#include <signal.h>
#include <string.h>

#include <cctype>

#include "base/text.h"

namespace nspawn {
namespace {

std::optional<int> Offset(std::string_view text, char sign) {
  if (text.empty()) return 0;
  if (text.front() != sign) return std::nullopt;
  const auto number = base::ParseUnsigned(text.substr(1));
  if (!number || *number > 64) return std::nullopt;
  return static_cast<int>(*number);
}

}  // namespace

std::optional<int> SignalNumber(std::string_view name) {
  std::string upper;
  for (const char c : name.substr(0, 32)) upper += static_cast<char>(toupper(static_cast<unsigned char>(c)));
  if (const auto number = base::ParseUnsigned(upper)) {
    if (*number < 1 || *number > static_cast<uint64_t>(SIGRTMAX)) return std::nullopt;
    return static_cast<int>(*number);
  }
  std::string_view rest = upper;
  if (rest.starts_with("SIG")) rest.remove_prefix(3);
  if (rest.starts_with("RTMIN") || rest.starts_with("RTMAX")) {
    const bool from_least = rest.starts_with("RTMIN");
    const auto offset = Offset(rest.substr(5), from_least ? '+' : '-');
    if (!offset || *offset > SIGRTMAX - SIGRTMIN) return std::nullopt;
    return from_least ? SIGRTMIN + *offset : SIGRTMAX - *offset;
  }
  for (int signal = 1; signal < SIGRTMIN; ++signal) {
    const char* known = sigabbrev_np(signal);
    if (known != nullptr && rest == known) return signal;
  }
  // Their other names.
  if (rest == "CLD") return SIGCHLD;
  if (rest == "IO") return SIGIO;
  if (rest == "IOT") return SIGIOT;
  return std::nullopt;
}

std::string SignalName(int signal) {
  if (signal >= SIGRTMIN && signal <= SIGRTMAX) return "RTMIN+" + std::to_string(signal - SIGRTMIN);
  const char* known = sigabbrev_np(signal);
  return known != nullptr ? "SIG" + std::string(known) : std::to_string(signal);
}

}  // namespace nspawn
