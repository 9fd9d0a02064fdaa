#include "cri/streaming/spdy_frame.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "spdy_bytes.h"

namespace cri::streaming::spdy {
namespace {

using testing::HasSubstr;

// What a receiver is told of `bytes`, which come in pieces of `piece` bytes.
std::string Parsed(std::string_view bytes, size_t piece) {
  Recorder recorder;
  FrameParser parser(recorder);
  for (; !bytes.empty(); bytes.remove_prefix(std::min(piece, bytes.size()))) {
    const base::Status status = parser.Feed(bytes.substr(0, piece));
    if (!status.ok()) return recorder.text + "\nERROR " + status.error().message();
  }
  return recorder.text;
}
std::string Refusal(std::string_view bytes) {
  const std::string parsed = Parsed(bytes, bytes.size());
  return parsed.find("ERROR ") == std::string::npos ? "not refused" : parsed;
}

TEST(SpdyFrames, AreReadInPiecesOfAnySize) {
  HeaderCompressor compressor;
  // Compressed in this order.
  std::string bytes = SynStreamFrame(1, {{"streamtype", "error"}}, compressor);
  bytes += SynStreamFrame(3, {{"streamtype", "stdin"}}, compressor, /*flags=*/1);
  bytes += DataFrame(1, "hello") + DataFrame(1, " world") + PingFrame(7) + DataFrame(3, "", true) +
           DataFrame(1, "!", true) + ResetFrame(3, ResetReason::kCancel) + GoAwayFrame(3, GoAwayReason::kOk);
  const std::string expected =
      "SYN_STREAM 1 streamtype=error\n"
      "SYN_STREAM 3 streamtype=stdin END\n"
      "DATA 1 hello world\n"
      "PING 7\n"
      "DATA 3  END\n"
      "DATA 1 ! END\n"
      "RST_STREAM 3\n"
      "GOAWAY";
  for (const size_t piece : {size_t{1}, size_t{3}, size_t{7}, size_t{8}, size_t{64}, bytes.size()}) {
    EXPECT_EQ(Parsed(bytes, piece), expected) << piece;
  }
}

TEST(SpdyFrames, ThoseOfAServerAreReadByAClient) {
  HeaderCompressor compressor;
  std::string bytes = SynReplyFrame(1, compressor);
  bytes += SynReplyFrame(3, compressor);
  EXPECT_EQ(Parsed(bytes, 5), "SYN_REPLY 1\nSYN_REPLY 3");
}

TEST(SpdyFrames, ThatKubernetesDoesNotNeedArePassedOver) {
  EXPECT_EQ(Parsed(ControlFrame(4, Number(1) + Number(7) + Number(65536)) +  // SETTINGS
                       ControlFrame(9, Number(1) + Number(1000)) +           // WINDOW_UPDATE
                       ControlFrame(99, "unknown") + ControlFrame(99, "") + PingFrame(1),
                   4),
            "PING 1");
}

TEST(SpdyFrames, HugeDataIsPassedOnAsItComes) {
  Recorder recorder;
  FrameParser parser(recorder);
  ASSERT_TRUE(parser.Feed(DataFrameHeader(1, 0xffffff, true)).ok());
  ASSERT_TRUE(parser.Feed("only the beginning").ok());
  EXPECT_EQ(recorder.text, "DATA 1 only the beginning");
}

TEST(SpdyFrames, OversizedControlFramesAreRefusedByTheirHeader) {
  EXPECT_THAT(Refusal(Number(0x80030001) + Number(16 * 1024 + 1)), HasSubstr("a control frame of 16385 bytes"));
  EXPECT_THAT(Refusal(Number(0x80030063) + Number(0xffffff)), HasSubstr("a control frame of 16777215 bytes"));
}

TEST(SpdyFrames, OfAnotherVersionAreRefused) {
  EXPECT_THAT(Refusal(ControlFrame(6, Number(1), 0, 2)), HasSubstr("version 2"));
  EXPECT_THAT(Refusal("GET / HTTP/1.1\r\n\r\n\x80"), HasSubstr("not refused"));  // data of stream 0x47455420
}

TEST(SpdyFrames, OfTheWrongSizeAreRefused) {
  HeaderCompressor compressor;
  EXPECT_THAT(Refusal(ControlFrame(1, "short")), HasSubstr("a short SYN_STREAM"));
  EXPECT_THAT(Refusal(ControlFrame(2, "abc")), HasSubstr("a short SYN_REPLY"));
  EXPECT_THAT(Refusal(ControlFrame(8, "abc")), HasSubstr("a short HEADERS"));
  EXPECT_THAT(Refusal(ControlFrame(3, Number(1))), HasSubstr("RST_STREAM"));
  EXPECT_THAT(Refusal(ControlFrame(4, Number(9) + Number(7) + Number(1))), HasSubstr("SETTINGS"));
  EXPECT_THAT(Refusal(ControlFrame(6, "12345")), HasSubstr("PING"));
  EXPECT_THAT(Refusal(ControlFrame(7, Number(1))), HasSubstr("GOAWAY"));
  EXPECT_THAT(Refusal(ControlFrame(9, "")), HasSubstr("WINDOW_UPDATE"));
}

TEST(SpdyFrames, OfStreamZeroAreRefused) {
  HeaderCompressor compressor;
  EXPECT_THAT(Refusal(DataFrame(0, "x")), HasSubstr("data of stream 0"));
  EXPECT_THAT(Refusal(SynStreamFrame(0, {}, compressor)), HasSubstr("stream id 0"));
  EXPECT_THAT(Refusal(SynStreamFrame(0x80000001, {}, compressor)), HasSubstr("stream id"));
  EXPECT_THAT(Refusal(ControlFrame(3, Number(0) + Number(5))), HasSubstr("RST_STREAM"));
}

TEST(SpdyFrames, AHeaderBombIsRefused) {
  HeaderCompressor compressor;
  EXPECT_THAT(Refusal(SynStreamFrame(1, {{"a", std::string(1 << 20, 'x')}}, compressor)), HasSubstr("16 KiB"));
}

}  // namespace
}  // namespace cri::streaming::spdy
