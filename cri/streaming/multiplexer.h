// One client's upgraded connection, which carries several streams: SPDY (SpdyMultiplexer) or channels of a WebSocket
// (ChannelMultiplexer). What they share is here: reading as long as somebody wants it, the queue of what is to be
// written, the idle timeout and the end.
#pragma once

#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "cri/streaming/spdy_headers.h"
#include "cri/streaming/transport.h"

namespace cri::streaming {

using StreamId = uint32_t;

// What a session does with its streams. All calls come in the I/O thread.
class StreamHandler {
 public:
  virtual ~StreamHandler() = default;
  // The client has opened a stream. False refuses it. Nothing may be written to it from within this call.
  virtual bool OnOpen(StreamId id, const Headers& headers) = 0;
  // Must take all of it; Multiplexer::Pause() keeps more from coming, except for what has been received already, less
  // than kReceiveBytes.
  virtual void OnData(StreamId id, std::string_view bytes) = 0;
  // The client sends no more on this stream.
  virtual void OnEnd(StreamId id) = 0;
  // The client wants nothing more of this stream, in either direction.
  virtual void OnReset(StreamId id) = 0;
  // The client is gone, was idle for too long, or broke the protocol. Nothing is called afterwards.
  virtual void OnGone(const base::Error& why) = 0;
};

// Not thread-safe: only for the I/O thread.
class Multiplexer : public std::enable_shared_from_this<Multiplexer> {
 public:
  static constexpr size_t kReceiveBytes = 64 * 1024;

  Multiplexer(asio::io_context& io, std::shared_ptr<Transport> transport, std::chrono::milliseconds idle_timeout);
  virtual ~Multiplexer() = default;

  // Begins to read, and first of all `received`, which came together with the request for the upgrade. `handler` must
  // live until Finish(), Abort() or its OnGone(); it is not called before Start() has returned.
  void Start(StreamHandler& handler, std::string received = {});

  // Sends `bytes`, at most kMostWriteBytes, whose memory `done` must own: it is called when they are written, and only
  // destroyed when the connection ends before.
  static constexpr size_t kMostWriteBytes = 1 << 20;
  virtual void Write(StreamId id, std::string_view bytes, std::function<void()> done) = 0;
  // Nothing more will be written to this stream.
  virtual void End(StreamId id) = 0;
  // Neither written nor wanted any more.
  virtual void Reset(StreamId id) = 0;
  // Whether End() reaches the client while it still may send, and the client's end reaches the handler.
  virtual bool CanHalfClose() const = 0;

  void Pause() { paused_ = true; }
  void Resume();

  // After all that is queued has been written, ends the connection; the handler hears nothing more.
  void Finish();
  // Cuts the connection at once; the handler hears nothing more.
  void Abort();

 protected:
  // Parses what came. An error ends the connection, after `Farewell`.
  virtual base::Status Receive(std::string_view bytes, bool end_of_message) = 0;
  // What to send last; empty: nothing. `clean` is false after an error in the other end's bytes.
  virtual std::string Farewell(bool clean) = 0;
  // Whether several pieces of Send() may be written as one: not when each is a message.
  virtual bool IsByteStream() const = 0;
  // What to do before anything is read.
  virtual void Begin() {}

  // Queues `head` and then `bytes`. On a WebSocket both are one message.
  void Send(std::string head, std::string_view bytes = {}, std::function<void()> done = {});
  // Null once the handler is not to hear anything more.
  StreamHandler* handler() const { return handler_; }

 private:
  struct Outgoing {
    std::string head;
    std::string_view bytes;
    std::function<void()> done;
  };
  void ReadMore();
  void Received(std::string_view bytes, bool end_of_message);
  void WriteMore();
  void Wrote(size_t count);
  void Fail(const base::Error& why, bool clean);
  void SendFarewell(bool clean);
  void Close();
  void WatchIdle();
  void WatchPaused();

  const std::shared_ptr<Transport> transport_;
  std::chrono::milliseconds idle_timeout_;
  StreamHandler* handler_ = nullptr;
  // Finishing: what is queued is still being written. Closing: the client may read on, what it sends is dropped.
  enum class State { kOpen, kFinishing, kClosing, kEnded } state_ = State::kOpen;
  bool paused_ = false, reading_ = false, writing_ = false, watching_paused_ = false;
  const std::unique_ptr<char[]> received_;
  std::deque<Outgoing> outgoing_;
  size_t queued_heads_ = 0;  // bytes of `head` in outgoing_
  std::chrono::steady_clock::time_point last_activity_;
  asio::steady_timer idle_timer_;
  asio::steady_timer paused_timer_;
};

}  // namespace cri::streaming
