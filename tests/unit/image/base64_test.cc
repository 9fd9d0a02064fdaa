#include "image/base64.h"

#include <gtest/gtest.h>

namespace image {
namespace {

TEST(Base64, GoesBothWays) {
  const std::string all = std::string("\0\xff\x80", 3) + "any carnal pleas";
  for (size_t size = 0; size <= all.size(); ++size) {
    const std::string bytes = all.substr(0, size);
    EXPECT_EQ(DecodeBase64(EncodeBase64(bytes)), bytes);
  }
  EXPECT_EQ(EncodeBase64("user:secret"), "dXNlcjpzZWNyZXQ=");
  EXPECT_EQ(DecodeBase64(""), "");
}

TEST(Base64, AnythingElseIsRefused) {
  for (const char* text : {"Zg", "Zg=", "Zg==\n", " Zg==", "Z===", "====", "Zg==Zg==", "Z=g=", "Zm9v-_==", "Zm9*"}) {
    EXPECT_EQ(DecodeBase64(text), std::nullopt) << text;
  }
}

}  // namespace
}  // namespace image
