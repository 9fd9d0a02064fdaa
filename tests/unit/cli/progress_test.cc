#include "cli/progress.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

namespace cli {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(Progress, PlainLinesHoldNoControlCharacters) {
  std::ostringstream out;
  {
    Progress progress(out, 0);
    progress.OnLayers({{"sha256:aaaa", 1000, false}, {"sha256:bbbb", 5, true}});
    progress.OnReceived("sha256:aaaa", 500);
    progress.OnComplete("sha256:aaaa");
    progress.OnComplete("sha256:aaaa");
  }
  EXPECT_EQ(out.str(),
            "Copying blob aaaa of 1kB\n"
            "Copying blob bbbb skipped: already exists\n"
            "Copying blob aaaa done\n");
}

TEST(Progress, ABarFitsItsTerminalAndIsErasedAtTheEnd) {
  std::ostringstream out;
  {
    Progress progress(out, 60);
    progress.OnLayers({{"sha256:aaaa", 1000, false}});
    progress.OnReceived("sha256:aaaa", 500);
  }
  EXPECT_THAT(out.str(), HasSubstr("Copying blob aaaa [="));
  EXPECT_THAT(out.str(), HasSubstr("] 500B / 1kB\n"));
  EXPECT_EQ(out.str().find('\n'), 59U);
  EXPECT_TRUE(out.str().ends_with("\x1b[1F\x1b[J"));
}

TEST(Progress, AnAnswerOfMoreThanStatedDoesNotOverflowTheBar) {
  std::ostringstream out;
  Progress progress(out, 60);
  progress.OnLayers({{"sha256:aaaa", 10, false}});
  progress.OnReceived("sha256:aaaa", 100000);
  EXPECT_EQ(out.str().find('\n'), 59U);
  EXPECT_THAT(out.str(), Not(HasSubstr(">")));
}

TEST(Progress, ALayerThatWasNotAnnouncedIsLeftOut) {
  std::ostringstream out;
  Progress progress(out, 60);
  progress.OnReceived("sha256:cccc", 1);
  progress.OnComplete("sha256:cccc");
  EXPECT_EQ(out.str(), "");
}

}  // namespace
}  // namespace cli
