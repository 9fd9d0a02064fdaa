#include "image/layer_tree.h"

#include <fcntl.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>
#include <vector>

#include "base/text.h"

namespace image {
namespace {

constexpr size_t kMostXattrBytes = 65536;

}  // namespace

bool IsLayerXattr(std::string_view name) {
  return name == "security.capability" || (name.starts_with("user.") && !name.starts_with("user.overlay."));
}

base::Result<std::map<std::string, std::string>> ReadLayerXattrs(const std::string& path) {
  std::map<std::string, std::string> values;
  std::array<char, 1024> few{};
  std::vector<char> many;
  ssize_t length = ::llistxattr(path.c_str(), few.data(), few.size());
  std::string_view list(few.data(), static_cast<size_t>(std::max<ssize_t>(length, 0)));
  if (length < 0 && errno == ERANGE) {
    many.resize(kMostXattrBytes);
    length = ::llistxattr(path.c_str(), many.data(), many.size());
    list = {many.data(), static_cast<size_t>(std::max<ssize_t>(length, 0))};
  }
  if (length < 0 && errno != ENOTSUP) return base::ErrnoError("list extended attributes");
  for (const std::string_view name : base::Split(list, '\0')) {
    if (!IsLayerXattr(name) && name != kOpaqueAttribute) continue;
    std::string value(kMostXattrBytes, '\0');
    const ssize_t size = ::lgetxattr(path.c_str(), std::string(name).c_str(), value.data(), value.size());
    if (size < 0) return base::ErrnoError("read extended attribute " + Quoted(name));
    value.resize(static_cast<size_t>(size));
    values.emplace(name, std::move(value));
  }
  return values;
}

bool IsWhiteout(const struct stat& info) {
  return S_ISCHR(info.st_mode) && info.st_rdev == makedev(0, 0);
}

SplitPath SplitOff(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return {"", path};
  return {path.substr(0, slash), path.substr(slash + 1)};
}

std::string Join(const std::string& directory, const std::string& name) {
  return directory.empty() ? name : directory + "/" + name;
}

bool LiesInAny(const std::string& path, const std::set<std::string>& directories) {
  for (size_t slash = path.rfind('/'); slash != std::string::npos && slash > 0; slash = path.rfind('/', slash - 1)) {
    if (directories.contains(path.substr(0, slash))) return true;
  }
  return false;
}

base::UniqueFd OpenBelow(int root, const std::string& path) {
  base::UniqueFd at(::openat(root, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (path.empty()) return at;
  for (const std::string_view part : base::Split(path, '/')) {
    if (!at) break;
    at.reset(::openat(at.get(), std::string(part).c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  }
  return at;
}

std::string PathOf(int directory, const std::string& name) {
  return "/proc/self/fd/" + std::to_string(directory) + "/" + name;
}

std::string Quoted(std::string_view path) {
  return "\"" + base::Printable(path, 300) + "\"";
}

}  // namespace image
