#include "image/challenge.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace image {
namespace {

using testing::ElementsAre;
using testing::Pair;

TEST(Challenge, ReadsABearerChallenge) {
  const auto challenges = ParseChallenges(
      "Bearer realm=\"https://auth.example/token\",service=\"registry\",scope=\"repository:a/b:pull,push\"");
  ASSERT_EQ(challenges.size(), 1u);
  EXPECT_EQ(challenges[0].scheme, "bearer");
  EXPECT_THAT(challenges[0].parameters,
              ElementsAre(Pair("realm", "https://auth.example/token"), Pair("scope", "repository:a/b:pull,push"),
                          Pair("service", "registry")));
}

TEST(Challenge, ReadsSeveralInOneHeader) {
  const auto challenges =
      ParseChallenges("Negotiate, BASIC Realm = \"a \\\"quoted\\\" realm\" , Bearer realm=plain , x=1");
  ASSERT_EQ(challenges.size(), 3u);
  EXPECT_EQ(challenges[0].scheme, "negotiate");
  EXPECT_EQ(challenges[1].scheme, "basic");
  EXPECT_EQ(challenges[1].parameters.at("realm"), "a \"quoted\" realm");
  EXPECT_THAT(challenges[2].parameters, ElementsAre(Pair("realm", "plain"), Pair("x", "1")));
}

TEST(Challenge, LivesThroughNonsense) {
  for (const char* text :
       {"", ",,,", "=", "Bearer realm=", "Bearer realm=\"open", "\"\"", "a=b", "Bearer \x01\x02", "\\"}) {
    ParseChallenges(text);
  }
  EXPECT_TRUE(ParseChallenges("a=b").empty()) << "a parameter without a scheme";
  EXPECT_EQ(ParseChallenges("Bearer realm=\"open")[0].parameters.at("realm"), "open");
}

}  // namespace
}  // namespace image
