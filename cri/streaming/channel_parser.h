// The messages of Kubernetes' WebSocket subprotocols ("channel.k8s.io" to "v5.channel.k8s.io" and their base64
// variants): the first byte names a channel, the rest are its bytes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace cri::streaming {

enum class ChannelEncoding {
  kBinary,
  kBase64,  // the channel is a digit, and the bytes are in base64
};

class ChannelReceiver {
 public:
  virtual ~ChannelReceiver() = default;
  // A part of a message, not empty. Any channel may be named.
  virtual void OnChannelData(uint8_t channel, std::string_view bytes) = 0;
  // No more will come for this channel.
  virtual void OnChannelEnd(uint8_t channel) = 0;
};

// Takes messages in parts as they come, and holds none of them.
class ChannelParser {
 public:
  // `has_close_signal`: a message of byte 255 and a channel ends that channel, as in v5.
  ChannelParser(ChannelEncoding encoding, bool has_close_signal, ChannelReceiver& receiver)
      : encoding_(encoding), has_close_signal_(has_close_signal), receiver_(receiver) {}

  // After an error nothing more can be parsed: the connection must end.
  base::Status Feed(std::string_view bytes, bool end_of_message);

 private:
  base::Status FeedBase64(std::string_view text);

  const ChannelEncoding encoding_;
  const bool has_close_signal_;
  ChannelReceiver& receiver_;
  enum class Expecting { kChannel, kBytes, kNothing, kClosedChannel, kEnd } expecting_ = Expecting::kChannel;
  uint8_t channel_ = 0;
  std::string group_;  // of base64: less than four characters
};

// What stands before the bytes of a message, or the message as a whole in base64.
std::string ChannelHead(uint8_t channel);
std::string Base64ChannelMessage(uint8_t channel, std::string_view bytes);

}  // namespace cri::streaming
