#include "base/trace.h"

#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/files.h"
#include "base/json.h"

namespace base {
namespace {

// Keeps what it gets.
class Kept : public TraceExporter {
 public:
  void Export(TraceEvent event) override { events.push_back(std::move(event)); }
  std::vector<TraceEvent> events;
};

constexpr char kSampled[] = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

TEST(Trace, AParentIsReadFromItsHeader) {
  const auto context = ParseTraceParent(kSampled);
  ASSERT_TRUE(context);
  EXPECT_EQ(context->trace_id[0], 0x0a);
  EXPECT_EQ(context->trace_id[15], 0x9c);
  EXPECT_EQ(context->span_id[0], 0xb7);
  EXPECT_EQ(context->span_id[7], 0x31);
  EXPECT_TRUE(context->sampled);
  EXPECT_FALSE(ParseTraceParent("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00")->sampled);
  // A version to come may add to it.
  EXPECT_TRUE(ParseTraceParent("01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more"));
}

TEST(Trace, AHeaderThatIsNoneIsNoParent) {
  for (const char* header : {
           "",
           "00",
           "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
           "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
           "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01more",
           "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
           "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
           "00-0af7651916cd43dd8448eb211c80319g-b7ad6b7169203331-01",
           "00-00000000000000000000000000000000-b7ad6b7169203331-01",
           "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
           "00_0af7651916cd43dd8448eb211c80319c_b7ad6b7169203331_01",
       }) {
    EXPECT_FALSE(ParseTraceParent(header)) << header;
  }
}

TEST(Trace, SpansThatAreExportedKnowTheirParents) {
  Kept kept;
  SetTraceExporter(&kept, 0);
  {
    const TraceParent caller(*ParseTraceParent(kSampled));
    TraceSpan outer("test", "outer");
    outer.Fail("it went wrong");
    {
      const TraceSpan inner("test", "inner");
      TraceSpanOf(7, "other", "elsewhere", "unit", 100, 250);
    }
    const TraceSpan second("test", "second");
  }
  SetTraceExporter(nullptr, 0);
  ASSERT_EQ(kept.events.size(), 4U);
  const TraceEvent& elsewhere = kept.events[0];
  const TraceEvent& inner = kept.events[1];
  const TraceEvent& second = kept.events[2];
  const TraceEvent& outer = kept.events[3];
  EXPECT_EQ(elsewhere.name, "elsewhere");
  EXPECT_EQ(elsewhere.parent, inner.context.span_id);
  EXPECT_EQ(inner.parent, outer.context.span_id);
  EXPECT_EQ(second.parent, outer.context.span_id);
  EXPECT_EQ(outer.parent, ParseTraceParent(kSampled)->span_id);
  EXPECT_EQ(outer.error, "it went wrong");
  for (const TraceEvent& event : kept.events) EXPECT_EQ(event.context.trace_id, ParseTraceParent(kSampled)->trace_id);
  EXPECT_EQ(CurrentTrace(), TraceContext());
}

TEST(Trace, WhetherSpansAreExportedIsTheCallersToSay) {
  Kept kept;
  SetTraceExporter(&kept, 1'000'000);
  {
    const TraceParent caller(*ParseTraceParent("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"));
    const TraceSpan span("test", "not sampled");
  }
  EXPECT_TRUE(kept.events.empty());
  { const TraceSpan span("test", "without a caller"); }
  EXPECT_EQ(kept.events.size(), 1U);
  SetTraceExporter(&kept, 0);
  { const TraceSpan span("test", "without a caller"); }
  EXPECT_EQ(kept.events.size(), 1U);
  SetTraceExporter(nullptr, 0);
  EXPECT_FALSE(Tracing());
}

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
