#include "base/text.h"

#include <gtest/gtest.h>

namespace base {
namespace {

TEST(Printable, EscapesTerminalSequencesAndBrokenUtf8) {
  EXPECT_EQ(Printable("plain \xC3\xA4"), "plain \xC3\xA4");
  EXPECT_EQ(Printable("\x1b[31mred\n"), "\\x1b[31mred\\x0a");
  EXPECT_EQ(Printable("\xC2\x9b"
                      "31m"),
            "\\xc2\\x9b31m");
  EXPECT_EQ(Printable("\xFF"), "\\xff");
  EXPECT_EQ(Printable("\xE2\x82"), "\\xe2\\x82");
  EXPECT_EQ(Printable("abcdef", 3), "abc...");
}

TEST(ParseUnsigned, TakesDigitsOnlyAndRefusesOverflow) {
  EXPECT_EQ(ParseUnsigned("0"), 0u);
  EXPECT_EQ(ParseUnsigned("18446744073709551615"), UINT64_MAX);
  EXPECT_FALSE(ParseUnsigned("18446744073709551616"));
  EXPECT_FALSE(ParseUnsigned(""));
  EXPECT_FALSE(ParseUnsigned("-1"));
  EXPECT_FALSE(ParseUnsigned("1 "));
}

TEST(Split, KeepsEmptyParts) {
  EXPECT_EQ(Split("a::b", ':'), (std::vector<std::string_view>{"a", "", "b"}));
  EXPECT_EQ(Split("", ':').size(), 1u);
}

TEST(RandomHex, GivesTwoCharactersAByteAndNotTheSameTwice) {
  EXPECT_EQ(RandomHex(32).size(), 64u);
  EXPECT_NE(RandomHex(32), RandomHex(32));
}

}  // namespace
}  // namespace base
