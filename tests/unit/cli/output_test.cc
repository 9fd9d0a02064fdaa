#include "cli/output.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/check_report.h"

namespace cli {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST(Output, SizesHaveThreeDigitsAndDecimalUnits) {
  EXPECT_EQ(FormatSize(0), "0B");
  EXPECT_EQ(FormatSize(999), "999B");
  EXPECT_EQ(FormatSize(1000), "1kB");
  EXPECT_EQ(FormatSize(1'234'567), "1.23MB");
  EXPECT_EQ(FormatSize(45'600'000), "45.6MB");
  EXPECT_EQ(FormatSize(999'600'000), "1GB");
  EXPECT_EQ(FormatSize(UINT64_MAX), "18.4EB");
}

TEST(Output, AShortIdHasNoAlgorithm) {
  EXPECT_EQ(ShortId("sha256:0123456789abcdef0123"), "0123456789abc");
  EXPECT_EQ(ShortId("01234"), "01234");
}

TEST(Output, ATableIsAlignedAndPrintable) {
  EXPECT_EQ(FormatTable({{"NAME", "TAG"}, {"a\x1b[31m", "1"}, {"b", "latest"}}),
            "NAME        TAG\n"
            "a\\x1b[31m   1\n"
            "b           latest\n");
}

TEST(CheckReport, TellsWhatDiffersAndCounts) {
  image::CheckedLayer damaged;
  damaged.diff_id = "sha256:aa";
  damaged.images = {"one:1", "two:2"};
  damaged.state = image::CheckedLayer::State::kDamaged;
  damaged.differences = 3;
  damaged.examples = {"/etc/passwd has another content"};
  damaged.error = "pull it again: not found";
  CheckReport report;
  report.Add({});
  report.Add(damaged);
  EXPECT_THAT(CheckReport::LinesFor({}, false), IsEmpty());
  EXPECT_THAT(CheckReport::LinesFor(damaged, false),
              ElementsAre("sha256:aa damaged (one:1, two:2)", "  /etc/passwd has another content", "  and 2 more",
                          "  not repaired: pull it again: not found"));
  EXPECT_EQ(report.Summary(), "2 layers checked: 1 good, 1 damaged");
  EXPECT_EQ(report.bad(), 1U);
  EXPECT_EQ(report.ToJson()["layers"][1]["state"], "damaged");
}

}  // namespace
}  // namespace cli
