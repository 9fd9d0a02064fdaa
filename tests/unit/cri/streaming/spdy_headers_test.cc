#include "cri/streaming/spdy_headers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace cri::streaming::spdy {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

std::string Refusal(HeaderDecompressor& decompressor, std::string_view block) {
  const auto headers = decompressor.Decompress(block);
  if (headers.ok()) return "not refused";
  EXPECT_EQ(headers.error().code(), base::Code::kInvalidArgument);
  return headers.error().message();
}
// Of a block whose compression is right.
std::string Refusal(const Headers& headers) {
  HeaderDecompressor decompressor;
  return Refusal(decompressor, HeaderCompressor().Compress(headers));
}

TEST(SpdyHeaders, ReadWhatIsWrittenBlockAfterBlock) {
  HeaderCompressor compressor;
  HeaderDecompressor decompressor;
  for (const char* const type : {"error", "stdin", "stdout"}) {
    const auto headers = decompressor.Decompress(compressor.Compress({{"streamtype", type}, {"port", "80"}}));
    ASSERT_TRUE(headers.ok()) << headers.error().message();
    EXPECT_THAT(*headers, ElementsAre(Pair("streamtype", type), Pair("port", "80")));
  }
  const auto none = decompressor.Decompress(compressor.Compress({}));
  ASSERT_TRUE(none.ok()) << none.error().message();
  EXPECT_THAT(*none, ElementsAre());
}

// Recorded from client-go 0.36: {"streamType": ["error"]}, the first block of a connection.
TEST(SpdyHeaders, ReadWhatGoWrites) {
  const unsigned char block[] = {0x78, 0xf9, 0xe3, 0xc6, 0xa7, 0xc2, 0x62, 0x60, 0x60, 0x60, 0x04,
                                 0xa7, 0xb3, 0x92, 0xa2, 0xd4, 0xc4, 0x5c, 0x68, 0x51, 0xc2, 0x9a,
                                 0x0a, 0x0a, 0x68, 0x00, 0x00, 0x00, 0x00, 0xff, 0xff};
  const auto headers = HeaderDecompressor().Decompress({reinterpret_cast<const char*>(block), sizeof block});
  ASSERT_TRUE(headers.ok()) << headers.error().message();
  EXPECT_THAT(*headers, ElementsAre(Pair("streamtype", "error")));
}

TEST(SpdyHeaders, OfSeveralValuesTheFirstCounts) {
  const auto headers = HeaderDecompressor().Decompress(HeaderCompressor().Compress({{"a", std::string("1\0002", 3)}}));
  ASSERT_TRUE(headers.ok());
  EXPECT_EQ(HeaderValue(*headers, "a"), "1");
  EXPECT_EQ(HeaderValue(*headers, "b"), "");
}

TEST(SpdyHeaders, ABombIsRefusedBeforeItIsUnpacked) {
  EXPECT_THAT(Refusal({{"a", std::string(8 << 20, 'x')}}), HasSubstr("larger than 16 KiB"));
}

TEST(SpdyHeaders, TooManyAreRefused) {
  Headers headers;
  for (int i = 0; i < 65; ++i) headers.emplace_back("n" + std::to_string(i), "");
  EXPECT_THAT(Refusal(headers), HasSubstr("too many"));
}

TEST(SpdyHeaders, BadNamesAreRefused) {
  EXPECT_THAT(Refusal({{"Upper", "x"}}), HasSubstr("upper case"));
  EXPECT_THAT(Refusal({{"", "x"}}), HasSubstr("empty name"));
  EXPECT_THAT(Refusal({{"a", "x"}, {"a", "y"}}), HasSubstr("twice"));
}

TEST(SpdyHeaders, BrokenCompressionIsRefused) {
  HeaderDecompressor decompressor;
  EXPECT_THAT(Refusal(decompressor, "no zlib stream"), HasSubstr("the compression is broken"));
  std::string block = HeaderCompressor().Compress({{"a", "b"}});
  block[2] ^= 1;  // of the dictionary's checksum
  HeaderDecompressor other;
  EXPECT_THAT(Refusal(other, block), HasSubstr("another dictionary"));
}

TEST(SpdyHeaders, ABlockThatEndsEarlyIsRefused) {
  HeaderDecompressor decompressor;
  EXPECT_THAT(Refusal(decompressor, ""), HasSubstr("no count"));
  const std::string block = HeaderCompressor().Compress({{"name", "a value that is cut off"}});
  HeaderDecompressor other;
  EXPECT_THAT(Refusal(other, std::string_view(block).substr(0, block.size() - 12)), HasSubstr("malformed"));
}

}  // namespace
}  // namespace cri::streaming::spdy
