#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "nspawn/machine.h"

namespace nspawn {
namespace {

using ::testing::MatchesRegex;

constexpr char kId[] = "0123456789abcdef0123456789abcdef";

TEST(ReadableNameTest, PartsComeFirstAndAShortIdLast) {
  EXPECT_EQ(ReadableName({"default", "web"}, kId), "default-web-0123456789ab");
  EXPECT_EQ(ReadableName({"kube-system", "coredns-7d9", "coredns"}, kId),
            "kube-system-coredns-7d9-coredns-0123456789ab");
}

TEST(ReadableNameTest, HostilePartsBecomeHarmless) {
  EXPECT_EQ(ReadableName({"../../etc", "a b\n[Service]", "%n$x\\"}, kId), "etc-a-b-service-n-x-0123456789ab");
  EXPECT_EQ(ReadableName({"Upper.Case_x"}, kId), "upper-case-x-0123456789ab");
  EXPECT_EQ(ReadableName({"---", "", "\xc3\xbc"}, kId), "0123456789ab");
  EXPECT_EQ(ReadableName({}, kId), "0123456789ab");
}

TEST(ReadableNameTest, LongNamesAreCutFairlyTo64Characters) {
  const std::string ns(63, 'n');
  const std::string pod(253, 'p');
  const std::string name = ReadableName({ns, pod, "app"}, kId);
  EXPECT_EQ(name.size(), 64U);
  EXPECT_THAT(name, MatchesRegex("n+-p+-app-0123456789ab"));
  for (size_t length = 0; length < 300; ++length) {
    const std::string cut = ReadableName({std::string(length, 'a') + "-" + std::string(length, 'b'), pod}, kId);
    EXPECT_LE(cut.size(), 64U);
    EXPECT_THAT(cut, MatchesRegex("[a-z0-9]+(-[a-z0-9]+)*-0123456789ab"));
  }
  const std::vector<std::string> many(100, "part");
  EXPECT_LE(ReadableName(many, kId).size(), 64U);
}

TEST(ReadableNameTest, NamesOfOneKindDifferByTheirIds) {
  EXPECT_NE(ReadableName({"a", "b"}, "0123456789ab"), ReadableName({"a", "b"}, "0123456789ac"));
}

}  // namespace
}  // namespace nspawn
