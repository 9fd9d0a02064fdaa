// ReadDiskUsage() of statistics.h.
#include <dirent.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <set>
#include <utility>

#include "base/fd.h"
#include "nspawn/statistics.h"

namespace nspawn {
namespace {

struct DirectoryCloser {
  void operator()(DIR* directory) const { ::closedir(directory); }
};

// Only a directory of the same mount is opened.
base::UniqueFd OpenDirectory(int parent, const char* name) {
  struct open_how how {};
  how.flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
  how.resolve = RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS;
  return base::UniqueFd(static_cast<int>(::syscall(SYS_openat2, parent, name, &how, sizeof how)));
}

// A directory whose entries have been counted, and those of its subdirectories that have not been entered yet.
struct Level {
  dev_t device = 0;
  ino_t inode = 0;
  std::vector<std::string> subdirectories;
};

class Walk {
 public:
  explicit Walk(uint64_t most_entries) : most_entries_(most_entries) {}

  // One descriptor is open at a time however deep the tree is: the way back is "..", checked to be where we came from.
  base::Result<DiskUsage> Run(const std::string& root) {
    base::UniqueFd current(::open(root.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    struct stat info {};
    if (!current || ::fstat(current.get(), &info) != 0) return base::ErrnoError("measuring " + root);
    Count(info);
    RETURN_IF_ERROR(Enter(current.get(), info).Wrap("measuring " + root));
    while (true) {
      Level& level = levels_.back();
      if (!level.subdirectories.empty()) {
        const std::string name = std::move(level.subdirectories.back());
        level.subdirectories.pop_back();
        base::UniqueFd next = OpenDirectory(current.get(), name.c_str());
        if (!next) {
          // Removed or replaced meanwhile, or a mount point.
          if (errno == ENOENT || errno == ENOTDIR || errno == ELOOP || errno == EXDEV) continue;
          return base::ErrnoError("measuring a directory in " + root);
        }
        if (::fstat(next.get(), &info) != 0) return base::ErrnoError("measuring a directory in " + root);
        RETURN_IF_ERROR(Enter(next.get(), info).Wrap("measuring " + root));
        current = std::move(next);
        continue;
      }
      levels_.pop_back();
      if (levels_.empty()) return usage_;
      base::UniqueFd parent = OpenDirectory(current.get(), "..");
      if (!parent || ::fstat(parent.get(), &info) != 0 || info.st_dev != levels_.back().device ||
          info.st_ino != levels_.back().inode) {
        return base::Error(base::Code::kAborted, "directories in " + root + " were moved while it was measured");
      }
      current = std::move(parent);
    }
  }

 private:
  void Count(const struct stat& info) {
    if (!S_ISDIR(info.st_mode) && info.st_nlink > 1 && !linked_.emplace(info.st_dev, info.st_ino).second) return;
    usage_.bytes += static_cast<uint64_t>(info.st_blocks) * 512;
    ++usage_.inodes;
  }

  base::Status Enter(int directory, const struct stat& info) {
    Level level{.device = info.st_dev, .inode = info.st_ino, .subdirectories = {}};
    base::UniqueFd copy(::fcntl(directory, F_DUPFD_CLOEXEC, 0));
    const std::unique_ptr<DIR, DirectoryCloser> entries(copy ? ::fdopendir(copy.get()) : nullptr);
    if (entries == nullptr) return base::ErrnoError("reading a directory");
    static_cast<void>(copy.release());
    while (true) {
      errno = 0;
      const dirent* entry = ::readdir(entries.get());
      if (entry == nullptr) {
        if (errno != 0 && errno != ENOENT) return base::ErrnoError("reading a directory");
        break;
      }
      const std::string_view name = entry->d_name;
      if (name == "." || name == "..") continue;
      if (++entries_seen_ > most_entries_) {
        return base::Error(base::Code::kResourceExhausted,
                           "more than " + std::to_string(most_entries_) + " files and directories");
      }
      struct stat found {};
      if (::fstatat(directory, entry->d_name, &found, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) != 0) {
        if (errno == ENOENT) continue;
        return base::ErrnoError("looking at a file");
      }
      if (found.st_dev != info.st_dev) continue;
      Count(found);
      if (S_ISDIR(found.st_mode)) level.subdirectories.emplace_back(name);
    }
    levels_.push_back(std::move(level));
    return base::Ok();
  }

  const uint64_t most_entries_;
  uint64_t entries_seen_ = 0;
  DiskUsage usage_;
  std::vector<Level> levels_;
  std::set<std::pair<dev_t, ino_t>> linked_;
};

}  // namespace

base::Result<DiskUsage> ReadDiskUsage(const std::string& directory, uint64_t most_entries) {
  return Walk(most_entries).Run(directory);
}

}  // namespace nspawn
