// Whom a container's process runs as, looked up in the image's own /etc/passwd and /etc/group.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "nspawn/process_spec.h"

namespace nspawn {

struct PasswdEntry {
  std::string_view name;
  uint32_t uid = 0;
  uint32_t gid = 0;
  std::string_view home;
};

struct GroupEntry {
  std::string_view name;
  uint32_t gid = 0;
  std::string_view members;  // separated by commas
  bool HasMember(std::string_view user) const;
};

// One line of passwd(5) or group(5); nothing for one that is not well-formed.
std::optional<PasswdEntry> ParsePasswdLine(std::string_view line);
std::optional<GroupEntry> ParseGroupLine(std::string_view line);

// Calls `handle` with each line of the file, without its end, until it returns false. Lines longer than 64 KiB are left
// out, and what lies beyond 16 MiB is not read.
base::Status ForEachLine(int fd, const std::function<bool(std::string_view)>& handle);

struct Identity {
  uint32_t uid = 0;
  uint32_t gid = 0;
  std::vector<uint32_t> groups;  // supplementary ones, `gid` first, none twice
  std::string home = "/";
};

// Resolves `user` in the root filesystem `root`. A number needs no entry (its group is then 0); a name without one is
// an error: kInvalidArgument.
base::Result<Identity> ResolveUser(int root, const User& user);

// User and groups as one line of text, the home directory left out; and back, nothing when it is no such line.
std::string FormatIdentity(const Identity& identity);
std::optional<Identity> ParseIdentity(std::string_view line);

}  // namespace nspawn
