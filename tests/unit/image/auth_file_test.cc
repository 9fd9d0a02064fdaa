#include "image/auth_file.h"

#include <gtest/gtest.h>

namespace image {
namespace {

using base::Code;

Credentials Find(const std::string& document, const std::string& reference) {
  const auto parsed = ParseReference(reference);
  EXPECT_TRUE(parsed.ok());
  auto found = CredentialsIn(document, *parsed);
  EXPECT_TRUE(found.ok()) << found.error().message();
  return found.ok() ? *found : Credentials();
}

TEST(AuthFile, TheLongestNameWins) {
  const std::string document = R"({"auths":{
    "registry.example":{"auth":"aG9zdA=="},
    "registry.example/team":{"auth":"dGVhbQ=="},
    "registry.example/team/app":{"auth":"YXBw"}}})";
  EXPECT_EQ(Find(document, "registry.example/team/app:1").auth, "YXBw");
  EXPECT_EQ(Find(document, "registry.example/team/other:1").auth, "dGVhbQ==");
  EXPECT_EQ(Find(document, "registry.example/teamwork:1").auth, "aG9zdA==");
  EXPECT_EQ(Find(document, "other.example/team/app:1").auth, "");
}

TEST(AuthFile, DockersRegistryGoesByItsOldName) {
  const std::string document = R"({"auths":{"https://index.docker.io/v1/":{"auth":"eA==","identitytoken":"t"}}})";
  EXPECT_EQ(Find(document, "busybox").auth, "eA==");
  EXPECT_EQ(Find(document, "busybox").identity_token, "t");
  EXPECT_EQ(Find(document, "registry.example/busybox").auth, "");
}

TEST(AuthFile, CredentialsOfAHelperAreRefusedByName) {
  const auto reference = ParseReference("registry.example/app");
  ASSERT_TRUE(reference.ok());
  for (const char* document :
       {R"({"credHelpers":{"registry.example":"pass"}})", R"({"credsStore":"pass","auths":{"registry.example":{}}})"}) {
    const auto found = CredentialsIn(document, *reference);
    ASSERT_FALSE(found.ok()) << document;
    EXPECT_EQ(found.error().code(), Code::kUnimplemented);
  }
}

TEST(AuthFile, ABrokenFileIsRefused) {
  const auto reference = ParseReference("registry.example/app");
  ASSERT_TRUE(reference.ok());
  for (const char* document : {"", "[]", "{\"auths\":"}) {
    EXPECT_EQ(CredentialsIn(document, *reference).error().code(), Code::kDataLoss) << document;
  }
  EXPECT_EQ(Find(R"({"auths":[]})", "registry.example/app").auth, "");
  EXPECT_EQ(Find(R"({"auths":{"registry.example":"x"}})", "registry.example/app").auth, "");
}

}  // namespace
}  // namespace image
