// How often the kernel has killed processes because a cgroup had no more memory.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace nspawn {

// In the cgroup whose directory this is and in all below it, those that have been removed included; nothing when it is
// gone or its memory is not controlled.
std::optional<uint64_t> ReadOomKills(const std::string& cgroup_directory);

}  // namespace nspawn
