#include "base/files.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <memory>

namespace base {
namespace {

std::string ParentOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  if (slash == 0) return "/";
  return path.substr(0, slash);
}

Status WriteAndRename(const std::string& path, std::string_view content, unsigned mode, bool durable) {
  static std::atomic<unsigned> counter{0};
  const std::string staged = path + ".tmp-" + std::to_string(::getpid()) + "-" + std::to_string(counter++);
  UniqueFd fd(::open(staged.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd) return ErrnoError("create " + staged);
  auto write = [&]() -> Status {
    RETURN_IF_ERROR(WriteAll(fd.get(), content).Wrap("write " + staged));
    if (::fchmod(fd.get(), mode) != 0) return ErrnoError("set mode of " + staged);
    if (durable && ::fsync(fd.get()) != 0) return ErrnoError("sync " + staged);
    fd.reset();
    if (::rename(staged.c_str(), path.c_str()) != 0) return ErrnoError("rename " + staged + " to " + path);
    return Ok();
  };
  if (Status status = write(); !status.ok()) {
    ::unlink(staged.c_str());
    return status;
  }
  return durable ? SyncDirectory(ParentOf(path)) : Ok();
}

// Empties the directory `fd`. Directories on another device are mount points and are refused. The depth is bounded by
// walking with an explicit stack of open directories, each opened relative to its parent.
Status EmptyDirectory(UniqueFd fd, dev_t device, const std::string& name) {
  struct Level {
    std::unique_ptr<DIR, int (*)(DIR*)> stream;
    std::string name;
  };
  std::vector<Level> levels;
  auto push = [&](UniqueFd directory, std::string entry) -> Status {
    DIR* stream = ::fdopendir(directory.get());
    if (stream == nullptr) return ErrnoError("read directory " + entry);
    (void)directory.release();
    levels.push_back({{stream, &::closedir}, std::move(entry)});
    return Ok();
  };
  RETURN_IF_ERROR(push(std::move(fd), name));
  while (!levels.empty()) {
    DIR* stream = levels.back().stream.get();
    errno = 0;
    const dirent* entry = ::readdir(stream);
    if (entry == nullptr) {
      if (errno != 0) return ErrnoError("read directory " + levels.back().name);
      const std::string done = levels.back().name;
      levels.pop_back();
      if (!levels.empty() && ::unlinkat(::dirfd(levels.back().stream.get()), done.c_str(), AT_REMOVEDIR) != 0 &&
          errno != ENOENT) {
        return ErrnoError("remove directory " + done);
      }
      continue;
    }
    const std::string_view entry_name = entry->d_name;
    if (entry_name == "." || entry_name == "..") continue;
    if (::unlinkat(::dirfd(stream), entry->d_name, 0) == 0 || errno == ENOENT) continue;
    if (errno != EISDIR && errno != EPERM) return ErrnoError("remove " + std::string(entry_name));
    UniqueFd child(
        ::openat(::dirfd(stream), entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK));
    if (!child) return ErrnoError("remove " + std::string(entry_name));
    struct stat info {};
    if (::fstat(child.get(), &info) != 0) return ErrnoError("stat " + std::string(entry_name));
    if (info.st_dev != device) {
      return Error(Code::kFailedPrecondition, "remove " + std::string(entry_name) + ": it is on another file system");
    }
    if (levels.size() >= 4096) return Internal("remove " + name + ": nested more than 4096 directories deep");
    RETURN_IF_ERROR(push(std::move(child), std::string(entry_name)));
  }
  return Ok();
}

}  // namespace

Result<std::string> ReadAll(int fd, size_t most, std::string_view name) {
  std::string content;
  size_t used = 0;
  while (true) {
    if (used == content.size()) content.resize(std::min(std::max<size_t>(4096, content.size() * 2), most + 1));
    const ssize_t got = ::read(fd, content.data() + used, content.size() - used);
    if (got < 0) {
      if (errno == EINTR) continue;
      return ErrnoError("read " + std::string(name));
    }
    if (got == 0) break;
    used += static_cast<size_t>(got);
    if (used > most) {
      return Error(Code::kResourceExhausted,
                   "read " + std::string(name) + ": longer than the " + std::to_string(most) + " bytes allowed");
    }
  }
  content.resize(used);
  return content;
}

Result<std::string> ReadFile(const std::string& path, size_t most) {
  // Whatever the path leads to, a FIFO or a terminal, does not hold the reader up.
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!fd) return ErrnoError("open " + path);
  return ReadAll(fd.get(), most, path);
}

