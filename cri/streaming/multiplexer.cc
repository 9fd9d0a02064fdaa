#include "cri/streaming/multiplexer.h"

#include <algorithm>
#include <boost/asio/post.hpp>

namespace cri::streaming {
namespace {

using std::chrono::steady_clock;

// A client that asks for answers (pings, refused streams) and does not read them is not read either.
constexpr size_t kMostQueuedHeads = 64 * 1024;
// A vectored write takes 64 parts at once (asio).
constexpr size_t kMostInOneWrite = 32;
// How often a client that is not being read is looked after: whether it is still there. WebSocket clients of Kubernetes
// give up after a minute without a sign of life.
constexpr std::chrono::seconds kPausedInterval{10};
// How long a client may take to read the last bytes and to close its side.
constexpr std::chrono::seconds kCloseTimeout{5};

}  // namespace

Multiplexer::Multiplexer(asio::io_context& io, std::shared_ptr<Transport> transport,
                         std::chrono::milliseconds idle_timeout)
    : transport_(std::move(transport)),
      idle_timeout_(idle_timeout),
      received_(new char[kReceiveBytes]),  // not initialized: pages that are never used are never there
      idle_timer_(io),
      paused_timer_(io) {}

void Multiplexer::Start(StreamHandler& handler, std::string received) {
  handler_ = &handler;
  last_activity_ = steady_clock::now();
  WatchIdle();
  reading_ = true;
  asio::post(idle_timer_.get_executor(), [this, self = shared_from_this(), received = std::move(received)] {
    if (state_ == State::kOpen) Begin();
    if (!received.empty()) Received(received, /*end_of_message=*/false);
    reading_ = false;
    ReadMore();
  });
}

void Multiplexer::Received(std::string_view bytes, bool end_of_message) {
  if (state_ != State::kOpen) return;
  last_activity_ = steady_clock::now();
  const base::Status status = Receive(bytes, end_of_message);
  if (!status.ok() && state_ == State::kOpen) Fail(status.error(), /*clean=*/false);
}

void Multiplexer::ReadMore() {
  if (reading_ || state_ == State::kEnded) return;
  if (state_ != State::kClosing && (paused_ || queued_heads_ > kMostQueuedHeads)) {
    WatchPaused();
    return;
  }
  reading_ = true;
  transport_->Read(asio::buffer(received_.get(), kReceiveBytes),
                   [this, self = shared_from_this()](error_code error, size_t size, bool end_of_message) {
                     if (error) {
                       reading_ = false;
                       Fail({base::Code::kCancelled, "the client is gone: " + error.message()}, /*clean=*/true);
                       return;
                     }
                     // Reading goes on only afterwards, since it would overwrite what is being parsed.
                     Received({received_.get(), size}, end_of_message);
                     reading_ = false;
                     ReadMore();
                   });
}

void Multiplexer::Resume() {
  paused_ = false;
  ReadMore();
}

void Multiplexer::Send(std::string head, std::string_view bytes, std::function<void()> done) {
  if (state_ != State::kOpen) return;
  queued_heads_ += head.size();
  outgoing_.push_back({std::move(head), bytes, std::move(done)});
  WriteMore();
}

void Multiplexer::WriteMore() {
  if (writing_ || state_ == State::kClosing || state_ == State::kEnded) return;
  if (outgoing_.empty()) {
    if (state_ == State::kFinishing) Close();
    return;
  }
  std::vector<asio::const_buffer> buffers;
  const size_t count = IsByteStream() ? std::min(outgoing_.size(), kMostInOneWrite) : 1;
  for (size_t i = 0; i < count; ++i) {
    buffers.push_back(asio::buffer(outgoing_[i].head));
    if (!outgoing_[i].bytes.empty()) buffers.push_back(asio::buffer(outgoing_[i].bytes));
  }
  writing_ = true;
  transport_->Write(buffers, [this, self = shared_from_this(), count](error_code error) {
    writing_ = false;
    if (error) {
      Fail({base::Code::kCancelled, "the client is gone: " + error.message()}, /*clean=*/true);
    } else if (state_ != State::kEnded) {
      Wrote(count);
    }
  });
}

void Multiplexer::Wrote(size_t count) {
  last_activity_ = steady_clock::now();
  std::vector<std::function<void()>> done;
  for (size_t i = 0; i < count; ++i) {
    queued_heads_ -= outgoing_.front().head.size();
    if (outgoing_.front().done) done.push_back(std::move(outgoing_.front().done));
    outgoing_.pop_front();
  }
  for (const auto& each : done) each();
  WriteMore();
  ReadMore();
}

void Multiplexer::Fail(const base::Error& why, bool clean) {
  StreamHandler* const handler = std::exchange(handler_, nullptr);
  if (clean) {
    Abort();
  } else {
    SendFarewell(/*clean=*/false);
    state_ = State::kFinishing;
    idle_timeout_ = kCloseTimeout;
    WatchIdle();
    WriteMore();
  }
  if (handler != nullptr) handler->OnGone(why);
}

void Multiplexer::SendFarewell(bool clean) {
  if (std::string farewell = Farewell(clean); !farewell.empty()) Send(std::move(farewell));
}

void Multiplexer::Finish() {
  if (state_ != State::kOpen) return;
  handler_ = nullptr;
  SendFarewell(/*clean=*/true);
  state_ = State::kFinishing;
  WriteMore();
}

void Multiplexer::Close() {
  state_ = State::kClosing;
  paused_timer_.cancel();
  idle_timeout_ = kCloseTimeout;
  last_activity_ = steady_clock::now();
  WatchIdle();
  transport_->Finish();
  ReadMore();
}

void Multiplexer::Abort() {
  if (state_ == State::kEnded) return;
  state_ = State::kEnded;
  handler_ = nullptr;
  idle_timer_.cancel();
  paused_timer_.cancel();
  transport_->Abort();
  // What is being written keeps its memory until the write has ended.
  if (!writing_) outgoing_.clear();
}

void Multiplexer::WatchIdle() {
  idle_timer_.expires_at(last_activity_ + idle_timeout_);
  idle_timer_.async_wait([weak = weak_from_this()](error_code error) {
    const auto self = weak.lock();
    if (error || !self || self->state_ == State::kEnded) return;
    if (steady_clock::now() - self->last_activity_ < self->idle_timeout_) {
      self->WatchIdle();
    } else {
      self->Fail({base::Code::kDeadlineExceeded, "nothing was sent or received for too long"}, /*clean=*/true);
    }
  });
}

void Multiplexer::WatchPaused() {
  if (watching_paused_) return;
  watching_paused_ = true;
  paused_timer_.expires_after(kPausedInterval);
  paused_timer_.async_wait([weak = weak_from_this()](error_code error) {
    const auto self = weak.lock();
    if (!self) return;
    self->watching_paused_ = false;
    if (error || self->reading_ || self->state_ == State::kEnded) return;
    if (self->transport_->OtherEndClosed()) {
      self->Fail({base::Code::kCancelled, "the client is gone"}, /*clean=*/true);
      return;
    }
    self->transport_->KeepAlive();
    self->WatchPaused();
  });
}

}  // namespace cri::streaming
