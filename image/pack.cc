#include "image/pack.h"

#include <archive.h>
#include <archive_entry.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <map>
#include <utility>
#include <vector>

#include "base/fd.h"
#include "base/files.h"
#include "base/text.h"
#include "image/layer_tree.h"

namespace image {
namespace {

using base::Code;
using base::ErrnoError;
using base::Error;
using base::Result;
using base::Status;
using base::UniqueFd;

constexpr size_t kCopyBytes = size_t{256} << 10;
// As of UnpackTar(). Each level has a descriptor open.
constexpr size_t kMostDepth = 512;

using Entry = std::unique_ptr<archive_entry, decltype(&archive_entry_free)>;

class LibarchiveTarFile : public TarFile {
 public:
  LibarchiveTarFile(UniqueFd fd, std::string path, archive* writer)
      : fd_(std::move(fd)), path_(std::move(path)), writer_(writer, &archive_write_free) {}

  Status AddDirectory(const std::string& name) override {
    const Entry entry = NewEntry(name, AE_IFDIR, 0700);
    return WriteHeader(entry.get());
  }

  Status AddText(const std::string& name, std::string_view content) override {
    const Entry entry = NewEntry(name, AE_IFREG, 0600);
    archive_entry_set_size(entry.get(), static_cast<int64_t>(content.size()));
    RETURN_IF_ERROR(WriteHeader(entry.get()));
    return WriteData(content);
  }

