#include "image/unpack.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <locale.h>
#include <sched.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "base/files.h"
#include "base/text.h"
#include "image/layer_tree.h"

namespace image {
namespace {

using base::Code;
using base::ErrnoError;
using base::Error;
using base::Status;
using base::UniqueFd;

constexpr std::string_view kWhiteoutPrefix = ".wh.";
constexpr std::string_view kWhiteoutMetaPrefix = ".wh..wh.";
constexpr std::string_view kOpaqueMarker = ".wh..wh..opq";
constexpr uint64_t kBlockBytes = 4096;
// Removing a tree keeps one descriptor open for each level.
constexpr size_t kMostDepth = 512;
constexpr size_t kMostPathBytes = 4095;
constexpr size_t kMostNameBytes = 255;

uint64_t Blocks(uint64_t bytes) {
  return (bytes + kBlockBytes - 1) / kBlockBytes * kBlockBytes;
}

// libarchive converts names to the locale's character set. In the C locale it gives them as they are in the archive.
class ScopedCLocale {
 public:
  ScopedCLocale() : locale_(::newlocale(LC_ALL_MASK, "C", nullptr)), previous_(::uselocale(locale_)) {}
  ~ScopedCLocale() {
    ::uselocale(previous_);
    if (locale_ != nullptr) ::freelocale(locale_);
  }
  ScopedCLocale(const ScopedCLocale&) = delete;
  ScopedCLocale& operator=(const ScopedCLocale&) = delete;

 private:
  locale_t locale_;
  locale_t previous_;
};

// A name of the archive: "a/b" without empty and "." parts, relative to the root, and empty for the root itself.
struct Name {
  std::string parent;
  std::string base;
};

base::Result<Name> ParseName(std::string_view text) {
  Name out;
  size_t depth = 0;
  if (text.size() > kMostPathBytes) return base::InvalidArgument("the name is too long");
  for (const std::string_view part : base::Split(text, '/')) {
    if (part.empty() || part == ".") continue;
    if (part == "..") return base::InvalidArgument("the name leads out of the layer with \"..\"");
    if (part.size() > kMostNameBytes) return base::InvalidArgument("the name is too long");
    if (++depth > kMostDepth) return base::InvalidArgument("directories are nested too deep");
    if (!out.base.empty()) out.parent += (out.parent.empty() ? "" : "/") + out.base;
    out.base = part;
  }
  return out;
}

// Resolves a directory beneath `root`; symbolic links that stay beneath it are followed if `follow`.
UniqueFd OpenDirectoryBeneath(int root, const std::string& path, bool follow) {
  open_how how{};
  how.flags = O_PATH | O_DIRECTORY | O_CLOEXEC;
  how.resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV | (follow ? 0 : RESOLVE_NO_SYMLINKS);
  // EAGAIN: something was renamed on the file system meanwhile (openat2(2)).
  for (int tries = 0; tries < 64; ++tries) {
    const long fd = ::syscall(SYS_openat2, root, path.c_str(), &how, sizeof how);
    if (fd >= 0) return UniqueFd(static_cast<int>(fd));
    if (errno != EAGAIN && errno != EINTR) break;
  }
  return UniqueFd();
}

// Where a directory is, whatever links led to it.
std::string RealPath(const UniqueFd& directory) {
  std::string path(kMostPathBytes + 1, '\0');
  const ssize_t length =
      ::readlink(("/proc/self/fd/" + std::to_string(directory.get())).c_str(), path.data(), path.size());
  path.resize(static_cast<size_t>(std::max<ssize_t>(length, 0)));
  return path;
}

// Lets files be made with the modes they are to have: in this thread, nothing is taken from them. What the thread
// shares with others is only what unshare(2) says (working directory, root, umask), and only until now.
class ScopedExactModes {
 public:
  ScopedExactModes() : exact_(::unshare(CLONE_FS) == 0) {
    if (exact_) previous_ = ::umask(0);
  }
  ~ScopedExactModes() {
    if (exact_) ::umask(previous_);
  }
  ScopedExactModes(const ScopedExactModes&) = delete;
  ScopedExactModes& operator=(const ScopedExactModes&) = delete;

  bool exact() const { return exact_; }

 private:
  const bool exact_;
  mode_t previous_ = 0;
};

class TreeWriter {
 public:
  TreeWriter(UniqueFd root, const UnpackBounds& bounds, TreeRecorder* recorder)
      : root_(std::move(root)), bounds_(bounds), recorder_(recorder), root_path_(RealPath(root_)) {
    // A default ACL would change the modes of all that is made beneath.
    ::removexattr(root_path_.c_str(), "system.posix_acl_default");
    root_gives_group_ = GivesGroup(root_.get());
  }