Status WriteFileDurable(const std::string& path, std::string_view content, unsigned mode) {
  return WriteAndRename(path, content, mode, true);
}

Status WriteFileAtomic(const std::string& path, std::string_view content, unsigned mode) {
  return WriteAndRename(path, content, mode, false);
}

Status WriteAll(int fd, std::string_view content) {
  while (!content.empty()) {
    const ssize_t put = ::write(fd, content.data(), content.size());
    if (put < 0) {
      if (errno == EINTR) continue;
      return ErrnoError("write");
    }
    content.remove_prefix(static_cast<size_t>(put));
  }
  return Ok();
}

Status MakeDirectories(const std::string& path, unsigned mode) {
  if (path.empty()) return InvalidArgument("make directory: the path is empty");
  for (size_t end = path.find('/', 1);; end = path.find('/', end + 1)) {
    const std::string part = path.substr(0, end);
    if (::mkdir(part.c_str(), 0700) == 0) {
      if (::chmod(part.c_str(), mode) != 0) return ErrnoError("set mode of " + part);
    } else if (errno != EEXIST) {
      return ErrnoError("make directory " + part);
    }
    if (end == std::string::npos) break;
  }
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) return ErrnoError("make directory " + path);
  if (!S_ISDIR(info.st_mode)) return Error::FromErrno(ENOTDIR, "make directory " + path);
  return Ok();
}

Status RemoveTree(const std::string& path) {
  if (::unlink(path.c_str()) == 0 || errno == ENOENT || errno == ENOTDIR) return Ok();
  if (errno != EISDIR && errno != EPERM) return ErrnoError("remove " + path);
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd) return ErrnoError("remove " + path);
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0) return ErrnoError("stat " + path);
  RETURN_IF_ERROR(EmptyDirectory(std::move(fd), info.st_dev, path).Wrap("remove " + path));
  if (::rmdir(path.c_str()) != 0 && errno != ENOENT) return ErrnoError("remove " + path);
  return Ok();
}

Result<std::vector<std::string>> ListDirectory(const std::string& path) {
  const std::unique_ptr<DIR, int (*)(DIR*)> stream(::opendir(path.c_str()), &::closedir);
  if (!stream) return ErrnoError("read directory " + path);
  std::vector<std::string> names;
  while (true) {
    errno = 0;
    const dirent* entry = ::readdir(stream.get());
    if (entry == nullptr) break;
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") names.emplace_back(name);
  }
  if (errno != 0) return ErrnoError("read directory " + path);
  std::sort(names.begin(), names.end());
  return names;
}

Status SyncDirectory(const std::string& path) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) return ErrnoError("open " + path);
  if (::fsync(fd.get()) != 0) return ErrnoError("sync " + path);
  return Ok();
}

Result<UniqueFd> OpenInRoot(int root_fd, const std::string& path, int flags, unsigned mode) {
  open_how how{};
  how.flags = static_cast<unsigned>(flags) | O_CLOEXEC;
  how.mode = mode;
  how.resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;
  // EAGAIN: a name on the way was renamed while the kernel resolved it; a bounded number of tries, as openat2(2)
  // advises.
  for (int tries = 0; tries < 64; ++tries) {
    const long fd = ::syscall(SYS_openat2, root_fd, path.c_str(), &how, sizeof how);
    if (fd >= 0) return UniqueFd(static_cast<int>(fd));
    if (errno != EAGAIN && errno != EINTR) break;
  }
  return ErrnoError("open " + path + " inside the root");
}

}  // namespace base
