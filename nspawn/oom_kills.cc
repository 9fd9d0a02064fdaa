#include "nspawn/oom_kills.h"

#include <string_view>

#include "base/files.h"
#include "base/text.h"

namespace nspawn {

std::optional<uint64_t> ReadOomKills(const std::string& cgroup_directory) {
  const auto events = base::ReadFile(cgroup_directory + "/memory.events", 4096);
  if (!events.ok()) return std::nullopt;
  constexpr std::string_view kKey = "oom_kill ";
  for (const std::string_view line : base::Split(*events, '\n')) {
    if (line.starts_with(kKey)) return base::ParseUnsigned(line.substr(kKey.size()));
  }
  return std::nullopt;
}

}  // namespace nspawn
