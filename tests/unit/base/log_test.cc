#include "base/log.h"

#include <gtest/gtest.h>

namespace base {
namespace {

std::string Logged(std::string_view message) {
  testing::internal::CaptureStderr();
  Log(LogLevel::kInfo, message, {{"OWN", "field"}});
  return testing::internal::GetCapturedStderr();
}

TEST(Log, LinesCarryTheFieldsOfTheirScopes) {
  const LogScope outer;
  AddLogField("RPC", "Start");
  {
    const LogScope inner;
    AddLogField("ID", "1");
    AddLogField("RPC", "Start");
    EXPECT_EQ(Logged("text"), "<6>text OWN=field RPC=Start ID=1\n");
  }
  EXPECT_EQ(Logged("text"), "<6>text OWN=field RPC=Start\n");
}

TEST(Log, TextFromOutsideCannotMakeLinesOfItsOwn) {
  EXPECT_EQ(Logged("a\n<3>forged\x1b[2J"), "<6>a\\x0a<3>forged\\x1b[2J OWN=field\n");
}

TEST(Log, LinesBelowTheLevelAreDropped) {
  SetLogLevel(LogLevel::kWarning);
  EXPECT_EQ(Logged("text"), "");
  SetLogLevel(LogLevel::kInfo);
}

}  // namespace
}  // namespace base
