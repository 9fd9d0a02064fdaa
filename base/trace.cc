#include "base/trace.h"

#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include "base/files.h"
#include "base/json.h"

namespace base {

std::atomic<int> trace_internal::trace_file{-1};

namespace {

void Write(int track, std::string_view category, std::string_view name, std::string_view of, int64_t begin,
           int64_t end) {
  Json event = {{"ph", "X"},    {"pid", ::getpid()}, {"tid", track},      {"cat", category},
                {"name", name}, {"ts", begin},       {"dur", end - begin}};
  if (!of.empty()) event["args"] = {{"of", of}};
  // In one call, so that events of several threads do not mix. The format takes a list without its end.
  const std::string line = JsonText(event) + ",\n";
  [[maybe_unused]] const ssize_t put = ::write(trace_internal::trace_file, line.data(), line.size());
}

}  // namespace

Status StartTrace(const std::string& path) {
  UniqueFd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600));
  if (!file) return ErrnoError("open the trace " + path);
  RETURN_IF_ERROR(WriteAll(file.get(), "[\n").Wrap("begin the trace " + path));
  trace_internal::trace_file = file.release();
  return Ok();
}

int64_t TraceNow() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1'000'000 + now.tv_nsec / 1000;
}

void TraceSpanOf(int track, std::string_view category, std::string_view name, std::string_view of, int64_t begin,
                 int64_t end) {
  if (Tracing()) Write(track, category, name, of, begin, end);
}

void TraceSpan::Begin(std::string_view category, std::string_view name, std::string_view of) {
  category_ = category;
  name_ = name;
  of_ = of;
  begin_ = TraceNow();
}

void TraceSpan::End() const {
  Write(::gettid(), category_, name_, of_, begin_, TraceNow());
}

}  // namespace base