  Status AddFile(const std::string& name, const std::string& path) override {
    const UniqueFd file(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    struct stat info {};
    if (!file || ::fstat(file.get(), &info) != 0) return ErrnoError("open " + path);
    if (!S_ISREG(info.st_mode)) return base::InvalidArgument(path + " is no regular file");
    const Entry entry = NewEntry(name, AE_IFREG, 0600);
    archive_entry_set_size(entry.get(), info.st_size);
    RETURN_IF_ERROR(WriteHeader(entry.get()));
    return CopyData(file.get(), info.st_size).Wrap(path);
  }

  Status AddLayer(const std::string& directory, std::set<std::string> implied) override {
    implied_ = std::move(implied);
    const UniqueFd root(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    struct stat info {};
    if (!root || ::fstat(root.get(), &info) != 0) return ErrnoError("open " + directory);
    const Entry entry = EntryOf("./", info);
    RETURN_IF_ERROR(AddXattrs(entry.get(), PathOf(root.get(), ".")));
    return PackDirectory(root.get(), "", entry.get(), 0);
  }

  Status Finish() override {
    if (archive_write_close(writer_.get()) != ARCHIVE_OK) return WriterError("complete the archive");
    if (::fsync(fd_.get()) != 0) return ErrnoError("sync " + path_);
    return base::Ok();
  }

 private:
  static Entry NewEntry(const std::string& name, unsigned type, unsigned mode) {
    Entry entry(archive_entry_new(), &archive_entry_free);
    archive_entry_set_pathname(entry.get(), name.c_str());
    archive_entry_set_filetype(entry.get(), type);
    archive_entry_set_perm(entry.get(), mode);
    archive_entry_set_mtime(entry.get(), ::time(nullptr), 0);
    return entry;
  }

  static Entry EntryOf(const std::string& name, const struct stat& info) {
    Entry entry = NewEntry(name, info.st_mode & S_IFMT, info.st_mode & 07777);
    archive_entry_set_uid(entry.get(), info.st_uid);
    archive_entry_set_gid(entry.get(), info.st_gid);
    archive_entry_set_mtime(entry.get(), info.st_mtim.tv_sec, info.st_mtim.tv_nsec);
    return entry;
  }

  Status PackDirectory(int directory, const std::string& path, archive_entry* entry, size_t depth) {
    if (depth > kMostDepth) return base::InvalidArgument("directories are nested too deep in " + Quoted(path));
    ASSIGN_OR_RETURN(const std::vector<std::string> names, base::ListDirectory(PathOf(directory, ".")));
    char mark = 0;
    const bool opaque = ::getxattr(PathOf(directory, ".").c_str(), kOpaqueAttribute, &mark, 1) == 1 && mark == 'y';
    if (!implied_.contains(path) || (names.empty() && !opaque && !path.empty())) RETURN_IF_ERROR(WriteHeader(entry));
    const std::string prefix = path.empty() ? "" : path + "/";
    // Before what is in it, as the format asks for.
    if (opaque) RETURN_IF_ERROR(AddEmpty(prefix + ".wh..wh..opq"));
    for (const std::string& name : names) {
      RETURN_IF_ERROR(AddName(directory, name, prefix + name, depth).Wrap(Quoted(prefix + name)));
    }
    return base::Ok();
  }

  Status AddName(int directory, const std::string& name, const std::string& path, size_t depth) {
    struct stat info {};
    if (::fstatat(directory, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) return ErrnoError("stat");
    if (S_ISSOCK(info.st_mode)) return base::Ok();
    if (IsWhiteout(info)) {
      return AddEmpty(path.substr(0, path.size() - name.size()) + ".wh." + name);
    }
    const Entry entry = EntryOf(path, info);
    if (!S_ISDIR(info.st_mode) && info.st_nlink > 1) {
      const auto [first, added] = links_.emplace(std::pair(info.st_dev, info.st_ino), path);
      if (!added) {
        archive_entry_set_hardlink(entry.get(), first->second.c_str());
        archive_entry_set_size(entry.get(), 0);
        return WriteHeader(entry.get());
      }
    }
    RETURN_IF_ERROR(AddXattrs(entry.get(), PathOf(directory, name)));
    if (S_ISDIR(info.st_mode)) return AddSubdirectory(directory, name, path, entry.get(), depth);
    if (S_ISREG(info.st_mode)) return AddRegularFile(directory, name, info, entry.get());
    if (S_ISLNK(info.st_mode)) {
      std::string target(static_cast<size_t>(info.st_size) + 1, '\0');
      const ssize_t length = ::readlinkat(directory, name.c_str(), target.data(), target.size());
      if (length < 0) return ErrnoError("read the link");
      target.resize(static_cast<size_t>(length));
      archive_entry_set_symlink(entry.get(), target.c_str());
    } else {
      archive_entry_set_rdev(entry.get(), info.st_rdev);
    }
    return WriteHeader(entry.get());
  }

  Status AddSubdirectory(int directory, const std::string& name, const std::string& path, archive_entry* entry,
                         size_t depth) {
    const UniqueFd own(::openat(directory, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!own) return ErrnoError("open");
    return PackDirectory(own.get(), path, entry, depth + 1);
  }

  Status AddRegularFile(int directory, const std::string& name, const struct stat& info, archive_entry* entry) {
    const UniqueFd file(::openat(directory, name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    if (!file) return ErrnoError("open");
    archive_entry_set_size(entry, info.st_size);
    RETURN_IF_ERROR(WriteHeader(entry));
    return CopyData(file.get(), info.st_size);
  }

  // A mark of the layer format.
  Status AddEmpty(const std::string& name) {
    const Entry entry = NewEntry(name, AE_IFREG, 0600);
    archive_entry_set_size(entry.get(), 0);
    // No time of its own: the same tree gives the same archive.
    archive_entry_set_mtime(entry.get(), 0, 0);
    return WriteHeader(entry.get());
  }

  static Status AddXattrs(archive_entry* entry, const std::string& path) {
    ASSIGN_OR_RETURN(const auto xattrs, ReadLayerXattrs(path));
    for (const auto& [name, value] : xattrs) {
      // It has a form of its own in the archive.
      if (name == kOpaqueAttribute) continue;
      archive_entry_xattr_add_entry(entry, name.c_str(), value.data(), value.size());
    }
    return base::Ok();
  }

  Status WriteHeader(archive_entry* entry) {
    const int outcome = archive_write_header(writer_.get(), entry);
    // A warning is about a name that is not in the locale's character set, which is kept as it is.
    if (outcome == ARCHIVE_OK || outcome == ARCHIVE_WARN) return base::Ok();
    return WriterError("write to the archive");
  }

  Status WriteData(std::string_view data) {
    while (!data.empty()) {
      const la_ssize_t written = archive_write_data(writer_.get(), data.data(), data.size());
      if (written <= 0) return WriterError("write to the archive");
      data.remove_prefix(static_cast<size_t>(written));
    }
    return base::Ok();
  }

  // Exactly as many bytes as the header says.
  Status CopyData(int file, int64_t size) {
    std::string buffer(kCopyBytes, '\0');
    while (size > 0) {
      const ssize_t got = ::read(file, buffer.data(), std::min<size_t>(buffer.size(), static_cast<size_t>(size)));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) return ErrnoError("read");
      if (got == 0) return Error(Code::kAborted, "the file has become shorter while it was read");
      RETURN_IF_ERROR(WriteData(std::string_view(buffer).substr(0, static_cast<size_t>(got))));
      size -= got;
    }
    return base::Ok();
  }

  Error WriterError(const std::string& doing) const {
    const char* why = archive_error_string(writer_.get());
    const int number = archive_errno(writer_.get());
    const std::string text = doing + " " + path_ + ": " + base::Printable(why == nullptr ? "unknown error" : why, 200);
    return {number == ENOSPC || number == EDQUOT ? Code::kResourceExhausted : Code::kInternal, text};
  }

  UniqueFd fd_;
  const std::string path_;
  std::unique_ptr<archive, decltype(&archive_write_free)> writer_;
  std::set<std::string> implied_;
  // Where the first name of a file with several is in the archive.
  std::map<std::pair<dev_t, ino_t>, std::string> links_;
};

}  // namespace

Result<std::unique_ptr<TarFile>> TarFile::Create(const std::string& path) {
  UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!fd) return ErrnoError("create " + path);
  archive* const writer = archive_write_new();
  if (writer == nullptr) return Error(Code::kResourceExhausted, "out of memory");
  const int number = fd.get();
  auto file = std::make_unique<LibarchiveTarFile>(std::move(fd), path, writer);
  if (archive_write_set_format_pax_restricted(writer) != ARCHIVE_OK ||
      // Names are bytes here, whatever the locale.
      archive_write_set_options(writer, "hdrcharset=BINARY") != ARCHIVE_OK ||
      archive_write_open_fd(writer, number) != ARCHIVE_OK) {
    return base::Internal("begin the archive " + path);
  }
  return std::unique_ptr<TarFile>(std::move(file));
}

Status PackLayer(const std::string& directory, const std::string& path, const std::set<std::string>& implied) {
  ASSIGN_OR_RETURN(const auto file, TarFile::Create(path));
  RETURN_IF_ERROR(file->AddLayer(directory, implied).Wrap("pack " + directory));
  return file->Finish();
}

}  // namespace image
