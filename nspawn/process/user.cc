#include "nspawn/process/user.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <limits>

#include "base/fd.h"
#include "base/files.h"
#include "base/text.h"

namespace nspawn {
namespace {

using base::Result;
using base::Status;
using base::UniqueFd;

constexpr size_t kLongestLine = 64 * 1024;
constexpr size_t kLongestFile = 16 * 1024 * 1024;
// As many as the kernel takes (NGROUPS_MAX).
constexpr size_t kMostGroups = 65536;

std::optional<uint32_t> ParseId(std::string_view text) {
  const std::optional<uint64_t> number = base::ParseUnsigned(text);
  // The greatest number means "no change" to setuid(2) and its like.
  if (!number || *number >= std::numeric_limits<uint32_t>::max()) return std::nullopt;
  return static_cast<uint32_t>(*number);
}

// Lines of a file of the image; none when it has no such regular file.
Status ForEachLineOf(int root, const std::string& path, const std::function<bool(std::string_view)>& handle) {
  // O_NONBLOCK: a FIFO of the image must not stop us.
  Result<UniqueFd> file = base::OpenInRoot(root, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
  if (!file.ok()) {
    const int number = file.error().number();
    if (number == ENOENT || number == ENOTDIR || number == ELOOP || number == ENXIO) return base::Ok();
    return std::move(file).error();
  }
  struct stat info {};
  if (::fstat(file->get(), &info) != 0) return base::ErrnoError("stat " + path);
  if (!S_ISREG(info.st_mode)) return base::Ok();
  return ForEachLine(file->get(), handle).Wrap(path);
}

struct FoundUser {
  std::string name;
  uint32_t uid = 0;
  uint32_t gid = 0;
  std::string home;
};

Result<std::optional<FoundUser>> FindUser(int root, const std::function<bool(const PasswdEntry&)>& is_meant) {
  std::optional<FoundUser> found;
  RETURN_IF_ERROR(ForEachLineOf(root, "/etc/passwd", [&](std::string_view line) {
    const std::optional<PasswdEntry> entry = ParsePasswdLine(line);
    if (!entry || !is_meant(*entry)) return true;
    found = FoundUser{std::string(entry->name), entry->uid, entry->gid, std::string(entry->home)};
    return false;
  }));
  return found;
}

base::Error NoSuch(const std::string& what, const std::string& name, const std::string& file) {
  return base::InvalidArgument("unable to find " + what + " " + base::Printable(name, 64) +
                               ": no matching entries in " + file + " file");
}

Result<uint32_t> FindGroup(int root, const std::string& name) {
  std::optional<uint32_t> found;
  RETURN_IF_ERROR(ForEachLineOf(root, "/etc/group", [&](std::string_view line) {
    const std::optional<GroupEntry> entry = ParseGroupLine(line);
    if (!entry || entry->name != name) return true;
    found = entry->gid;
    return false;
  }));
  if (!found) found = ParseId(name);
  if (!found) return NoSuch("group", name, "group");
  return *found;
}

Status AddMemberships(int root, const std::string& user, std::vector<uint32_t>& groups) {
  return ForEachLineOf(root, "/etc/group", [&](std::string_view line) {
    const std::optional<GroupEntry> entry = ParseGroupLine(line);
    if (entry && entry->HasMember(user)) groups.push_back(entry->gid);
    return groups.size() < kMostGroups;
  });
}

void RemoveRepeated(std::vector<uint32_t>& groups) {
  std::vector<uint32_t> seen;
  auto keep = groups.begin();
  for (const uint32_t group : groups) {
    const auto at = std::lower_bound(seen.begin(), seen.end(), group);
    if (at != seen.end() && *at == group) continue;
    seen.insert(at, group);
    *keep++ = group;
  }
  groups.erase(keep, groups.end());
}

}  // namespace

bool GroupEntry::HasMember(std::string_view user) const {
  std::string_view rest = members;
  while (!rest.empty()) {
    const size_t comma = rest.find(',');
    if (rest.substr(0, comma) == user) return true;
    if (comma == std::string_view::npos) break;
    rest.remove_prefix(comma + 1);
  }
  return false;
}

std::optional<PasswdEntry> ParsePasswdLine(std::string_view line) {
  const std::vector<std::string_view> fields = base::Split(line, ':');
  if (fields.size() < 6 || fields[0].empty()) return std::nullopt;
  const std::optional<uint32_t> uid = ParseId(fields[2]);
  const std::optional<uint32_t> gid = ParseId(fields[3]);
  if (!uid || !gid) return std::nullopt;
  return PasswdEntry{fields[0], *uid, *gid, fields[5]};
}

std::optional<GroupEntry> ParseGroupLine(std::string_view line) {
  const std::vector<std::string_view> fields = base::Split(line, ':');
  if (fields.size() < 4 || fields[0].empty()) return std::nullopt;
  const std::optional<uint32_t> gid = ParseId(fields[2]);
  if (!gid) return std::nullopt;
  return GroupEntry{fields[0], *gid, base::Trim(fields[3])};
}

Status ForEachLine(int fd, const std::function<bool(std::string_view)>& handle) {
  std::string buffer(kLongestLine, '\0');
  size_t used = 0;
  size_t total = 0;
  bool skipping = false;  // the rest of a line that was too long
  while (total < kLongestFile) {
    const ssize_t got = ::read(fd, buffer.data() + used, buffer.size() - used);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return base::ErrnoError("read");
    total += static_cast<size_t>(got);
    used += static_cast<size_t>(got);
    std::string_view rest(buffer.data(), used);
    for (size_t end = rest.find('\n'); end != std::string_view::npos; end = rest.find('\n')) {
      if (!skipping && !handle(rest.substr(0, end))) return base::Ok();
      skipping = false;
      rest.remove_prefix(end + 1);
    }
    if (got == 0) {
      if (!skipping && !rest.empty()) (void)handle(rest);
      return base::Ok();
    }
    if (rest.size() == buffer.size()) {
      skipping = true;
      rest = {};
    }
    used = rest.size();
    buffer.replace(0, used, std::string(rest));
    buffer.resize(kLongestLine);
  }
  return base::Ok();
}

Result<Identity> ResolveUser(int root, const User& user) {
  Identity identity;
  std::optional<FoundUser> entry;
  std::optional<uint32_t> uid = user.uid;
  if (!uid && !user.name.empty()) {
    ASSIGN_OR_RETURN(entry, FindUser(root, [&](const PasswdEntry& line) { return line.name == user.name; }));
    uid = entry ? entry->uid : ParseId(user.name);
    if (!uid) return NoSuch("user", user.name, "passwd");
  }
  identity.uid = uid.value_or(0);
  if (!entry) {
    ASSIGN_OR_RETURN(entry, FindUser(root, [&](const PasswdEntry& line) { return line.uid == identity.uid; }));
  }
  if (entry && !entry->home.empty()) identity.home = entry->home;

  if (user.gid) {
    identity.gid = *user.gid;
  } else if (!user.group.empty()) {
    ASSIGN_OR_RETURN(identity.gid, FindGroup(root, user.group));
  } else if (entry) {
    identity.gid = entry->gid;
  }

  identity.groups = {identity.gid};
  if (entry && !user.strict_groups) RETURN_IF_ERROR(AddMemberships(root, entry->name, identity.groups));
  identity.groups.insert(identity.groups.end(), user.supplementary_groups.begin(), user.supplementary_groups.end());
  RemoveRepeated(identity.groups);
  return identity;
}

std::string FormatIdentity(const Identity& identity) {
  std::string line = std::to_string(identity.uid) + " " + std::to_string(identity.gid);
  for (const uint32_t group : identity.groups) line += " " + std::to_string(group);
  return line + "\n";
}

std::optional<Identity> ParseIdentity(std::string_view line) {
  if (line.empty() || line.back() != '\n') return std::nullopt;
  line.remove_suffix(1);
  std::vector<uint32_t> numbers;
  for (const std::string_view word : base::Split(line, ' ')) {
    const std::optional<uint32_t> number = ParseId(word);
    if (!number) return std::nullopt;
    numbers.push_back(*number);
  }
  if (numbers.size() < 2) return std::nullopt;
  Identity identity;
  identity.uid = numbers[0];
  identity.gid = numbers[1];
  identity.groups.assign(numbers.begin() + 2, numbers.end());
  return identity;
}

}  // namespace nspawn
