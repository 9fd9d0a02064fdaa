#include "cri/filters.h"

#include <gtest/gtest.h>

namespace cri {
namespace {

TEST(MatchesLabels, WantsEveryPairOfTheSelector) {
  StringMap labels;
  labels["app"] = "web";
  labels["tier"] = "front";
  StringMap selector;
  EXPECT_TRUE(MatchesLabels(labels, selector));
  selector["app"] = "web";
  EXPECT_TRUE(MatchesLabels(labels, selector));
  selector["tier"] = "back";
  EXPECT_FALSE(MatchesLabels(labels, selector));
  selector.erase("tier");
  selector["missing"] = "";
  EXPECT_FALSE(MatchesLabels(labels, selector));
}

TEST(MatchesId, TakesTheBeginningOfAnId) {
  EXPECT_TRUE(MatchesId("abcdef", ""));
  EXPECT_TRUE(MatchesId("abcdef", "abc"));
  EXPECT_TRUE(MatchesId("abcdef", "abcdef"));
  EXPECT_FALSE(MatchesId("abcdef", "abd"));
  EXPECT_FALSE(MatchesId("abcdef", "abcdefg"));
}

}  // namespace
}  // namespace cri