  Status Write(archive* reader, archive_entry* entry);
  // Sets the times of directories, which every entry made in them has changed.
  Status Finish();
  const UnpackedSize& size() const { return size_; }

 private:
  Status CountEntry();
  // Whether what is made in a directory gets the directory's group.
  static bool GivesGroup(int directory);
  bool GivesGroup(const UniqueFd& parent) const {
    return &parent == &root_ ? root_gives_group_ : &parent != &cached_parent_ || cached_gives_group_;
  }
  base::Result<const UniqueFd*> Parent(const std::string& path);
  Status MakeParents(const std::string& path);
  Status WriteRoot(archive_entry* entry);
  Status WriteWhiteout(const UniqueFd& parent, const Name& name);
  Status WriteHardLink(const UniqueFd& parent, const Name& name, std::string_view target);
  Status WriteDirectory(const UniqueFd& parent, const Name& name, archive_entry* entry);
  Status WriteFile(const UniqueFd& parent, const Name& name, archive* reader, archive_entry* entry);
  Status WriteSymlink(const UniqueFd& parent, const Name& name, archive_entry* entry);
  Status WriteSpecial(const UniqueFd& parent, const Name& name, archive_entry* entry);
  Status MakeRoom(const UniqueFd& parent, const Name& name);
  Status CopyData(archive* reader, archive_entry* entry, int fd, uint64_t& size);
  Status SetXattrs(const std::string& path, archive_entry* entry, bool file_or_directory);
  // For the record of the tree; nothing happens where there is none.
  std::string RecordedPath(const UniqueFd& parent, const std::string& base);
  Status Record(const UniqueFd& parent, const std::string& base, RecordedEntry entry, bool has_xattrs = false);
  Status RecordXattrs(const UniqueFd& parent, const std::string& base);

  UniqueFd root_;
  const UnpackBounds bounds_;
  UnpackedSize size_;
  uint64_t entries_ = 0;
  // Entries come in the order of directories, so the last parent is usually the next one's too.
  std::optional<std::string> cached_path_;
  UniqueFd cached_parent_;
  bool cached_gives_group_ = true;
  const ScopedExactModes modes_;
  bool root_gives_group_ = true;
  std::map<std::string, timespec> directory_times_;

