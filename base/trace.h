// Where time goes: spans in Chrome's trace event format, which chrome://tracing and ui.perfetto.dev show.
//
// Costs one relaxed load for each span while no trace is written. Times are microseconds of CLOCK_MONOTONIC, as systemd
// has them in its own "…TimestampMonotonic" properties.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace base {

namespace trace_internal {
extern std::atomic<int> trace_file;  // -1: none
}

inline bool Tracing() {
  return trace_internal::trace_file.load(std::memory_order_relaxed) >= 0;
}

// Begins a trace in `path`, which is emptied. Events are appended one by one, so that the file can be looked at while
// it grows and is whole up to a kill. To be called once, before there are threads.
Status StartTrace(const std::string& path);

int64_t TraceNow();

// Reports a span that another process was in. `track` names the row that it is shown in, below this process's threads.
void TraceSpanOf(int track, std::string_view category, std::string_view name, std::string_view of, int64_t begin,
                 int64_t end);

// A span of this thread, from construction to destruction. `of` says what it is about: a unit, a plugin, an id.
class TraceSpan {
 public:
  TraceSpan(std::string_view category, std::string_view name, std::string_view of = {}) {
    if (Tracing()) Begin(category, name, of);
  }
  ~TraceSpan() {
    if (begin_ >= 0) End();
  }
  TraceSpan(const TraceSpan&) = delete;
  TraceSpan& operator=(const TraceSpan&) = delete;

 private:
  void Begin(std::string_view category, std::string_view name, std::string_view of);
  void End() const;

  int64_t begin_ = -1;
  std::string category_, name_, of_;
};

}  // namespace base
