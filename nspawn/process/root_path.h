// Paths inside a root filesystem that is not to be trusted: symbolic links and ".." in it never lead out.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

namespace nspawn {

enum class PathKind { kDirectory, kFile };

// Whose what is made becomes.
struct Owner {
  uint32_t uid = 0;
  uint32_t gid = 0;
};

// Opens (O_PATH) what `path` names for a process whose root is `root`, and makes what is missing: directories with mode
// 0755 on the way and, at the end, a directory or an empty file (0644). A symbolic link to something missing is
// followed and its target made, inside the root. An existing end may be of any kind.
base::Result<base::UniqueFd> OpenOrCreateInRoot(int root, const std::string& path, PathKind kind, Owner owner = {});

// The parts of an absolute path without empty ones and ".", and with ".." resolved by text alone, as "a/b".
std::string CleanPath(std::string_view path);

}  // namespace nspawn
