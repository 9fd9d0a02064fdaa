#include "base/trace.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/files.h"
#include "base/json.h"

namespace base {
namespace {

TEST(Trace, SpansAreEventsOfTheListInTheFile) {
  char path[] = "/tmp/trace_test.XXXXXX";
  const UniqueFd file(::mkstemp(path));
  ASSERT_TRUE(file);
  { const TraceSpan before("test", "not traced"); }
  ASSERT_FALSE(Tracing());
  ASSERT_TRUE(StartTrace(path).ok());
  ASSERT_TRUE(Tracing());
  const int64_t begin = TraceNow();
  {
    const TraceSpan outer("test", "outer", "\"quoted\"\n");
    const TraceSpan inner("test", "inner");
  }
  TraceSpanOf(7, "other", "elsewhere", "", 100, 250);

  std::string text = *ReadFile(path, 1 << 16);
  ::unlink(path);
  // The list is open at its end, as it may be in this format.
  ASSERT_TRUE(text.starts_with("[\n") && text.ends_with(",\n")) << text;
  const auto list = ParseJson(text.substr(0, text.size() - 2) + "]");
  ASSERT_TRUE(list.ok()) << text;
  ASSERT_EQ(list->size(), 3U);
  EXPECT_EQ((*list)[0]["name"], "inner");
  EXPECT_EQ((*list)[1]["name"], "outer");
  EXPECT_EQ((*list)[1]["args"]["of"], "\"quoted\"\n");
  EXPECT_EQ((*list)[1]["ph"], "X");
  EXPECT_GE((*list)[1]["ts"], begin);
  EXPECT_GE((*list)[0]["ts"], (*list)[1]["ts"]);
  EXPECT_EQ((*list)[2]["tid"], 7);
  EXPECT_EQ((*list)[2]["ts"], 100);
  EXPECT_EQ((*list)[2]["dur"], 150);
}

}  // namespace
}  // namespace base
