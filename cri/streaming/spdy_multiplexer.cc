#include "cri/streaming/spdy_multiplexer.h"

namespace cri::streaming {

SpdyMultiplexer::SpdyMultiplexer(asio::io_context& io, std::shared_ptr<Transport> transport,
                                 std::chrono::milliseconds idle_timeout)
    : Multiplexer(io, std::move(transport), idle_timeout), parser_(*this) {}

void SpdyMultiplexer::Write(StreamId id, std::string_view bytes, std::function<void()> done) {
  const auto stream = streams_.find(id);
  if (stream == streams_.end() || stream->second.local_end) return;
  Send(spdy::DataFrameHeader(id, bytes.size(), /*end=*/false), bytes, std::move(done));
}

void SpdyMultiplexer::End(StreamId id) {
  const auto stream = streams_.find(id);
  if (stream == streams_.end() || stream->second.local_end) return;
  Send(spdy::DataFrameHeader(id, 0, /*end=*/true));
  stream->second.local_end = true;
  if (stream->second.remote_end) streams_.erase(stream);
}

void SpdyMultiplexer::Reset(StreamId id) {
  if (streams_.erase(id) > 0) Send(spdy::ResetFrame(id, spdy::ResetReason::kCancel));
}

base::Status SpdyMultiplexer::Receive(std::string_view bytes, bool) {
  return parser_.Feed(bytes);
}

// The streams that are still open end with the connection; without a reset a client would wait for them (spdystream
// closes a connection only when it has no streams).
std::string SpdyMultiplexer::Farewell(bool clean) {
  std::string frames;
  for (const auto& [id, stream] : streams_) {
    if (!stream.local_end) frames += spdy::ResetFrame(id, spdy::ResetReason::kCancel);
  }
  streams_.clear();
  return frames + spdy::GoAwayFrame(last_id_, clean ? spdy::GoAwayReason::kOk : spdy::GoAwayReason::kProtocolError);
}

void SpdyMultiplexer::OnSynStream(StreamId id, bool end, const Headers& headers) {
  if (handler() == nullptr || going_away_) return;
  // Clients' streams have odd ids, each higher than the last (section 2.3.2).
  if (id % 2 == 0 || id <= last_id_) {
    if (streams_.erase(id) > 0) handler()->OnReset(id);
    Send(spdy::ResetFrame(id, spdy::ResetReason::kProtocolError));
    return;
  }
  last_id_ = id;
  if (streams_.size() >= kMostStreams || !handler()->OnOpen(id, headers)) {
    Send(spdy::ResetFrame(id, spdy::ResetReason::kRefusedStream));
    return;
  }
  streams_[id];
  Send(spdy::SynReplyFrame(id, compressor_));
  if (end) RemoteEnd(id);
}

void SpdyMultiplexer::OnHeaders(StreamId id, bool end, const Headers&) {
  if (end) RemoteEnd(id);
}

// Frames of streams that are not open any more may have been under way when they were closed.
void SpdyMultiplexer::OnData(StreamId id, bool end, std::string_view bytes) {
  const auto stream = streams_.find(id);
  if (stream == streams_.end() || stream->second.remote_end || handler() == nullptr) return;
  if (!bytes.empty()) handler()->OnData(id, bytes);
  if (end) RemoteEnd(id);
}

void SpdyMultiplexer::RemoteEnd(StreamId id) {
  const auto stream = streams_.find(id);
  if (stream == streams_.end() || stream->second.remote_end || handler() == nullptr) return;
  if (stream->second.local_end) {
    streams_.erase(stream);
  } else {
    stream->second.remote_end = true;
  }
  handler()->OnEnd(id);
}

void SpdyMultiplexer::OnReset(StreamId id) {
  if (streams_.erase(id) > 0 && handler() != nullptr) handler()->OnReset(id);
}

// Pings of this end, of which there are none, would have even ids.
void SpdyMultiplexer::OnPing(uint32_t id) {
  if (id % 2 == 1) Send(spdy::PingFrame(id));
}

}  // namespace cri::streaming
