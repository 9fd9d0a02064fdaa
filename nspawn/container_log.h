// The output of one container on its way from the FIFOs through the spool files into the log file.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/fd.h"
#include "base/result.h"
#include "nspawn/container_journal.h"
#include "nspawn/log_file.h"
#include "nspawn/log_record.h"
#include "nspawn/log_spool.h"
#include "nspawn/log_state.h"
#include "nspawn/logs.h"

namespace nspawn {

inline constexpr std::array kLogStreams = {LogStream::kStdout, LogStream::kStderr};

// "stdout" or "stderr".
const char* LogStreamName(LogStream stream);

// What the thread uses for one container after the other.
struct LogWorkspace {
  explicit LogWorkspace(const JournalOptions& journal_options);
  RecordFormatter formatter;
  std::unique_ptr<char[]> input;
  JournalWriter journal;
  std::atomic<uint64_t> dropped_records = 0;
};

// Not thread-safe. Every call does a bounded piece of work and never waits for a container.
//
// Every byte is taken once, by LogSpool::Take(). Records are written to the log file first and published in the state
// file then; a run that comes after a kill in between cuts the unpublished records off and formats them again.
class ContainerLog {
 public:
  // Takes the FIFOs over. Goes on with the spool and state files of an earlier run if there are any.
  static base::Result<std::unique_ptr<ContainerLog>> Open(const LogTarget& target, std::array<base::UniqueFd, 2> fifos);

  const std::string& name() const { return target_.name; }
  const LogTarget& target() const { return target_; }
  int fifo(LogStream stream) const { return streams_[static_cast<size_t>(stream)].fifo.get(); }

  // `tap` gets a copy of all output that is taken from now on; none when it is empty.
  void SetTap(std::function<void(LogStream, std::string_view)> tap) { tap_ = std::move(tap); }

  // Writes the records of what an earlier run has taken and not written.
  void CatchUp(LogWorkspace& workspace);
  // Takes at most a pipe's size of output and writes its records. Gives back how many bytes there were.
  size_t Turn(LogStream stream, LogWorkspace& workspace);
  // Begins a new file at the same path. On failure the old one is written on.
  base::Status Reopen();
  // Writes unfinished lines as partial records and removes the spool and state files. Nothing may be called afterwards.
  void Finish(LogWorkspace& workspace);

 private:
  struct Stream {
    base::UniqueFd fifo;
    std::optional<LogSpool> spool;  // none when the output is dropped
  };

  explicit ContainerLog(const LogTarget& target) : target_(target) {}

  // Gives the tap the last `size` bytes of the spool.
  void Copy(LogStream stream, size_t size, LogWorkspace& workspace);
  std::string SpoolPath(LogStream stream) const;
  std::string StatePath() const;
  // The file of the earlier run without its unpublished records, or the one at the path.
  base::Status OpenFile();
  void Use(LogFile file);
  void WriteTaken(LogStream stream, bool end, LogWorkspace& workspace);
  size_t TakeWithoutSpool(LogStream stream, LogWorkspace& workspace);
  // Writes and publishes batch after batch; `parsed` grows by the bytes that each stands for.
  void WriteRecords(LogStream stream, std::string_view input, bool end, uint64_t& parsed, LogWorkspace& workspace);
  void Append(std::string_view records, int64_t now, LogWorkspace& workspace);
  void CopyToJournal(LogStream stream, int64_t now, LogWorkspace& workspace);
  void ReportFailure(const base::Error& error, int64_t now);
  void ReportSuccess(int64_t now);

  LogTarget target_;
  std::optional<ContainerJournal> journal_;  // none until there is a first record
  std::array<Stream, 2> streams_;
  std::function<void(LogStream, std::string_view)> tap_;
  std::optional<LogState> state_;  // none when the output is dropped
  LogProgress progress_;
  std::optional<LogFile> file_;
  // Failures are told once, and no more often than every ten seconds when they come and go.
  bool failure_reported_ = false;
  bool spool_failure_reported_ = false;
  int64_t next_report_ = 0;
  uint64_t dropped_records_ = 0;
};

}  // namespace nspawn
