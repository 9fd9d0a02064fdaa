#include "image/layer_tree.h"

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

std::string PathOf(int directory, const std::string& name) {
  return "/proc/self/fd/" + std::to_string(directory) + "/" + name;
}

std::string Quoted(std::string_view path) {
  return "\"" + base::Printable(path, 300) + "\"";
}

}  // namespace image
