#include "nspawn/log_file.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <memory>
#include <utility>

namespace nspawn {
namespace {

constexpr unsigned kMode = 0640;
// O_NONBLOCK: a FIFO that somebody put there must not stop the caller.
constexpr int kFlags = O_WRONLY | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;

struct DirectoryCloser {
  void operator()(DIR* directory) const { ::closedir(directory); }
};

}  // namespace

base::Result<LogFile> LogFile::FromDescriptor(base::UniqueFd file, const std::string& path) {
  struct statx info {};
  if (::statx(file.get(), "", AT_EMPTY_PATH, STATX_TYPE | STATX_INO | STATX_SIZE | STATX_BTIME, &info) != 0) {
    return base::ErrnoError("looking at the log file " + path);
  }
  if (!S_ISREG(info.stx_mode)) {
    return base::Error(base::Code::kFailedPrecondition, "the log file " + path + " is not a regular file");
  }
  LogFile result;
  result.file_ = std::move(file);
  result.identity_.device = (static_cast<uint64_t>(info.stx_dev_major) << 32) | info.stx_dev_minor;
  result.identity_.inode = info.stx_ino;
  if ((info.stx_mask & STATX_BTIME) != 0) {
    result.identity_.birth = info.stx_btime.tv_sec * int64_t{1'000'000'000} + info.stx_btime.tv_nsec;
  }
  result.size_ = info.stx_size;
  return result;
}

base::Result<LogFile> LogFile::Open(const std::string& path) {
  // Somebody may rename or make the file between two of the calls, so they are tried more than once.
  int number = 0;
  for (int attempt = 0; attempt < 8; ++attempt) {
    base::UniqueFd file(::open(path.c_str(), kFlags));
    if (!file && errno == ENOENT) {
      file.reset(::open(path.c_str(), kFlags | O_CREAT | O_EXCL, kMode));
      if (file && ::fchmod(file.get(), kMode) != 0) return base::ErrnoError("setting the mode of the log file " + path);
      if (!file && errno == EEXIST) continue;
    }
    if (file) return FromDescriptor(std::move(file), path);
    number = errno;
    break;
  }
  if (number == ELOOP) {
    return base::Error(base::Code::kFailedPrecondition, "the log file " + path + " is a symbolic link");
  }
  return base::Error::FromErrno(number == 0 ? EEXIST : number, "opening the log file " + path);
}

base::Result<LogFile> LogFile::Find(const std::string& path, const FileIdentity& identity) {
  const auto open_if_same = [&](int directory, const char* name) -> std::optional<LogFile> {
    struct stat info {};
    if (::fstatat(directory, name, &info, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(info.st_mode) ||
        info.st_ino != identity.inode) {
      return std::nullopt;
    }
    base::UniqueFd file(::openat(directory, name, kFlags));
    if (!file) return std::nullopt;
    auto found = FromDescriptor(std::move(file), path);
    if (!found || found->identity() != identity) return std::nullopt;
    return *std::move(found);
  };
  if (auto file = open_if_same(AT_FDCWD, path.c_str())) return *std::move(file);

  const size_t slash = path.rfind('/');
  const std::string parent = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  const std::unique_ptr<DIR, DirectoryCloser> directory(::opendir(parent.c_str()));
  if (directory == nullptr) return base::ErrnoError("opening the log directory " + parent);
  while (const dirent* entry = ::readdir(directory.get())) {
    if (entry->d_ino != identity.inode) continue;
    if (auto file = open_if_same(::dirfd(directory.get()), entry->d_name)) return *std::move(file);
  }
  return base::NotFound("the log file that was written before is no longer in " + parent);
}

base::Status LogFile::Cut(uint64_t size) {
  cut_at_ = size;
  struct stat info {};
  if (::fstat(file_.get(), &info) != 0) return base::ErrnoError("looking at a log file");
  size_ = static_cast<uint64_t>(info.st_size);
  if (size_ > size) {
    if (::ftruncate(file_.get(), static_cast<off_t>(size)) != 0) {
      return base::ErrnoError("cutting a broken record off a log file");
    }
    size_ = size;
  }
  cut_at_.reset();
  return base::Ok();
}

base::Status LogFile::Append(std::string_view records, size_t* written) {
  *written = 0;
  if (cut_at_) RETURN_IF_ERROR(Cut(*cut_at_));
  // Asked each time, since a person may have emptied the file.
  struct stat info {};
  if (::fstat(file_.get(), &info) != 0) return base::ErrnoError("looking at a log file");
  size_ = static_cast<uint64_t>(info.st_size);

  size_t done = 0;
  while (done < records.size()) {
    const ssize_t n = ::write(file_.get(), records.data() + done, records.size() - done);
    if (n > 0) {
      done += static_cast<size_t>(n);
    } else if (n == 0 || errno != EINTR) {
      const base::Error error = base::Error::FromErrno(n == 0 ? EIO : errno, "writing a log file");
      const size_t last = records.substr(0, done).rfind('\n');
      *written = last == std::string_view::npos ? 0 : last + 1;
      const uint64_t whole = size_ + *written;
      // A failure is kept in cut_at_ and tried again before the next record.
      static_cast<void>(Cut(whole).ok());
      size_ = whole;
      return error;
    }
  }
  size_ += done;
  *written = done;
  return base::Ok();
}

}  // namespace nspawn
