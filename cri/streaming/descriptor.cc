#include "cri/streaming/descriptor.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace cri::streaming {
namespace {

constexpr size_t kReadBytes = 64 * 1024;
static_assert(kReadBytes <= Multiplexer::kMostWriteBytes);

}  // namespace

void Watched::Watch(int fd) {
  error_code ignored;  // it fails only for what epoll does not take, and then waits fail
  descriptor_.assign(fd, ignored);
}

void Watched::Forget() {
  generation_ = std::make_shared<int>(0);
  if (descriptor_.is_open()) descriptor_.release();
}

void Watched::Wait(asio::posix::stream_descriptor::wait_type what, std::function<void()> then) {
  descriptor_.async_wait(what,
                         [generation = std::weak_ptr<int>(generation_), then = std::move(then)](error_code error) {
                           if (!error && !generation.expired()) then();
                         });
}

void DescriptorWriter::Start(Watched& watched) {
  watched_ = &watched;
  WriteQueued();
}

void DescriptorWriter::Stop() {
  stopped_ = true;
  queue_ = {};
  written_ = 0;
}

size_t DescriptorWriter::TryWrite(std::string_view bytes) {
  ssize_t count = -1;
  do {
    count = ::write(watched_->fd(), bytes.data(), bytes.size());
  } while (count < 0 && errno == EINTR);
  if (count >= 0) return static_cast<size_t>(count);
  if (errno == EAGAIN) return 0;
  stopped_ = true;  // nobody reads it any more
  return bytes.size();
}

void DescriptorWriter::Write(std::string_view bytes) {
  if (stopped_) return;
  if (watched_ != nullptr && queued() == 0) bytes.remove_prefix(TryWrite(bytes));
  if (stopped_ || bytes.empty()) return;
  queue_ += bytes;
  WaitForRoom();
}

void DescriptorWriter::WaitForRoom() {
  if (watched_ == nullptr || waiting_) return;
  waiting_ = true;
  watched_->WhenWritable([this] {
    waiting_ = false;
    WriteQueued();
  });
}

void DescriptorWriter::WriteQueued() {
  while (!stopped_ && queued() > 0) {
    const size_t count = TryWrite(std::string_view(queue_).substr(written_));
    if (count == 0) break;
    written_ += count;
  }
  if (stopped_ || queued() == 0) {
    queue_ = {};
    written_ = 0;
  } else {
    if (written_ > queue_.size() / 2) {
      queue_.erase(0, written_);
      written_ = 0;
    }
    WaitForRoom();
  }
  on_room_();
  if (!stopped_ && queued() == 0 && on_written_) std::exchange(on_written_, {})();
}

void DescriptorWriter::End(std::function<void()> written) {
  if (stopped_) return;
  if (watched_ != nullptr && queued() == 0) {
    written();
  } else {
    on_written_ = std::move(written);
  }
}

DescriptorReader::DescriptorReader(Watched& watched, Multiplexer& to, StreamId stream, std::function<void(int)> on_end)
    : watched_(watched), to_(to), stream_(stream), on_end_(std::move(on_end)) {}

void DescriptorReader::Wait() {
  watched_.WhenReadable([this] {
    if (!sending_) Read();
  });
}

void DescriptorReader::Read() {
  if (ended_) return;
  if (draining_ && left_to_drain_ == 0) return End(0);
  // Kept until the end once something was read: an idle stream has none. Not initialized, as pages that are never used
  // are never there.
  if (!buffer_) buffer_.reset(new char[kReadBytes]);
  ssize_t count = -1;
  do {
    count = ::read(watched_.fd(), buffer_.get(), draining_ ? std::min(left_to_drain_, kReadBytes) : kReadBytes);
  } while (count < 0 && errno == EINTR);
  if (count == 0) return End(0);
  if (count < 0) return errno != EAGAIN ? End(errno) : draining_ ? End(0) : Wait();
  if (draining_) left_to_drain_ -= static_cast<size_t>(count);
  if (discard_) return draining_ ? Read() : Wait();
  sending_ = true;
  const std::string_view bytes(buffer_.get(), static_cast<size_t>(count));
  to_.Write(stream_, bytes, [buffer = buffer_, alive = std::weak_ptr<DescriptorReader*>(alive_)] {
    const auto self = alive.lock();
    if (!self) return;
    (*self)->sending_ = false;
    (*self)->Read();
  });
}

void DescriptorReader::Discard() {
  discard_ = true;
}

void DescriptorReader::Drain() {
  if (ended_) return;
  int available = 0;
  if (::ioctl(watched_.fd(), FIONREAD, &available) != 0) available = 0;
  left_to_drain_ = static_cast<size_t>(std::max(available, 0));
  draining_ = true;
  if (!sending_) Read();
}

void DescriptorReader::End(int error) {
  ended_ = true;
  on_end_(error);
}

}  // namespace cri::streaming
