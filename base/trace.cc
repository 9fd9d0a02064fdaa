#include "base/trace.h"

#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <random>

#include "base/files.h"
#include "base/json.h"

namespace base {

std::atomic<bool> trace_internal::tracing{false};

namespace {

std::atomic<int> trace_file{-1};
std::atomic<TraceExporter*> trace_exporter{nullptr};
std::atomic<uint32_t> sampled_of_a_million{0};
thread_local TraceContext current;

constexpr uint32_t kMillion = 1'000'000;

std::mt19937_64& Random() {
  thread_local std::mt19937_64 random{std::random_device{}()};
  return random;
}

template <size_t kSize>
std::array<uint8_t, kSize> RandomId() {
  std::array<uint8_t, kSize> id;
  for (size_t i = 0; i < kSize; i += 8) {
    const uint64_t bits = Random()() | 1;  // all zero is no id
    for (size_t j = 0; j < 8; ++j) id[i + j] = static_cast<uint8_t>(bits >> (8 * j));
  }
  return id;
}

TraceContext ChildOf(const TraceContext& parent) {
  TraceContext child = parent;
  child.span_id = RandomId<8>();
  if (child.trace_id == std::array<uint8_t, 16>{}) {
    child.trace_id = RandomId<16>();
    child.sampled = Random()() % kMillion < sampled_of_a_million;
  }
  return child;
}

void Write(int track, const TraceEvent& event) {
  Json json = {{"ph", "X"},
               {"pid", ::getpid()},
               {"tid", track},
               {"cat", event.category},
               {"name", event.name},
               {"ts", event.begin},
               {"dur", event.end - event.begin}};
  if (!event.of.empty()) json["args"]["of"] = event.of;
  if (event.error) json["args"]["error"] = *event.error;
  // In one call, so that events of several threads do not mix. The format takes a list without its end.
  const std::string line = JsonText(json) + ",\n";
  [[maybe_unused]] const ssize_t put = ::write(trace_file, line.data(), line.size());
}

void Finish(int track, TraceEvent event) {
  if (trace_file >= 0) Write(track, event);
  if (TraceExporter* const exporter = trace_exporter; exporter != nullptr && event.context.sampled) {
    exporter->Export(std::move(event));
  }
}

std::optional<uint8_t> HexDigit(char digit) {
  if (digit >= '0' && digit <= '9') return static_cast<uint8_t>(digit - '0');
  // Upper case is not valid there.
  if (digit >= 'a' && digit <= 'f') return static_cast<uint8_t>(digit - 'a' + 10);
  return std::nullopt;
}

template <size_t kSize>
bool ParseHex(std::string_view text, std::array<uint8_t, kSize>& bytes) {
  for (size_t i = 0; i < kSize; ++i) {
    const auto high = HexDigit(text[2 * i]);
    const auto low = HexDigit(text[2 * i + 1]);
    if (!high || !low) return false;
    bytes[i] = static_cast<uint8_t>(*high << 4 | *low);
  }
  return true;
}

}  // namespace

std::optional<TraceContext> ParseTraceParent(std::string_view header) {
  // VERSION-TRACE-PARENT-FLAGS; a later version may add to it, after another hyphen.
  constexpr size_t kLength = 55;
  if (header.size() < kLength || header[2] != '-' || header[35] != '-' || header[52] != '-') return std::nullopt;
  std::array<uint8_t, 1> version;
  std::array<uint8_t, 1> flags;
  TraceContext context;
  if (!ParseHex(header.substr(0, 2), version) || !ParseHex(header.substr(3, 32), context.trace_id) ||
      !ParseHex(header.substr(36, 16), context.span_id) || !ParseHex(header.substr(53, 2), flags)) {
    return std::nullopt;
  }
  if (version[0] == 0xff || (version[0] == 0 && header.size() != kLength)) return std::nullopt;
  if (header.size() > kLength && header[kLength] != '-') return std::nullopt;
  if (context.trace_id == std::array<uint8_t, 16>{} || context.span_id == std::array<uint8_t, 8>{}) return std::nullopt;
  context.sampled = (flags[0] & 1) != 0;
  return context;
}

Status StartTrace(const std::string& path) {
  UniqueFd file(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600));
  if (!file) return ErrnoError("open the trace " + path);
  RETURN_IF_ERROR(WriteAll(file.get(), "[\n").Wrap("begin the trace " + path));
  trace_file = file.release();
  trace_internal::tracing = true;
  return Ok();
}

void SetTraceExporter(TraceExporter* exporter, uint32_t sampled_per_million) {
  sampled_of_a_million = std::min(sampled_per_million, kMillion);
  trace_exporter = exporter;
  trace_internal::tracing = exporter != nullptr || trace_file >= 0;
}

int64_t TraceNow() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return int64_t{now.tv_sec} * 1'000'000 + now.tv_nsec / 1000;
}

void TraceSpanOf(int track, std::string_view category, std::string_view name, std::string_view of, int64_t begin,
                 int64_t end) {
  if (!Tracing()) return;
  TraceEvent event{
      ChildOf(current), current.span_id, std::string(category), std::string(name), std::string(of), begin, end, {}};
  Finish(track, std::move(event));
}

TraceContext CurrentTrace() {
  return current;
}

TraceParent::TraceParent(const TraceContext& parent) : outer_(current) {
  current = parent;
}

TraceParent::~TraceParent() {
  current = outer_;
}

void TraceSpan::Begin(std::string_view category, std::string_view name, std::string_view of) {
  outer_ = current;
  current = ChildOf(outer_);
  event_ =
      TraceEvent{current, outer_.span_id, std::string(category), std::string(name), std::string(of), TraceNow(), 0, {}};
}

void TraceSpan::End() {
  current = outer_;
  event_->end = TraceNow();
  Finish(::gettid(), *std::move(event_));
}

}  // namespace base
