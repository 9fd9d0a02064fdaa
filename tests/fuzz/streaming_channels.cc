#include <algorithm>
#include <map>
#include <string>

#include "cri/streaming/channel_parser.h"
#include "tests/fuzz/fuzz.h"

namespace {

class Receiver final : public cri::streaming::ChannelReceiver {
 public:
  void OnChannelData(uint8_t channel, std::string_view bytes) override {
    fuzz::Require(!bytes.empty(), "data is something");
    channels[channel] += bytes;
  }
  void OnChannelEnd(uint8_t channel) override { channels[channel] += "<end>"; }

  std::map<uint8_t, std::string> channels;
};

// The input is a sequence of messages, each after its length in one byte.
bool Parse(std::string_view bytes, size_t piece, bool base64, bool has_close_signal, Receiver& receiver) {
  cri::streaming::ChannelParser parser(
      base64 ? cri::streaming::ChannelEncoding::kBase64 : cri::streaming::ChannelEncoding::kBinary, has_close_signal,
      receiver);
  while (!bytes.empty()) {
    std::string_view message = bytes.substr(1, static_cast<unsigned char>(bytes[0]));
    bytes.remove_prefix(1 + message.size());
    do {
      const std::string_view part = message.substr(0, piece);
      message.remove_prefix(part.size());
      if (!parser.Feed(part, message.empty()).ok()) return false;
    } while (!message.empty());
  }
  return true;
}

}  // namespace

// Messages mean the same in whatever pieces they come, and what is written is read back.
int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const bool base64 = (data[0] & 1) != 0;
  const bool has_close_signal = (data[0] & 2) != 0;
  const std::string_view bytes = fuzz::Text(data + 1, size - 1);
  Receiver whole;
  Receiver in_pieces;
  const bool good = Parse(bytes, 256, base64, has_close_signal, whole);
  fuzz::Require(Parse(bytes, size_t{1} + (data[0] >> 4), base64, has_close_signal, in_pieces) == good,
                "pieces are as good as the whole");
  if (good) fuzz::Require(whole.channels == in_pieces.channels, "pieces say what the whole says");

  Receiver read_back;
  cri::streaming::ChannelParser parser(cri::streaming::ChannelEncoding::kBase64, false, read_back);
  fuzz::Require(parser.Feed(cri::streaming::Base64ChannelMessage(1, bytes), true).ok(), "written base64 is right");
  fuzz::Require(read_back.channels[1] == bytes, "base64 is read as it was written");
  return 0;
}
