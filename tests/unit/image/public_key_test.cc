#include "image/public_key.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "test_key.h"

namespace image {
namespace {

using testing::HasSubstr;

TEST(PublicKey, VerifiesItsOwnSignaturesAlone) {
  for (const TestKey::Kind kind :
       {TestKey::Kind::kP256, TestKey::Kind::kP384, TestKey::Kind::kRsa, TestKey::Kind::kEd25519}) {
    const TestKey key(kind);
    const auto parsed = PublicKey::Parse(key.Public());
    ASSERT_TRUE(parsed.ok()) << parsed.error().message();
    const std::string signature = key.Sign("message");
    EXPECT_TRUE(parsed->Verifies("message", signature));
    EXPECT_FALSE(parsed->Verifies("massage", signature));
    EXPECT_FALSE(parsed->Verifies("message", TestKey(kind).Sign("message")));
    for (const std::string& broken : {std::string(), signature.substr(1), signature + '\0', std::string(10000, 'x')}) {
      EXPECT_FALSE(parsed->Verifies("message", broken));
    }
  }
}

TEST(PublicKey, OfALargerCurveTakesTheCurvesHashToo) {
  const TestKey key(TestKey::Kind::kP384);
  const auto parsed = PublicKey::Parse(key.Public());
  ASSERT_TRUE(parsed.ok());
  EXPECT_TRUE(parsed->Verifies("message", key.Sign("message", EVP_sha384())));
  EXPECT_FALSE(parsed->Verifies("message", key.Sign("message", EVP_sha1())));
}

TEST(PublicKey, WhatIsNoneOrTooWeakIsRefused) {
  const auto why = [](const std::string& pem) {
    const auto key = PublicKey::Parse(pem);
    return key.ok() ? "accepted" : key.error().message();
  };
  const std::string good = TestKey().Public();
  EXPECT_THAT(why(""), HasSubstr("no PEM file"));
  EXPECT_THAT(why("-----BEGIN CERTIFICATE-----\n"), HasSubstr("no public key"));
  EXPECT_THAT(why("-----BEGIN PRIVATE KEY-----\n"), HasSubstr("no public key"));
  EXPECT_THAT(why(good.substr(0, good.size() / 2)), HasSubstr("broken"));
  EXPECT_THAT(why(good + good), HasSubstr("more than one key"));
  EXPECT_THAT(why(TestKey(TestKey::Kind::kRsa1024).Public()), HasSubstr("1024 bits"));
  EXPECT_THAT(why(TestKey(TestKey::Kind::kSecp256k1).Public()), HasSubstr("another curve"));
}

}  // namespace
}  // namespace image
