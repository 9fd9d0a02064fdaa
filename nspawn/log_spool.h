// What has been taken from a container's FIFO and is not in its log file yet.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "base/fd.h"
#include "base/result.h"

namespace nspawn {

// A file below /run into which splice(2) moves a FIFO's bytes at an ever growing offset. The kernel takes bytes out of
// the pipe and grows the file by as many in one step of the killed process's life: the file's size says exactly how
// much was taken, at whatever instant the daemon died. Not thread-safe.
class LogSpool {
 public:
  // Creates the file (mode 0600) or goes on with the one that an earlier run left.
  static base::Result<LogSpool> Open(const std::string& path);

  // The bytes taken since the beginning.
  uint64_t taken() const { return taken_; }
  // Moves at most `most` bytes out of the FIFO without waiting; 0 when it is empty. After an error nothing was moved.
  base::Result<size_t> Take(int fifo, size_t most);
  // Reads up to `size` of the bytes from `offset` on, all that there are when fewer.
  base::Result<size_t> Read(uint64_t offset, char* buffer, size_t size) const;
  // Gives the space of what lies before `offset` back, from time to time.
  void Discard(uint64_t offset);

 private:
  LogSpool(base::UniqueFd file, uint64_t taken) : file_(std::move(file)), taken_(taken) {}

  base::UniqueFd file_;
  uint64_t taken_;
  uint64_t discarded_ = 0;
};

}  // namespace nspawn
