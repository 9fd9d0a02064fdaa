// Where time goes: spans, in two forms that may both be on. A file has them in Chrome's trace event format, which
// chrome://tracing and ui.perfetto.dev show; an exporter (cri/trace_export.h) gets them as OpenTelemetry has them.
//
// Costs one relaxed load for each span while neither is on. Times are microseconds of CLOCK_MONOTONIC, as systemd has
// them in its own "…TimestampMonotonic" properties.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace base {

namespace trace_internal {
extern std::atomic<bool> tracing;
}

inline bool Tracing() {
  return trace_internal::tracing.load(std::memory_order_relaxed);
}

// Which span of which trace something belongs to (W3C Trace Context, section 3.2).
struct TraceContext {
  std::array<uint8_t, 16> trace_id{};  // all zero: no trace
  std::array<uint8_t, 8> span_id{};    // all zero: no span
  bool sampled = false;                // whether it is exported

  bool operator==(const TraceContext&) const = default;
};

// The value of a "traceparent" header; nothing when it is not valid or of version ff.
std::optional<TraceContext> ParseTraceParent(std::string_view header);

// A span that is over.
struct TraceEvent {
  TraceContext context;
  std::array<uint8_t, 8> parent{};  // all zero: it has none
  std::string category, name, of;
  int64_t begin = 0;
  int64_t end = 0;
  std::optional<std::string> error;  // what it failed with
};

// Takes spans of all threads, at their ends. Must not block for long, nor make spans itself.
class TraceExporter {
 public:
  virtual ~TraceExporter() = default;
  virtual void Export(TraceEvent event) = 0;
};

// Begins a trace in `path`, which is emptied. Events are appended one by one, so that the file can be looked at while
// it grows and is whole up to a kill. To be called once, before there are threads.
Status StartTrace(const std::string& path);

// From now on `exporter` gets the spans of traces that are sampled: those whose caller says so, and of each million of
// spans without a caller `sampled_per_million`. nullptr ends that. An exporter must live until no span is left that
// began before.
void SetTraceExporter(TraceExporter* exporter, uint32_t sampled_per_million);

int64_t TraceNow();

// Reports a span that another process was in, below the span that this thread is in. `track` names the row of the
// file that it is shown in, below this process's threads.
void TraceSpanOf(int track, std::string_view category, std::string_view name, std::string_view of, int64_t begin,
                 int64_t end);

// The span that this thread is in.
TraceContext CurrentTrace();

// While it lives, spans of this thread are children of `parent`: of a span in another process or thread.
class TraceParent {
 public:
  explicit TraceParent(const TraceContext& parent);
  ~TraceParent();
  TraceParent(const TraceParent&) = delete;
  TraceParent& operator=(const TraceParent&) = delete;

 private:
  TraceContext outer_;
};

// A span of this thread, from construction to destruction. `of` says what it is about: a unit, a plugin, an id.
class TraceSpan {
 public:
  TraceSpan(std::string_view category, std::string_view name, std::string_view of = {}) {
    if (Tracing()) Begin(category, name, of);
  }
  ~TraceSpan() {
    if (event_) End();
  }
  TraceSpan(const TraceSpan&) = delete;
  TraceSpan& operator=(const TraceSpan&) = delete;

  // Marks what it covers as failed.
  void Fail(std::string_view message) {
    if (event_) event_->error = message;
  }

 private:
  void Begin(std::string_view category, std::string_view name, std::string_view of);
  void End();

  std::optional<TraceEvent> event_;
  TraceContext outer_;
};

}  // namespace base
