// The time of day in the unit that CRI has it.
#pragma once

#include <chrono>
#include <cstdint>

namespace base {

// Nanoseconds since the Unix epoch.
inline int64_t NowNanoseconds() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::nanoseconds>(now).count();
}

}  // namespace base
