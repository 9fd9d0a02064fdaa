#include "cri/streaming/channel_parser.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace cri::streaming {
namespace {

using testing::HasSubstr;

class Recorder final : public ChannelReceiver {
 public:
  void OnChannelData(uint8_t channel, std::string_view bytes) override {
    text += "[" + std::to_string(channel) + "]" + std::string(bytes);
  }
  void OnChannelEnd(uint8_t channel) override { text += "[" + std::to_string(channel) + " END]"; }
  std::string text;
};

struct Protocol {
  ChannelEncoding encoding;
  bool has_close_signal;
};
constexpr Protocol kV4{ChannelEncoding::kBinary, false}, kV5{ChannelEncoding::kBinary, true},
    kBase64{ChannelEncoding::kBase64, false};

// What is told of whole messages; each comes in pieces of `piece` bytes.
std::string Parsed(const Protocol& protocol, const std::vector<std::string>& messages, size_t piece = 1000) {
  Recorder recorder;
  ChannelParser parser(protocol.encoding, protocol.has_close_signal, recorder);
  for (const std::string& message : messages) {
    std::string_view rest = message;
    do {
      const std::string_view part = rest.substr(0, piece);
      rest.remove_prefix(part.size());
      const base::Status status = parser.Feed(part, rest.empty());
      if (!status.ok()) return recorder.text + " ERROR " + status.error().message();
    } while (!rest.empty());
  }
  return recorder.text;
}

std::string Message(uint8_t channel, const std::string& bytes) {
  return ChannelHead(channel) + bytes;
}

TEST(Channels, BytesGoToTheChannelThatTheMessageNames) {
  EXPECT_EQ(Parsed(kV4, {Message(0, "in"), Message(4, "{}"), Message(0, "")}), "[0]in[4]{}");
  EXPECT_EQ(Parsed(kV4, {Message(0, "abc"), Message(1, "d")}, 1), "[0]a[0]b[0]c[1]d");
}

TEST(Channels, EmptyMessagesMeanNothing) {
  EXPECT_EQ(Parsed(kV5, {"", Message(0, "x"), ""}), "[0]x");
}

TEST(Channels, InV5AMessageEndsAChannel) {
  EXPECT_EQ(Parsed(kV5, {Message(0, "x"), Message(255, Message(0, ""))}), "[0]x[0 END]");
  EXPECT_EQ(Parsed(kV5, {Message(255, Message(7, ""))}, 1), "[7 END]");
  EXPECT_EQ(Parsed(kV4, {Message(255, Message(0, ""))}), std::string("[255]") + '\0');
}

TEST(Channels, AMalformedEndIsRefused) {
  EXPECT_THAT(Parsed(kV5, {Message(255, "")}), HasSubstr("ERROR malformed message: no channel to close"));
  EXPECT_THAT(Parsed(kV5, {Message(255, "\1\2")}), HasSubstr("ERROR malformed message: bytes after"));
}

TEST(Channels, Base64IsDecodedInPiecesOfAnySize) {
  for (const size_t piece : {1, 2, 3, 5, 100}) {
    std::string text = Parsed(kBase64, {"0Zm9vCg==", "4", "1Zm9v", "0Zm8="}, piece);
    for (size_t at = 0; (at = text.find("[0]", at)) != std::string::npos;) text.erase(at, 3);
    EXPECT_EQ(text, "foo\n[1]foofo") << piece;
  }
}

TEST(Channels, WhatIsNoBase64IsRefused) {
  EXPECT_THAT(Parsed(kBase64, {"0Zm9*"}), HasSubstr("ERROR malformed message: no base64"));
  EXPECT_THAT(Parsed(kBase64, {"0Z==="}), HasSubstr("ERROR malformed message: no base64"));
  EXPECT_THAT(Parsed(kBase64, {"0Z=9v"}), HasSubstr("ERROR malformed message: no base64"));
  EXPECT_THAT(Parsed(kBase64, {"0Zm9"}), HasSubstr("ERROR malformed message: the base64 is cut off"));
  EXPECT_THAT(Parsed(kBase64, {"0Zm8=Zm8="}), HasSubstr("ERROR malformed message: base64 after its padding"));
  EXPECT_THAT(Parsed(kBase64, {"0Zm8=Zm8="}, 1), HasSubstr("ERROR malformed message: base64 after its padding"));
}

TEST(Channels, WrittenBase64IsReadBack) {
  std::string bytes;
  for (int i = 0; i < 256; ++i) {
    bytes.push_back(static_cast<char>(i));
    EXPECT_EQ(Parsed(kBase64, {Base64ChannelMessage(2, bytes)}), "[2]" + bytes);
  }
  EXPECT_EQ(Base64ChannelMessage(1, ""), "1");
  EXPECT_EQ(Base64ChannelMessage(1, "foo\n"), "1Zm9vCg==");
}

}  // namespace
}  // namespace cri::streaming
