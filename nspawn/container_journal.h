// Containers' output for the journal, beside their log files.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "nspawn/log_record.h"

namespace nspawn {

// Names as the journal has them: upper-case letters, digits and underscores.
using JournalFields = std::vector<std::pair<std::string, std::string>>;

struct JournalOptions {
  // Containers' output goes to the journal as well.
  bool enabled = false;
  // The most lines in 30 seconds, of one container and of all. What is beyond is left out and counted.
  uint32_t container_lines = 1000;
  uint32_t all_lines = 5000;
  std::string socket = "/run/systemd/journal/socket";
};

// A number of lines in each 30 seconds, as journald's own limit counts them.
class LineBudget {
 public:
  explicit LineBudget(uint32_t most) : most_(most) {}
  // `now` in nanoseconds since the epoch. False when this line would be one too many.
  bool Take(int64_t now);

 private:
  uint32_t most_;
  uint32_t used_ = 0;
  int64_t begin_ = 0;
};

// The socket of journald's native protocol (systemd.io/JOURNAL_NATIVE_PROTOCOL). Not thread-safe.
class JournalWriter {
 public:
  explicit JournalWriter(JournalOptions options) : options_(std::move(options)), budget_(options_.all_lines) {}

  const JournalOptions& options() const { return options_; }
  LineBudget& budget() { return budget_; }
  // False when journald does not take the entry: it is not there, or too slow. It is waited for, but in any second for
  // no longer than 50 ms in all.
  bool Send(std::string_view entry);

 private:
  bool Connect();
  bool AwaitRoom();

  JournalOptions options_;
  LineBudget budget_;
  base::UniqueFd socket_;
  int64_t wait_begin_ = 0;  // nanoseconds of the monotonic clock
  int64_t waited_ = 0;      // since then
};

// What one container sends there. Not thread-safe.
class ContainerJournal {
 public:
  // `fields` go with every line. Values are cut at 1 KiB.
  ContainerJournal(const JournalFields& fields, uint32_t most_lines);

  // One line, or with `partial` a piece of one: informational when it comes from the standard output, an error when it
  // comes from the standard error, as docker and podman have it. `now` in nanoseconds since the epoch.
  void Write(JournalWriter& writer, LogStream stream, bool partial, std::string_view text, int64_t now);
  // Tells how many lines were left out since that was last told.
  void Finish(JournalWriter& writer);

 private:
  bool TellLeftOut(JournalWriter& writer);

  std::string fields_;  // as the protocol has them
  std::string entry_;
  LineBudget budget_;
  uint64_t left_out_ = 0;
};

}  // namespace nspawn
