#include "nspawn/signal_name.h"

#include <gtest/gtest.h>
#include <signal.h>

namespace nspawn {
namespace {

TEST(SignalNameTest, NamesAndNumbersAreUnderstood) {
  EXPECT_EQ(SignalNumber("SIGTERM"), SIGTERM);
  EXPECT_EQ(SignalNumber("TERM"), SIGTERM);
  EXPECT_EQ(SignalNumber("sigusr1"), SIGUSR1);
  EXPECT_EQ(SignalNumber("15"), SIGTERM);
  EXPECT_EQ(SignalNumber("SIGRTMIN"), SIGRTMIN);
  EXPECT_EQ(SignalNumber("SIGRTMIN+3"), SIGRTMIN + 3);
  EXPECT_EQ(SignalNumber("RTMAX-2"), SIGRTMAX - 2);
  EXPECT_EQ(SignalNumber("64"), 64);
  EXPECT_EQ(SignalNumber("SIGIOT"), SIGABRT);
  EXPECT_EQ(SignalNumber("SIGCLD"), SIGCHLD);
  EXPECT_EQ(SignalNumber("IO"), SIGIO);
}

TEST(SignalNameTest, WhatIsNoSignalIsRefused) {
  for (const char* name : {"", "SIG", "0", "65", "-1", "SIGNOPE", "RTMIN-1", "RTMAX+1", "RTMIN+31", "RTMIN+", "15 ",
                           "SIGSIGTERM", "99999999999999999999"}) {
    EXPECT_FALSE(SignalNumber(name).has_value()) << name;
  }
}

TEST(SignalNameTest, NamesReadBack) {
  for (int signal = 1; signal <= SIGRTMAX; ++signal) {
    if (signal >= 32 && signal < SIGRTMIN) continue;
    EXPECT_EQ(SignalNumber(SignalName(signal)), signal) << SignalName(signal);
  }
}

}  // namespace
}  // namespace nspawn
