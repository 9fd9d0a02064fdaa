// Streams over SPDY/3.1, on an upgraded HTTP connection or inside a WebSocket.
#pragma once

#include <map>

#include "cri/streaming/multiplexer.h"
#include "cri/streaming/spdy_frame.h"

namespace cri::streaming {

class SpdyMultiplexer final : public Multiplexer, private spdy::FrameReceiver {
 public:
  // A client that opens more is refused the next until one has ended.
  static constexpr size_t kMostStreams = 1000;

  SpdyMultiplexer(asio::io_context& io, std::shared_ptr<Transport> transport, std::chrono::milliseconds idle_timeout);

  void Write(StreamId id, std::string_view bytes, std::function<void()> done) override;
  void End(StreamId id) override;
  void Reset(StreamId id) override;
  bool CanHalfClose() const override { return true; }

 private:
  // Which ends have said that they send no more. With both a stream is gone.
  struct Stream {
    bool local_end = false, remote_end = false;
  };

  base::Status Receive(std::string_view bytes, bool end_of_message) override;
  std::string Farewell(bool clean) override;
  bool IsByteStream() const override { return true; }

  void OnSynStream(StreamId id, bool end, const Headers& headers) override;
  void OnSynReply(StreamId, bool, const Headers&) override {}
  void OnHeaders(StreamId id, bool end, const Headers& headers) override;
  void OnData(StreamId id, bool end, std::string_view bytes) override;
  void OnReset(StreamId id) override;
  void OnPing(uint32_t id) override;
  void OnGoAway() override { going_away_ = true; }

  void RemoteEnd(StreamId id);

  spdy::FrameParser parser_;
  spdy::HeaderCompressor compressor_;
  std::map<StreamId, Stream> streams_;
  StreamId last_id_ = 0;
  bool going_away_ = false;
};

}  // namespace cri::streaming
