// <csignal> stands first on purpose: its macros must not get into the generated header, and must be there afterwards.
#include <csignal>
//
#include <gtest/gtest.h>

#include "proto/runtime.pb.h"

namespace {

TEST(SignalMacros, AreHiddenFromTheGeneratedHeaderOnly) {
  runtime::v1::Signal signal{};
  ASSERT_TRUE(runtime::v1::Signal_Parse("SIGTERM", &signal));
  EXPECT_EQ(static_cast<int>(signal), 23);
  EXPECT_EQ(runtime::v1::Signal_Name(signal), "SIGTERM");
  EXPECT_EQ(SIGTERM, 15);
  EXPECT_GE(SIGRTMAX, 64);
}

}  // namespace
