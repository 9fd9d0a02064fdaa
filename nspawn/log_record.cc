#include "nspawn/log_record.h"

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <ctime>

namespace nspawn {
namespace {

constexpr int64_t kNanosecondsPerSecond = 1'000'000'000;
// Large enough for a full pipe (64 KiB) of lines of some length in one write.
constexpr size_t kBufferSize = 256 * 1024;

}  // namespace

std::string FormatLogTime(int64_t time) {
  int64_t fraction = time % kNanosecondsPerSecond;
  time_t seconds = time / kNanosecondsPerSecond;
  if (fraction < 0) {
    fraction += kNanosecondsPerSecond;
    --seconds;
  }
  struct tm local {};
  ::localtime_r(&seconds, &local);
  char text[96];
  int size =
      std::snprintf(text, sizeof text, "%04d-%02d-%02dT%02d:%02d:%02d.%09d", local.tm_year + 1900, local.tm_mon + 1,
                    local.tm_mday, local.tm_hour, local.tm_min, local.tm_sec, static_cast<int>(fraction));
  std::string result(text, static_cast<size_t>(size));
  if (local.tm_gmtoff == 0) return result + 'Z';
  const long minutes = std::abs(local.tm_gmtoff) / 60;
  size = std::snprintf(text, sizeof text, "%c%02ld:%02ld", local.tm_gmtoff < 0 ? '-' : '+', minutes / 60, minutes % 60);
  return result.append(text, static_cast<size_t>(size));
}

// Room for the largest record lies behind the size at which a batch ends.
RecordFormatter::RecordFormatter()
    : buffer_(std::make_unique<char[]>(kBufferSize + kHeaderCapacity + kMostRecordText + 1)) {}

char* RecordFormatter::Emit(char* to, std::string_view text, char tag) const {
  std::memcpy(to, header_, kHeaderCapacity);
  to[header_size_ - kTagFromEnd] = tag;
  to += header_size_;
  std::memcpy(to, text.data(), text.size());
  to += text.size();
  *to++ = '\n';
  return to;
}

size_t RecordFormatter::Format(LogStream stream, int64_t time, std::string_view input, bool end) {
  size_ = 0;
  if (input.empty()) return 0;
  const std::string header = FormatLogTime(time) + (stream == LogStream::kStdout ? " stdout F " : " stderr F ");
  header_size_ = std::min(header.size(), kHeaderCapacity);
  std::memcpy(header_, header.data(), header_size_);

  char* to = buffer_.get();
  const char* const full = to + kBufferSize;
  const char* from = input.data();
  const char* const stop = from + input.size();
  while (from != stop && to < full) {
    const size_t available = static_cast<size_t>(stop - from);
    const void* newline = std::memchr(from, '\n', std::min(available, kMostRecordInput));
    if (newline != nullptr) {
      size_t length = static_cast<size_t>(static_cast<const char*>(newline) - from);
      const char* const next = from + length + 1;
      if (length > 0 && from[length - 1] == '\r') --length;
      if (length <= kMostRecordText) {
        to = Emit(to, {from, length}, 'F');
        from = next;
        continue;
      }
    } else if (available <= kMostRecordText || (available == kMostRecordText + 1 && from[kMostRecordText] == '\r')) {
      // The next byte decides whether this is a whole line.
      if (!end) break;
    }
    const size_t length = std::min(available, kMostRecordText);
    to = Emit(to, {from, length}, 'P');
    from += length;
  }
  size_ = static_cast<size_t>(to - buffer_.get());
  return static_cast<size_t>(from - input.data());
}

}  // namespace nspawn
