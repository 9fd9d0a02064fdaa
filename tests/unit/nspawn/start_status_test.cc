#include "nspawn/start_status.h"

#include <gtest/gtest.h>

namespace nspawn {
namespace {

TEST(StartStatus, AnErrorReadsBack) {
  const base::Error error = base::NotFound("exec: \"nope\": executable file not found in $PATH");
  EXPECT_EQ(FormatStartError(error), "error NotFound: exec: \"nope\": executable file not found in $PATH");
  const auto parsed = ParseStartError(FormatStartError(error));
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->code(), base::Code::kNotFound);
  EXPECT_EQ(parsed->message(), error.message());
}

TEST(StartStatus, EveryCodeReadsBack) {
  for (int code = 1; code <= 16; ++code) {
    const auto parsed = ParseStartError(FormatStartError({static_cast<base::Code>(code), "m"}));
    ASSERT_TRUE(parsed);
    EXPECT_EQ(parsed->code(), static_cast<base::Code>(code));
  }
}

TEST(StartStatus, IsOneLineOfPrintableText) {
  EXPECT_EQ(FormatStartError(base::Internal("a\nREADY=1\x1b")), "error Internal: a\\x0aREADY=1\\x1b");
}

TEST(StartStatus, OtherTextsAreNoErrors) {
  EXPECT_FALSE(ParseStartError(kStartedStatus));
  EXPECT_FALSE(ParseStartError(""));
  EXPECT_FALSE(ParseStartError("error"));
  EXPECT_FALSE(ParseStartError("error NotFound"));
}

TEST(StartStatus, AnUnknownCodeNameStaysAnError) {
  const auto parsed = ParseStartError("error Newer: message");
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->code(), base::Code::kUnknown);
  EXPECT_EQ(parsed->message(), "message");
}

}  // namespace
}  // namespace nspawn
