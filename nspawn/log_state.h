// How far a container's output has reached its log file, in a file below /run that outlives the daemon's process.
#pragma once

#include <cstdint>
#include <string>
#include <type_traits>

#include "base/result.h"
#include "nspawn/log_file.h"

namespace nspawn {

// One consistent instant: everything of the two spools before these offsets is in the log file (or was dropped) when
// the file has this size. What the file holds behind `file_size` is to be cut off and formatted again.
struct LogProgress {
  uint64_t parsed[2] = {0, 0};  // by LogStream
  uint64_t file_size = 0;
  FileIdentity file;
};
static_assert(std::is_trivially_copyable_v<LogProgress>);

// A small mapped file with two slots for the progress and one word that says which of them holds. Publishing fills the
// other slot and stores the word: a process killed between any two instructions leaves one or the other. There is no
// system call in it. Survives the process, not the machine, as the FIFOs themselves. Not thread-safe.
class LogState {
 public:
  // Maps the file at `path`, made (mode 0600) when it is missing.
  static base::Result<LogState> Open(const std::string& path);
  LogState(LogState&& other) noexcept;
  LogState& operator=(LogState&& other) noexcept;
  LogState(const LogState&) = delete;
  LogState& operator=(const LogState&) = delete;
  ~LogState();

  // All zero when nothing has been published.
  LogProgress Load() const;
  void Publish(const LogProgress& progress);

 private:
  struct Content {
    uint64_t current;  // 0 or 1
    LogProgress slots[2];
  };
  explicit LogState(Content* content) : content_(content) {}

  Content* content_;
};

}  // namespace nspawn
