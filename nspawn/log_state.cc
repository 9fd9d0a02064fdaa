#include "nspawn/log_state.h"

#include <fcntl.h>
#include <sys/mman.h>

#include <atomic>
#include <utility>

#include "base/fd.h"

namespace nspawn {

base::Result<LogState> LogState::Open(const std::string& path) {
  const base::UniqueFd file(::open(path.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!file) return base::ErrnoError("opening " + path);
  // Takes the space now: a store into a mapped hole of a full file system is a SIGBUS.
  if (::fallocate(file.get(), 0, 0, sizeof(Content)) != 0) return base::ErrnoError("reserving space for " + path);
  void* mapped = ::mmap(nullptr, sizeof(Content), PROT_READ | PROT_WRITE, MAP_SHARED, file.get(), 0);
  if (mapped == MAP_FAILED) return base::ErrnoError("mapping " + path);
  return LogState(static_cast<Content*>(mapped));
}

LogState::LogState(LogState&& other) noexcept : content_(std::exchange(other.content_, nullptr)) {}

LogState& LogState::operator=(LogState&& other) noexcept {
  std::swap(content_, other.content_);
  return *this;
}

LogState::~LogState() {
  if (content_ != nullptr) ::munmap(content_, sizeof(Content));
}

LogProgress LogState::Load() const {
  return content_->slots[content_->current & 1];
}

void LogState::Publish(const LogProgress& progress) {
  const uint64_t next = (content_->current & 1) ^ 1;
  // What a killed process had executed is in the page, in program order, so only the compiler has to be held back: the
  // slot may not be filled before the store that took it out of use, nor the word be stored before the slot is full.
  std::atomic_signal_fence(std::memory_order_seq_cst);
  content_->slots[next] = progress;
  std::atomic_signal_fence(std::memory_order_seq_cst);
  std::atomic_ref<uint64_t>(content_->current).store(next, std::memory_order_release);
  std::atomic_signal_fence(std::memory_order_seq_cst);
}

}  // namespace nspawn
