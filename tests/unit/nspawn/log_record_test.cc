#include "nspawn/log_record.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <ctime>
#include <string>
#include <vector>

#include "base/text.h"

namespace nspawn {
namespace {

// 2006-01-02T15:04:05.000000007Z
constexpr int64_t kTime = 1136214245'000000007;

class LogRecords : public testing::Test {
 protected:
  void SetUp() override { SetZone("UTC0"); }
  void TearDown() override { SetZone("UTC0"); }
  static void SetZone(const char* zone) {
    ::setenv("TZ", zone, 1);
    ::tzset();
  }
  // The records of `input`, each as "tag text", and how much of it they stand for.
  std::vector<std::string> Format(std::string_view input, bool end, size_t* used) {
    *used = formatter_.Format(LogStream::kStdout, kTime, input, end);
    std::vector<std::string> result;
    for (const std::string_view line : base::Split(formatter_.records(), '\n')) {
      constexpr std::string_view kHeader = "2006-01-02T15:04:05.000000007Z stdout ";
      if (line.starts_with(kHeader)) {
        result.emplace_back(line.substr(kHeader.size()));
      } else {
        EXPECT_EQ(line, "");
      }
    }
    return result;
  }
  RecordFormatter formatter_;
  size_t used_ = 0;
};

TEST_F(LogRecords, TimesAreRfc3339WithNanoseconds) {
  EXPECT_EQ(FormatLogTime(kTime), "2006-01-02T15:04:05.000000007Z");
  EXPECT_EQ(FormatLogTime(999'999'999), "1970-01-01T00:00:00.999999999Z");
  SetZone("XXX-05:30");
  EXPECT_EQ(FormatLogTime(kTime), "2006-01-02T20:34:05.000000007+05:30");
  SetZone("XXX3:30");
  EXPECT_EQ(FormatLogTime(kTime), "2006-01-02T11:34:05.000000007-03:30");
}

TEST_F(LogRecords, EveryLineIsOneFullRecord) {
  EXPECT_EQ(Format("one\n\nthree \n", false, &used_), (std::vector<std::string>{"F one", "F ", "F three "}));
  EXPECT_EQ(used_, 12u);
  formatter_.Format(LogStream::kStderr, kTime, "x\n", false);
  EXPECT_EQ(formatter_.records(), "2006-01-02T15:04:05.000000007Z stderr F x\n");
}

TEST_F(LogRecords, AnUnfinishedLineWaitsUnlessItIsTheEnd) {
  EXPECT_EQ(Format("one\ntw", false, &used_), std::vector<std::string>{"F one"});
  EXPECT_EQ(used_, 4u);
  EXPECT_EQ(Format("one\ntw", true, &used_), (std::vector<std::string>{"F one", "P tw"}));
  EXPECT_EQ(used_, 6u);
  EXPECT_TRUE(Format("", true, &used_).empty());
}

TEST_F(LogRecords, ACarriageReturnBeforeTheNewlineIsDropped) {
  EXPECT_EQ(Format("a\r\n\r\nb\rc\n\r\r\n", false, &used_), (std::vector<std::string>{"F a", "F ", "F b\rc", "F \r"}));
}

TEST_F(LogRecords, ALineOfExactly16KibIsNotSplit) {
  const std::string text(kMostRecordText, 'x');
  EXPECT_EQ(Format(text + "\n", false, &used_), std::vector<std::string>{"F " + text});
  EXPECT_EQ(Format(text + "\r\n", false, &used_), std::vector<std::string>{"F " + text});
  EXPECT_EQ(used_, text.size() + 2);
  // Whether it is one cannot be known yet.
  EXPECT_TRUE(Format(text, false, &used_).empty());
  EXPECT_TRUE(Format(text + "\r", false, &used_).empty());
  EXPECT_EQ(Format(text, true, &used_), std::vector<std::string>{"P " + text});
}

TEST_F(LogRecords, ALongerLineIsSplitAt16Kib) {
  const std::string text(kMostRecordText, 'x');
  EXPECT_EQ(Format(text + "y\n", false, &used_), (std::vector<std::string>{"P " + text, "F y"}));
  EXPECT_EQ(Format(text + text + "\n", false, &used_), (std::vector<std::string>{"P " + text, "F " + text}));
  EXPECT_EQ(Format(text + text + "z\n", false, &used_), (std::vector<std::string>{"P " + text, "P " + text, "F z"}));
  EXPECT_EQ(Format(text + "\rz\n", false, &used_), (std::vector<std::string>{"P " + text, "F \rz"}));
  // One byte too many is enough to know.
  EXPECT_EQ(Format(text + "y", false, &used_), std::vector<std::string>{"P " + text});
  EXPECT_EQ(used_, text.size());
  EXPECT_EQ(Format(text + "\r", true, &used_), (std::vector<std::string>{"P " + text, "P \r"}));
}

TEST_F(LogRecords, EveryByteIsTextButTheNewline) {
  std::string text;
  for (int c = 0; c < 256; ++c) {
    if (c != '\n') text += static_cast<char>(c);
  }
  text += 'x';
  formatter_.Format(LogStream::kStdout, kTime, text + "\n", false);
  EXPECT_EQ(formatter_.records(), "2006-01-02T15:04:05.000000007Z stdout F " + text + "\n");
}

TEST_F(LogRecords, MoreThanFitsIsFormattedInSeveralBatches) {
  const std::string input(300'000, '\n');
  size_t done = 0;
  size_t records = 0;
  while (done < input.size()) {
    const auto batch = Format(std::string_view(input).substr(done), false, &used_);
    ASSERT_GT(used_, 0u);
    ASSERT_EQ(batch.size(), used_);
    done += used_;
    records += batch.size();
  }
  EXPECT_EQ(records, input.size());
}

}  // namespace
}  // namespace nspawn
