// CRI log records: "<RFC 3339 time> stdout F text\n".
//
// The rules are those of containerd (internal/cri/io/logger.go), which the kubelet's reader expects: "\n" ends a line
// and a "\r" before it is not part of it; a line of more than 16 KiB is split, every piece but the last tagged P
// instead of F; a last line without "\n" is tagged P.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace nspawn {

enum class LogStream { kStdout, kStderr };

// Most bytes of text in one record.
inline constexpr size_t kMostRecordText = 16 * 1024;
// Most bytes of input that a formatter may have to see before it can say what the first record is: the text and "\r\n".
inline constexpr size_t kMostRecordInput = kMostRecordText + 2;

// `time` (nanoseconds since the epoch) in the machine's time zone, with nine digits of fraction and "Z" or "+hh:mm".
std::string FormatLogTime(int64_t time);

// Turns output into records, one batch at a time, in a buffer of its own.
class RecordFormatter {
 public:
  RecordFormatter();

  // Replaces records() with the records of `input`, all dated `time` (nanoseconds since the epoch). Gives back how many
  // bytes of `input` they stand for. What stays is an unfinished line of which no record can be made yet (with `end` it
  // becomes a partial record), or it did not fit into the buffer: with anything in front of an unfinished line, at
  // least one record is made.
  size_t Format(LogStream stream, int64_t time, std::string_view input, bool end);

  // Whole records; valid until the next Format().
  std::string_view records() const { return {buffer_.get(), size_}; }
  // Calls `use(partial, text)` for each of them.
  template <typename Use>
  void ForEach(Use use) const {
    std::string_view rest = records();
    while (rest.size() > header_size_) {
      const bool partial = rest[header_size_ - kTagFromEnd] == 'P';
      rest.remove_prefix(header_size_);
      const size_t end = rest.find('\n');
      use(partial, rest.substr(0, end));
      rest.remove_prefix(end + 1);
    }
  }

 private:
  char* Emit(char* to, std::string_view text, char tag) const;

  std::unique_ptr<char[]> buffer_;
  size_t size_ = 0;
  // "<time> stdout F ", of a fixed size so that copying it is a few instructions.
  static constexpr size_t kHeaderCapacity = 64;
  static constexpr size_t kTagFromEnd = 2;  // "F " closes the header
  char header_[kHeaderCapacity] = {};
  size_t header_size_ = 0;
};

}  // namespace nspawn
