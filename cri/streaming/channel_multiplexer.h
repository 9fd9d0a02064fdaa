// Streams as channels of a WebSocket, numbered from 0. All are open from the start.
#pragma once

#include <optional>

#include "cri/streaming/channel_parser.h"
#include "cri/streaming/multiplexer.h"

namespace cri::streaming {

struct Channel {
  Headers headers;  // what a SPDY client would have opened the stream with
  // The first message on it, even when it is empty: it shows the client that the connection stands.
  std::optional<std::string> greeting;
};

class ChannelMultiplexer final : public Multiplexer, private ChannelReceiver {
 public:
  // `has_close_signal` as of ChannelParser.
  ChannelMultiplexer(asio::io_context& io, std::shared_ptr<Transport> transport, std::chrono::milliseconds idle_timeout,
                     ChannelEncoding encoding, bool has_close_signal, std::vector<Channel> channels);

  void Write(StreamId id, std::string_view bytes, std::function<void()> done) override;
  // The protocols have nothing to tell the client this.
  void End(StreamId) override {}
  void Reset(StreamId) override {}
  bool CanHalfClose() const override { return false; }

 private:
  base::Status Receive(std::string_view bytes, bool end_of_message) override;
  std::string Farewell(bool) override { return {}; }
  bool IsByteStream() const override { return false; }
  void Begin() override;

  void OnChannelData(uint8_t channel, std::string_view bytes) override;
  void OnChannelEnd(uint8_t channel) override;

  const ChannelEncoding encoding_;
  ChannelParser parser_;
  const std::vector<Channel> channels_;
  std::vector<bool> ended_;  // by the client
};

}  // namespace cri::streaming
