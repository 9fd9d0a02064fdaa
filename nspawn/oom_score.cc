#include "nspawn/oom_score.h"

#include <linux/capability.h>
#include <stdlib.h>

#include <string_view>

#include "base/files.h"

namespace nspawn {

bool MayLowerOomScore() {
  // systemd adjusts the score in a child of PID 1, which has all that PID 1 has.
  const auto status = base::ReadFile("/proc/1/status", size_t{1} << 16);
  if (!status.ok()) return false;
  constexpr std::string_view key = "\nCapEff:\t";
  const size_t at = status->find(key);
  if (at == std::string::npos) return false;
  return (strtoull(status->c_str() + at + key.size(), nullptr, 16) >> CAP_SYS_RESOURCE & 1) != 0;
}

}  // namespace nspawn
