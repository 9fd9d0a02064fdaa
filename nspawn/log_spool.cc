#include "nspawn/log_spool.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>

namespace nspawn {
namespace {

// Often enough that hundreds of quiet containers hold little memory, and rare beside the work on as many bytes.
constexpr uint64_t kDiscardStep = 64 * 1024;

}  // namespace

base::Result<LogSpool> LogSpool::Open(const std::string& path) {
  base::UniqueFd file(::open(path.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600));
  struct stat info {};
  if (!file || ::fstat(file.get(), &info) != 0) return base::ErrnoError("opening " + path);
  // Without holes the file would grow for ever: better known now.
  if (::fallocate(file.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, info.st_size, 1) != 0) {
    return base::ErrnoError("punching a hole into " + path + " (it should be on a tmpfs)");
  }
  return LogSpool(std::move(file), static_cast<uint64_t>(info.st_size));
}

base::Result<size_t> LogSpool::Take(int fifo, size_t most) {
  while (true) {
    loff_t offset = static_cast<loff_t>(taken_);
    const ssize_t moved = ::splice(fifo, nullptr, file_.get(), &offset, most, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
    if (moved >= 0) {
      taken_ += static_cast<uint64_t>(moved);
      return static_cast<size_t>(moved);
    }
    if (errno == EAGAIN) return size_t{0};
    if (errno != EINTR) return base::ErrnoError("moving a container's output into its spool file");
  }
}

base::Result<size_t> LogSpool::Read(uint64_t offset, char* buffer, size_t size) const {
  size_t read = 0;
  while (read < size) {
    const ssize_t n = ::pread(file_.get(), buffer + read, size - read, static_cast<off_t>(offset + read));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return base::ErrnoError("reading a container's spool file");
    if (n == 0) break;
    read += static_cast<size_t>(n);
    if (offset + read >= taken_) break;
  }
  return read;
}

void LogSpool::Discard(uint64_t offset) {
  const uint64_t end = offset - offset % kDiscardStep;
  if (end <= discarded_) return;
  // Nothing depends on its success: the next step covers the same range again.
  if (::fallocate(file_.get(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, static_cast<off_t>(discarded_),
                  static_cast<off_t>(end - discarded_)) == 0) {
    discarded_ = end;
  }
}

}  // namespace nspawn
