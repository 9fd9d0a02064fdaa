// What those share who write, read, compare and pack the tree of an unpacked layer.
#pragma once

#include <sys/stat.h>

#include <map>
#include <set>
#include <string>
#include <string_view>

#include "base/fd.h"
#include "base/result.h"

namespace image {

// With the value "y": the directory hides what lower layers have at its place (overlayfs).
inline constexpr char kOpaqueAttribute[] = "trusted.overlay.opaque";

// Whether a layer's archive may set this extended attribute: trusted.* and user.overlay.* would steer overlayfs.
bool IsLayerXattr(std::string_view name);
// Those of a file that a layer may have, and kOpaqueAttribute, by name. Links are not followed.
base::Result<std::map<std::string, std::string>> ReadLayerXattrs(const std::string& path);

// The mark of overlayfs that a lower layer's name is gone: a character device 0/0.
bool IsWhiteout(const struct stat& info);

// Paths in a layer are relative to its root, which is "".
struct SplitPath {
  std::string parent;
  std::string base;
};
SplitPath SplitOff(const std::string& path);
std::string Join(const std::string& directory, const std::string& name);
// Whether a directory above `path` is among them.
bool LiesInAny(const std::string& path, const std::set<std::string>& directories);
// A directory below `root`, no part of whose path is a symbolic link.
base::UniqueFd OpenBelow(int root, const std::string& path);

// A name in an open directory as a path for calls that have no form relative to a descriptor. It is one of ours, so the
// magic link leads nowhere else.
std::string PathOf(int directory, const std::string& name);

// A path of a layer for messages.
std::string Quoted(std::string_view path);

}  // namespace image