  TreeRecorder* const recorder_;
  const std::string root_path_;
  ContentChecksum content_;
  // Where the directory really is that was asked for last, relative to the root.
  int recorded_parent_ = -1;
  std::string recorded_parent_path_;
};

struct Owner {
  uid_t uid;
  gid_t gid;
};

base::Result<Owner> OwnerOf(archive_entry* entry) {
  const int64_t uid = archive_entry_uid(entry);
  const int64_t gid = archive_entry_gid(entry);
  // The highest number means "leave as it is" to chown(2).
  if (uid < 0 || gid < 0 || uid >= UINT32_MAX || gid >= UINT32_MAX) {
    return base::InvalidArgument("the owner's number is out of range");
  }
  return Owner{static_cast<uid_t>(uid), static_cast<gid_t>(gid)};
}

timespec ModifiedTimeOf(archive_entry* entry) {
  return {archive_entry_mtime(entry), archive_entry_mtime_nsec(entry)};
}

std::array<timespec, 2> BothTimes(timespec modified) {
  return {modified, modified};
}

std::string TreeWriter::RecordedPath(const UniqueFd& parent, const std::string& base) {
  if (&parent == &root_) return base == "." ? "" : base;
  if (recorded_parent_ != parent.get() || &parent != &cached_parent_) {
    const std::string real = RealPath(parent);
    recorded_parent_path_ = real.size() > root_path_.size() ? real.substr(root_path_.size() + 1) + "/" : "";
    recorded_parent_ = &parent == &cached_parent_ ? parent.get() : -1;
  }
  return base == "." ? recorded_parent_path_.substr(0, std::max<size_t>(recorded_parent_path_.size(), 1) - 1)
                     : recorded_parent_path_ + base;
}

Status TreeWriter::Record(const UniqueFd& parent, const std::string& base, RecordedEntry entry, bool has_xattrs) {
  if (recorder_ == nullptr) return base::Ok();
  if (has_xattrs) {
    ASSIGN_OR_RETURN(entry.xattrs, ChecksumOfXattrs(PathOf(parent.get(), base)));
  }
  recorder_->Add(RecordedPath(parent, base), entry);
  return base::Ok();
}

Status TreeWriter::RecordXattrs(const UniqueFd& parent, const std::string& base) {
  if (recorder_ == nullptr) return base::Ok();
  ASSIGN_OR_RETURN(const std::string xattrs, ChecksumOfXattrs(PathOf(parent.get(), base)));
  recorder_->SetXattrs(RecordedPath(parent, base), xattrs);
  return base::Ok();
}

bool TreeWriter::GivesGroup(int directory) {
  struct stat info {};
  return ::fstatat(directory, "", &info, AT_EMPTY_PATH) != 0 || (info.st_mode & S_ISGID) != 0;
}

Status TreeWriter::CountEntry() {
  if (++entries_ > bounds_.most_entries) {
    return Error(Code::kResourceExhausted,
                 "more than the " + std::to_string(bounds_.most_entries) + " files allowed in a layer");
  }
  return base::Ok();
}

Status TreeWriter::MakeParents(const std::string& path) {
  for (size_t end = path.find('/');; end = path.find('/', end + 1)) {
    const std::string part = path.substr(0, end);
    const size_t slash = part.rfind('/');
    const std::string above = slash == std::string::npos ? "." : part.substr(0, slash);
    const std::string base = slash == std::string::npos ? part : part.substr(slash + 1);
    const UniqueFd parent = OpenDirectoryBeneath(root_.get(), above, true);
    if (!parent) return ErrnoError("open " + Quoted(above));
    if (::mkdirat(parent.get(), base.c_str(), 0755) == 0) {
      RETURN_IF_ERROR(CountEntry());
      ++size_.inodes;
      size_.bytes += kBlockBytes;
      if (::fchownat(parent.get(), base.c_str(), 0, 0, AT_SYMLINK_NOFOLLOW) != 0 ||
          ::fchmodat(parent.get(), base.c_str(), 0755, 0) != 0) {
        return ErrnoError("make directory " + Quoted(part));
      }
      if (recorder_ != nullptr) recorder_->AddImplied(RecordedPath(parent, base));
    } else if (errno != EEXIST) {
      return ErrnoError("make directory " + Quoted(part));
    } else {
      struct stat info {};
      if (::fstatat(parent.get(), base.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0)
        return ErrnoError("stat " + Quoted(part));
      if (!S_ISDIR(info.st_mode) && !S_ISLNK(info.st_mode)) {
        // A file or a whiteout that an earlier entry made gives way, as for an entry that names the directory itself.
        const bool opaque = IsWhiteout(info);
        if (::unlinkat(parent.get(), base.c_str(), 0) != 0) return ErrnoError("replace " + Quoted(part));
        if (::mkdirat(parent.get(), base.c_str(), 0755) != 0) return ErrnoError("make directory " + Quoted(part));
        if (::fchmodat(parent.get(), base.c_str(), 0755, 0) != 0) return ErrnoError("make directory " + Quoted(part));
        if (opaque && ::lsetxattr(PathOf(parent.get(), base).c_str(), kOpaqueAttribute, "y", 1, 0) != 0) {
          return ErrnoError("mark " + Quoted(part) + " as opaque");
        }
        RETURN_IF_ERROR(Record(parent, base, {.mode = S_IFDIR | 0755}, opaque));
      }
    }
    if (end == std::string::npos) return base::Ok();
  }
}

base::Result<const UniqueFd*> TreeWriter::Parent(const std::string& path) {
  if (path.empty()) return &root_;
  if (cached_path_ == path) return &cached_parent_;
  cached_path_.reset();
  recorded_parent_ = -1;
  cached_parent_ = OpenDirectoryBeneath(root_.get(), path, false);
  if (!cached_parent_ && (errno == ENOENT || errno == ENOTDIR)) {
    RETURN_IF_ERROR(MakeParents(path));
    cached_parent_ = OpenDirectoryBeneath(root_.get(), path, false);
  }
  if (!cached_parent_ && errno == ELOOP) {
    // A symbolic link of this layer is on the way. Those that stay inside are followed, but not without end.
    cached_parent_ = OpenDirectoryBeneath(root_.get(), path, true);
    if (!cached_parent_ && errno == ENOENT) {
      RETURN_IF_ERROR(MakeParents(path));
      cached_parent_ = OpenDirectoryBeneath(root_.get(), path, true);
    }
    if (cached_parent_) {
      std::array<char, kMostPathBytes + 1> real{};
      const ssize_t length =
          ::readlink(("/proc/self/fd/" + std::to_string(cached_parent_.get())).c_str(), real.data(), real.size());
      if (length < 0 || static_cast<size_t>(length) == real.size() ||
          static_cast<size_t>(std::count(real.begin(), real.begin() + length, '/')) > kMostDepth) {
        return base::InvalidArgument("directories are nested too deep");
      }
    }
  }
  if (!cached_parent_) {
    if (errno == EXDEV) {
      return base::InvalidArgument("the name leads out of the layer through a symbolic link");
    }
    if (errno == ELOOP) return base::InvalidArgument("the name goes through a loop of symbolic links");
    if (errno == ENOTDIR) return base::InvalidArgument("the name goes through something that is no directory");
    return ErrnoError("open directory " + Quoted(path));
  }
  cached_path_ = path;
  cached_gives_group_ = GivesGroup(cached_parent_.get());
  return &cached_parent_;
}

// Removes what an earlier entry put at this name.
Status TreeWriter::MakeRoom(const UniqueFd& parent, const Name& name) {
  if (::unlinkat(parent.get(), name.base.c_str(), 0) != 0) {
    if (errno == ENOENT) return base::Ok();
    if (errno != EISDIR && errno != EPERM) return ErrnoError("replace");
    RETURN_IF_ERROR(base::RemoveTree(PathOf(parent.get(), name.base)));
  }
  // The cached parent may have been in that tree, or found through that link.
  cached_path_.reset();
  return base::Ok();
}

Status TreeWriter::SetXattrs(const std::string& path, archive_entry* entry, bool file_or_directory) {
  archive_entry_xattr_reset(entry);
  const char* name = nullptr;
  const void* value = nullptr;
  size_t size = 0;
  while (archive_entry_xattr_next(entry, &name, &value, &size) == ARCHIVE_OK) {
    if (name == nullptr) continue;
    const std::string_view text = name;
    // The kernel has user attributes on files and directories alone.
    if (!IsLayerXattr(text) || (text.starts_with("user.") && !file_or_directory)) continue;
    if (::lsetxattr(path.c_str(), name, value, size, 0) != 0) {
      return ErrnoError("set extended attribute " + Quoted(text));
    }
  }
  return base::Ok();
}

Status TreeWriter::WriteRoot(archive_entry* entry) {
  if (archive_entry_filetype(entry) != AE_IFDIR || archive_entry_hardlink(entry) != nullptr) {
    return base::InvalidArgument("the layer's root can only be a directory");
  }
  ASSIGN_OR_RETURN(const Owner owner, OwnerOf(entry));
  if (::fchown(root_.get(), owner.uid, owner.gid) != 0) return ErrnoError("set owner");
  if (::fchmod(root_.get(), archive_entry_perm(entry)) != 0) return ErrnoError("set mode");
  root_gives_group_ = GivesGroup(root_.get());
  RETURN_IF_ERROR(SetXattrs("/proc/self/fd/" + std::to_string(root_.get()) + "/.", entry, true));
  RETURN_IF_ERROR(
      Record(root_, ".", {.mode = S_IFDIR | archive_entry_perm(entry), .uid = owner.uid, .gid = owner.gid}, true));
  if (archive_entry_mtime_is_set(entry) != 0) directory_times_[""] = ModifiedTimeOf(entry);
  return base::Ok();
}

Status TreeWriter::WriteWhiteout(const UniqueFd& parent, const Name& name) {
  if (name.base == kOpaqueMarker) {
    const std::string path = "/proc/self/fd/" + std::to_string(parent.get()) + "/.";
    if (::setxattr(path.c_str(), kOpaqueAttribute, "y", 1, 0) != 0) return ErrnoError("mark as opaque");
    return RecordXattrs(parent, ".");
  }
  // Other marks of this kind are left from AUFS and mean nothing here.
  if (name.base.starts_with(kWhiteoutMetaPrefix)) return base::Ok();
  const std::string hidden = name.base.substr(kWhiteoutPrefix.size());
  if (hidden.empty() || hidden == "." || hidden == "..")
    return base::InvalidArgument("the whiteout hides no valid name");
  struct stat info {};
  if (::fstatat(parent.get(), hidden.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0) {
    // A whiteout is for lower layers alone: what this layer has under the name stays, and a directory hides the lower
    // one.
    if (S_ISDIR(info.st_mode) && ::lsetxattr(PathOf(parent.get(), hidden).c_str(), kOpaqueAttribute, "y", 1, 0) != 0) {
      return ErrnoError("mark as opaque");
    }
    if (!S_ISDIR(info.st_mode) || recorder_ == nullptr) return base::Ok();
    recorder_->SetOwn(RecordedPath(parent, hidden));
    return RecordXattrs(parent, hidden);
  }
  if (::mknodat(parent.get(), hidden.c_str(), S_IFCHR, makedev(0, 0)) != 0) return ErrnoError("make a whiteout");
  ++size_.inodes;
  if (recorder_ != nullptr) recorder_->AddWhiteout(RecordedPath(parent, "."), RecordedPath(parent, hidden));
  return base::Ok();
}

Status TreeWriter::WriteHardLink(const UniqueFd& parent, const Name& name, std::string_view target) {
  auto parsed = ParseName(target);
  if (!parsed.ok()) return std::move(parsed).error().Wrap("hard link to " + Quoted(target));
  // Most links are to a file beside them.
  UniqueFd opened;
  if (parsed->parent != name.parent) {
    opened = OpenDirectoryBeneath(root_.get(), parsed->parent.empty() ? "." : parsed->parent, true);
  }
  const UniqueFd& target_parent = parsed->parent != name.parent ? opened : parent;
  if (!target_parent && errno == EXDEV) {
    return base::InvalidArgument("hard link to " + Quoted(target) +
                                 ": it leads out of the layer through a symbolic link");
  }
  struct stat info {};
  if (!target_parent || parsed->base.empty() ||
      ::fstatat(target_parent.get(), parsed->base.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0 || IsWhiteout(info)) {
    return base::InvalidArgument("hard link to " + Quoted(target) + ", which is not in the layer");
  }
  if (S_ISDIR(info.st_mode)) return base::InvalidArgument("hard link to " + Quoted(target) + ", which is a directory");
  const auto link = [&] {
    return ::linkat(target_parent.get(), parsed->base.c_str(), parent.get(), name.base.c_str(), 0) == 0;
  };
  if (!link()) {
    if (errno != EEXIST) return ErrnoError("make a hard link to " + Quoted(target));
    struct stat existing {};
    if (::fstatat(parent.get(), name.base.c_str(), &existing, AT_SYMLINK_NOFOLLOW) == 0 &&
        existing.st_ino == info.st_ino) {
      return base::Ok();
    }
    RETURN_IF_ERROR(MakeRoom(parent, name));
    if (!link()) return ErrnoError("make a hard link to " + Quoted(target));
  }
  if (recorder_ != nullptr) {
    const std::string target_path = RecordedPath(target_parent, parsed->base);
    recorder_->AddLink(RecordedPath(parent, name.base), target_path);
  }
  return base::Ok();
}

Status TreeWriter::WriteDirectory(const UniqueFd& parent, const Name& name, archive_entry* entry) {
  ASSIGN_OR_RETURN(const Owner owner, OwnerOf(entry));
  const char* base = name.base.c_str();
  const mode_t mode = archive_entry_perm(entry);
  bool has_xattrs = archive_entry_xattr_count(entry) > 0;
  bool as_made = modes_.exact() && (mode & (S_ISUID | S_ISGID)) == 0 && !GivesGroup(parent);
  const bool root_owns = owner.uid == 0 && owner.gid == 0;
  if (::mkdirat(parent.get(), base, mode) != 0) {
    if (errno != EEXIST) return ErrnoError("make directory");
    as_made = false;
    // It may be the parent of what was made last, and change what that gets.
    cached_path_.reset();
    // Those that it has stay.
    has_xattrs = true;
    struct stat info {};
    if (::fstatat(parent.get(), base, &info, AT_SYMLINK_NOFOLLOW) != 0) return ErrnoError("stat");
    if (!S_ISDIR(info.st_mode)) {
      RETURN_IF_ERROR(MakeRoom(parent, name));
      if (::mkdirat(parent.get(), base, mode) != 0) return ErrnoError("make directory");
      // The whiteout that stood here hides the lower directory of this name, so the new one does.
      if (IsWhiteout(info) && ::lsetxattr(PathOf(parent.get(), name.base).c_str(), kOpaqueAttribute, "y", 1, 0) != 0) {
        return ErrnoError("mark as opaque");
      }
    }
  } else {
    ++size_.inodes;
    size_.bytes += kBlockBytes;
  }
  if (!(as_made && root_owns) && ::fchownat(parent.get(), base, owner.uid, owner.gid, AT_SYMLINK_NOFOLLOW) != 0) {
    return ErrnoError("set owner");
  }
  if (!as_made && ::fchmodat(parent.get(), base, mode, 0) != 0) return ErrnoError("set mode");
  if (archive_entry_xattr_count(entry) > 0) {
    RETURN_IF_ERROR(SetXattrs(PathOf(parent.get(), name.base), entry, true));
  }
  RETURN_IF_ERROR(Record(parent, name.base, {.mode = S_IFDIR | mode, .uid = owner.uid, .gid = owner.gid}, has_xattrs));
  if (archive_entry_mtime_is_set(entry) != 0) {
    directory_times_[name.parent.empty() ? name.base : name.parent + "/" + name.base] = ModifiedTimeOf(entry);
  }
  return base::Ok();
}

Status TreeWriter::CopyData(archive* reader, archive_entry* entry, int fd, uint64_t& file_size) {
  const auto most = static_cast<int64_t>(std::min<uint64_t>(bounds_.most_bytes, INT64_MAX));
  const auto too_long = [&] {
    return Error(Code::kResourceExhausted, "longer than the " + std::to_string(bounds_.most_bytes) + " bytes allowed");
  };
  const int64_t stated = archive_entry_size_is_set(entry) != 0 ? archive_entry_size(entry) : 0;
  if (stated < 0) return Error(Code::kDataLoss, "negative size");
  if (stated > most) return too_long();
  int64_t end = 0;
  uint64_t written = 0;
  while (true) {
    const void* data = nullptr;
    size_t size = 0;
    la_int64_t offset = 0;
    const int outcome = archive_read_data_block(reader, &data, &size, &offset);
    if (outcome == ARCHIVE_EOF) break;
    if (outcome != ARCHIVE_OK && outcome != ARCHIVE_WARN) {
      const char* why = archive_error_string(reader);
      return Error(Code::kDataLoss, base::Printable(why == nullptr ? "the archive is broken" : why, 200));
    }
    if (offset < 0 || offset > most || size > static_cast<uint64_t>(most - offset)) return too_long();
    written += size;
    if (recorder_ != nullptr) content_.Add({static_cast<const char*>(data), size}, static_cast<uint64_t>(offset));
    for (auto at = static_cast<const char*>(data); size > 0;) {
      const ssize_t put = ::pwrite(fd, at, size, offset);
      if (put < 0) {
        if (errno == EINTR) continue;
        return ErrnoError("write");
      }
      at += put;
      size -= static_cast<size_t>(put);
      offset += put;
    }
    end = std::max<int64_t>(end, offset);
  }
  size_.bytes += Blocks(written);
  // A sparse file may end in a hole.
  if (stated > end && ::ftruncate(fd, stated) != 0) return ErrnoError("set size");
  file_size = static_cast<uint64_t>(std::max(stated, end));
  return base::Ok();
}

Status TreeWriter::WriteFile(const UniqueFd& parent, const Name& name, archive* reader, archive_entry* entry) {
  ASSIGN_OR_RETURN(const Owner owner, OwnerOf(entry));
  constexpr int kFlags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
  const mode_t mode = archive_entry_perm(entry);
  const bool as_made =
      modes_.exact() && (mode & (S_ISUID | S_ISGID)) == 0 && owner.uid == 0 && owner.gid == 0 && !GivesGroup(parent);
  UniqueFd fd(::openat(parent.get(), name.base.c_str(), kFlags, as_made ? mode : 0600));
  if (!fd && errno == EEXIST) {
    RETURN_IF_ERROR(MakeRoom(parent, name));
    fd.reset(::openat(parent.get(), name.base.c_str(), kFlags, as_made ? mode : 0600));
  }
  if (!fd) return ErrnoError("create");
  ++size_.inodes;
  RecordedEntry recorded{.mode = S_IFREG | archive_entry_perm(entry), .uid = owner.uid, .gid = owner.gid};
  content_.Reset();
  RETURN_IF_ERROR(CopyData(reader, entry, fd.get(), recorded.size));
  // A change of owner clears the setuid bits and file capabilities, and writing does, so these come last.
  if (!as_made) {
    if (::fchown(fd.get(), owner.uid, owner.gid) != 0) return ErrnoError("set owner");
    if (::fchmod(fd.get(), mode) != 0) return ErrnoError("set mode");
  }
  if (archive_entry_xattr_count(entry) > 0) {
    RETURN_IF_ERROR(SetXattrs("/proc/self/fd/" + std::to_string(parent.get()) + "/" + name.base, entry, true));
  }
  if (archive_entry_mtime_is_set(entry) != 0) {
    recorded.modified = ModifiedTimeOf(entry);
    if (::futimens(fd.get(), BothTimes(*recorded.modified).data()) != 0) return ErrnoError("set time");
  }
  if (recorder_ == nullptr) return base::Ok();
  ASSIGN_OR_RETURN(recorded.content, content_.Finish(fd.get(), recorded.size));
  return Record(parent, name.base, std::move(recorded), archive_entry_xattr_count(entry) > 0);
}

Status TreeWriter::WriteSymlink(const UniqueFd& parent, const Name& name, archive_entry* entry) {
  ASSIGN_OR_RETURN(const Owner owner, OwnerOf(entry));
  const char* target = archive_entry_symlink(entry);
  if (target == nullptr) target = archive_entry_symlink_utf8(entry);
  if (target == nullptr || *target == '\0') return Error(Code::kDataLoss, "the symbolic link has no target");
  const char* base = name.base.c_str();
  if (::symlinkat(target, parent.get(), base) != 0) {
    if (errno != EEXIST) return ErrnoError("make a symbolic link");
    RETURN_IF_ERROR(MakeRoom(parent, name));
    if (::symlinkat(target, parent.get(), base) != 0) return ErrnoError("make a symbolic link");
  }
  ++size_.inodes;
  const bool as_made = owner.uid == 0 && owner.gid == 0 && !GivesGroup(parent);
  if (!as_made && ::fchownat(parent.get(), base, owner.uid, owner.gid, AT_SYMLINK_NOFOLLOW) != 0)
    return ErrnoError("set owner");
  RecordedEntry recorded{.mode = S_IFLNK, .uid = owner.uid, .gid = owner.gid, .content = ChecksumOfText(target)};
  if (archive_entry_mtime_is_set(entry) != 0) {
    recorded.modified = ModifiedTimeOf(entry);
    if (::utimensat(parent.get(), base, BothTimes(*recorded.modified).data(), AT_SYMLINK_NOFOLLOW) != 0) {
      return ErrnoError("set time");
    }
  }
  return Record(parent, name.base, std::move(recorded));
}

Status TreeWriter::WriteSpecial(const UniqueFd& parent, const Name& name, archive_entry* entry) {
  ASSIGN_OR_RETURN(const Owner owner, OwnerOf(entry));
  const mode_t type = archive_entry_filetype(entry);
  const dev_t device = type == AE_IFIFO ? 0
                                        : makedev(static_cast<unsigned>(archive_entry_rdevmajor(entry)),
                                                  static_cast<unsigned>(archive_entry_rdevminor(entry)));
  if (type == AE_IFCHR && device == makedev(0, 0)) {
    return base::InvalidArgument("a device 0/0 is not allowed in a layer: overlayfs would hide what lies below it");
  }
  RETURN_IF_ERROR(MakeRoom(parent, name));
  const char* base = name.base.c_str();
  if (::mknodat(parent.get(), base, type | 0600, device) != 0) return ErrnoError("make a device or pipe");
  ++size_.inodes;
  if (::fchownat(parent.get(), base, owner.uid, owner.gid, AT_SYMLINK_NOFOLLOW) != 0) return ErrnoError("set owner");
  if (::fchmodat(parent.get(), base, archive_entry_perm(entry), 0) != 0) return ErrnoError("set mode");
  RETURN_IF_ERROR(SetXattrs(PathOf(parent.get(), name.base), entry, false));
  RecordedEntry recorded{
      .mode = type | archive_entry_perm(entry), .uid = owner.uid, .gid = owner.gid, .device = device};
  if (archive_entry_mtime_is_set(entry) != 0) {
    recorded.modified = ModifiedTimeOf(entry);
    if (::utimensat(parent.get(), base, BothTimes(*recorded.modified).data(), AT_SYMLINK_NOFOLLOW) != 0) {
      return ErrnoError("set time");
    }
  }
  return Record(parent, name.base, std::move(recorded), archive_entry_xattr_count(entry) > 0);
}

Status TreeWriter::Write(archive* reader, archive_entry* entry) {
  const char* path = archive_entry_pathname(entry);
  if (path == nullptr) path = archive_entry_pathname_utf8(entry);
  if (path == nullptr || *path == '\0') return Error(Code::kDataLoss, "an entry of the archive has no name");
  const auto write = [&]() -> Status {
    RETURN_IF_ERROR(CountEntry());
    ASSIGN_OR_RETURN(const Name name, ParseName(path));
    if (name.base.empty()) return WriteRoot(entry);
    ASSIGN_OR_RETURN(const UniqueFd* parent, Parent(name.parent));
    if (name.base.starts_with(kWhiteoutPrefix)) return WriteWhiteout(*parent, name);
    if (const char* target = archive_entry_hardlink(entry); target != nullptr) {
      return WriteHardLink(*parent, name, target);
    }
    switch (archive_entry_filetype(entry)) {
      case AE_IFDIR:
        return WriteDirectory(*parent, name, entry);
      case AE_IFREG:
        return WriteFile(*parent, name, reader, entry);
      case AE_IFLNK:
        return WriteSymlink(*parent, name, entry);
      case AE_IFCHR:
      case AE_IFBLK:
      case AE_IFIFO:
        return WriteSpecial(*parent, name, entry);
      default:
        return Error(Code::kDataLoss, "an entry of unknown type");
    }
  };
  Status status = write();
  if (status.ok()) return status;
  status = std::move(status).Wrap(Quoted(path));
  // To the caller a hostile archive is a broken one.
  const Code code = status.error().code();
  if (code != Code::kInvalidArgument && code != Code::kNotFound) return status;
  return std::move(status).error().WithCode(Code::kDataLoss);
}

Status TreeWriter::Finish() {
  for (const auto& [path, modified] : directory_times_) {
    // A later entry may have put something else there.
    const UniqueFd directory = OpenDirectoryBeneath(root_.get(), path.empty() ? "." : path, true);
    if (!directory) continue;
    const std::string itself = "/proc/self/fd/" + std::to_string(directory.get());
    if (::utimensat(AT_FDCWD, itself.c_str(), BothTimes(modified).data(), 0) != 0) {
      return ErrnoError("set the time of " + Quoted(path));
    }
    if (recorder_ != nullptr) recorder_->SetModified(RecordedPath(directory, "."), modified);
  }
  return base::Ok();
}

constexpr size_t kTarBlock = 512;

// What libarchive's callbacks know.
struct Input {
  ByteReader& reader;
  Status status;
  uint64_t size = 0;
  // Zeros that were put to the end, to make a whole block of it: archives that "umoci insert" writes end with the last
  // file's last byte, and other runtimes take them.
  size_t padding = 0;
};

// How many zeros follow the data of an entry.
size_t PaddingOf(archive_entry* entry) {
  // Where there are holes, the size is not that of the data.
  if (archive_entry_filetype(entry) != AE_IFREG || archive_entry_sparse_count(entry) > 0) return 0;
  return (kTarBlock - static_cast<uint64_t>(archive_entry_size(entry)) % kTarBlock) % kTarBlock;
}

la_ssize_t ReadInput(archive* reader, void* context, const void** buffer) {
  auto& input = *static_cast<Input*>(context);
  auto piece = input.reader.Next();
  if (!piece.ok()) {
    input.status = std::move(piece).error();
    archive_set_error(reader, EIO, "the stream broke off");
    return ARCHIVE_FATAL;
  }
  if (piece->empty() && input.padding == 0 && input.size % kTarBlock != 0) {
    static constexpr std::array<char, kTarBlock> kZeros = {};
    input.padding = kTarBlock - input.size % kTarBlock;
    *buffer = kZeros.data();
    return static_cast<la_ssize_t>(input.padding);
  }
  input.size += piece->size();
  *buffer = piece->data();
  return static_cast<la_ssize_t>(piece->size());
}

Error ArchiveError(archive* reader) {
  const char* why = archive_error_string(reader);
  return {Code::kDataLoss, "no valid tar archive: " + base::Printable(why == nullptr ? "unknown error" : why, 200)};
}

}  // namespace

base::Result<UnpackedSize> UnpackTar(ByteReader& tar, const std::string& directory, const UnpackBounds& bounds,
                                     TreeRecorder* recorder) {
  const ScopedCLocale locale;
  UniqueFd root(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!root) return ErrnoError("open " + directory);
  const std::unique_ptr<archive, decltype(&archive_read_free)> reader(archive_read_new(), &archive_read_free);
  if (!reader) return Error(Code::kResourceExhausted, "out of memory");
  archive_read_support_format_tar(reader.get());
  archive_read_support_format_empty(reader.get());
  Input input{.reader = tar, .status = {}};
  size_t padding = 0;  // of the entry before
  if (archive_read_open(reader.get(), &input, nullptr, &ReadInput, nullptr) != ARCHIVE_OK) {
    if (!input.status.ok()) return std::move(input.status).error();
    return ArchiveError(reader.get());
  }
  TreeWriter writer(std::move(root), bounds, recorder);
  while (true) {
    archive_entry* entry = nullptr;
    const int outcome = archive_read_next_header(reader.get(), &entry);
    if (!input.status.ok()) return std::move(input.status).error();
    if (outcome == ARCHIVE_EOF) break;
    // A warning is about a name that is not in the locale's character set, which is kept as it is.
    if (outcome != ARCHIVE_OK && outcome != ARCHIVE_WARN) return ArchiveError(reader.get());
    padding = PaddingOf(entry);
    Status written = writer.Write(reader.get(), entry);
    if (!input.status.ok()) return std::move(input.status).error();
    if (!written.ok()) return std::move(written).error();
  }
  if (input.padding > padding) return Error(Code::kDataLoss, "no valid tar archive: it ends in the middle of a file");
  RETURN_IF_ERROR(writer.Finish());
  return writer.size();
}

}  // namespace image
