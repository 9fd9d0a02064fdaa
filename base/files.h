// Files read whole with a bound, written so that a crash leaves the old or the new content, and trees removed safely.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

namespace base {

// Reads the whole of `path`; a file of more than `most` bytes is an error (kResourceExhausted). Works for procfs and
// cgroupfs, whose files report no size.
Result<std::string> ReadFile(const std::string& path, size_t most);
// The same for an open descriptor, from its current position.
Result<std::string> ReadAll(int fd, size_t most, std::string_view name);

// Writes `content` into a new file beside `path`, syncs it, renames it over `path` and syncs the directory: after a
// crash the file has either its old or its new content. `mode` is used exactly, whatever the umask.
Status WriteFileDurable(const std::string& path, std::string_view content, unsigned mode = 0600);
// The same without syncing: for files below /run, where only a crash of the process matters.
Status WriteFileAtomic(const std::string& path, std::string_view content, unsigned mode = 0600);

// Writes all of `content` to `fd`, going on after partial writes and signals.
Status WriteAll(int fd, std::string_view content);

// Creates `path` and what is missing above it, with `mode` for every directory made; it is no error that it exists.
Status MakeDirectories(const std::string& path, unsigned mode = 0755);

// Removes a file or a whole tree without following a symbolic link or crossing into another mount. It is no error that
// it does not exist.
Status RemoveTree(const std::string& path);

// The names in a directory, without "." and "..", sorted.
Result<std::vector<std::string>> ListDirectory(const std::string& path);

// Syncs a directory, so that names made or renamed in it outlive a power loss.
Status SyncDirectory(const std::string& path);

// Opens `path` as a process chrooted in `root_fd` would (openat2 with RESOLVE_IN_ROOT): symbolic links and ".." never
// lead out. `flags` and `mode` as of openat2(2); O_CLOEXEC is added.
Result<UniqueFd> OpenInRoot(int root_fd, const std::string& path, int flags, unsigned mode = 0);

}  // namespace base
