// Non-blocking descriptors of processes and pods in the I/O thread.
#pragma once

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/post.hpp>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "cri/streaming/multiplexer.h"

namespace cri::streaming {

// A descriptor that is somebody else's, registered for waiting. It must outlive the registration.
class Watched {
 public:
  explicit Watched(asio::io_context& io) : descriptor_(io) {}
  ~Watched() { Forget(); }
  Watched(const Watched&) = delete;
  Watched& operator=(const Watched&) = delete;

  void Watch(int fd);
  // Waits end without their function being called.
  void Forget();
  int fd() { return descriptor_.native_handle(); }
  bool watching() const { return descriptor_.is_open(); }

  void WhenReadable(std::function<void()> then) { Wait(asio::posix::stream_descriptor::wait_read, std::move(then)); }
  void WhenWritable(std::function<void()> then) { Wait(asio::posix::stream_descriptor::wait_write, std::move(then)); }

 private:
  void Wait(asio::posix::stream_descriptor::wait_type what, std::function<void()> then);

  asio::posix::stream_descriptor descriptor_;
  std::shared_ptr<int> generation_ = std::make_shared<int>(0);
};

// Writes what a client sends to a descriptor, as fast as that takes it.
class DescriptorWriter {
 public:
  // `on_room` is called when some of what was queued has been written.
  explicit DescriptorWriter(std::function<void()> on_room) : on_room_(std::move(on_room)) {}

  // Until then everything is queued. `watched` must outlive this, or Stop() be called before its end.
  void Start(Watched& watched);
  // From now on everything is dropped, as it is when nobody can read it any more.
  void Stop();

  void Write(std::string_view bytes);
  // Calls `written` when all has been written, but not after Stop(). Nothing may be written afterwards.
  void End(std::function<void()> written);

  size_t queued() const { return queue_.size() - written_; }

 private:
  void WriteQueued();
  void WaitForRoom();
  // How much of `bytes` the descriptor took.
  size_t TryWrite(std::string_view bytes);

  const std::function<void()> on_room_;
  Watched* watched_ = nullptr;
  bool stopped_ = false, waiting_ = false;
  std::string queue_;
  size_t written_ = 0;  // bytes at the front of queue_
  std::function<void()> on_written_;
};

// Sends what can be read from a descriptor to a client, as fast as that takes it: one piece at a time.
class DescriptorReader {
 public:
  // `on_end` is called once, when all has been read and sent; the error is 0 at the end of file.
  DescriptorReader(Watched& watched, Multiplexer& to, StreamId stream, std::function<void(int error)> on_end);
  void Start() { Wait(); }
  // Drops what is read from now on.
  void Discard();
  // Reads and sends what is there now, and calls on_end then, whether or not more could follow.
  void Drain();
  bool ended() const { return ended_; }

 private:
  void Wait();
  void Read();
  void End(int error);

  Watched& watched_;
  Multiplexer& to_;
  const StreamId stream_;
  const std::function<void(int)> on_end_;
  bool discard_ = false, sending_ = false, draining_ = false, ended_ = false;
  size_t left_to_drain_ = 0;
  std::shared_ptr<DescriptorReader*> alive_ = std::make_shared<DescriptorReader*>(this);
  std::shared_ptr<char[]> buffer_;
};

}  // namespace cri::streaming
