#include "cri/streaming/channel_multiplexer.h"

namespace cri::streaming {

ChannelMultiplexer::ChannelMultiplexer(asio::io_context& io, std::shared_ptr<Transport> transport,
                                       std::chrono::milliseconds idle_timeout, ChannelEncoding encoding,
                                       bool has_close_signal, std::vector<Channel> channels)
    : Multiplexer(io, std::move(transport), idle_timeout),
      encoding_(encoding),
      parser_(encoding, has_close_signal, *this),
      channels_(std::move(channels)),
      ended_(channels_.size()) {}

void ChannelMultiplexer::Begin() {
  for (StreamId id = 0; id < channels_.size() && handler() != nullptr; ++id) {
    if (!handler()->OnOpen(id, channels_[id].headers)) ended_[id] = true;
  }
  for (StreamId id = 0; id < channels_.size(); ++id) {
    if (channels_[id].greeting) Write(id, *channels_[id].greeting, {});
  }
}

void ChannelMultiplexer::Write(StreamId id, std::string_view bytes, std::function<void()> done) {
  const auto channel = static_cast<uint8_t>(id);
  if (encoding_ == ChannelEncoding::kBase64) {
    Send(Base64ChannelMessage(channel, bytes), {}, std::move(done));
  } else {
    Send(ChannelHead(channel), bytes, std::move(done));
  }
}

base::Status ChannelMultiplexer::Receive(std::string_view bytes, bool end_of_message) {
  return parser_.Feed(bytes, end_of_message);
}

// Messages to channels that there are not are passed over, as other servers do.
void ChannelMultiplexer::OnChannelData(uint8_t channel, std::string_view bytes) {
  if (channel < ended_.size() && !ended_[channel] && handler() != nullptr) handler()->OnData(channel, bytes);
}

void ChannelMultiplexer::OnChannelEnd(uint8_t channel) {
  if (channel >= ended_.size() || ended_[channel] || handler() == nullptr) return;
  ended_[channel] = true;
  handler()->OnEnd(channel);
}

}  // namespace cri::streaming
