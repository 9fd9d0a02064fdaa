// One client's connection to the standard streams of a process: that of a command run for it (exec), or that of a
// container it has been attached to.
#pragma once

#include <cstdint>

#include "base/result.h"

namespace nspawn {

// What a client wants of the process.
struct StreamOptions {
  bool input = false;
  bool output = false;
  bool error = false;  // never together with `terminal`, whose output is one stream
  bool terminal = false;
};

// Not thread-safe. The end of the object ends the connection: a command is killed with its process group if it still
// runs, a container goes on.
class Stream {
 public:
  virtual ~Stream() = default;

  // Non-blocking descriptors that stay the object's, -1 for what was not asked for. Output and Error come to end of
  // file (read() gives 0, or EIO on a terminal) when nobody can write there any more. Writing to Input gives EPIPE when
  // nobody can read it any more. Input and Output of a terminal may be the same descriptor.
  virtual int Input() const = 0;
  virtual int Output() const = 0;
  virtual int Error() const = 0;

  // The client sends no more. A command reads end of file then; a container only where CRI's stdin_once says so. Input
  // is -1 afterwards. Nothing happens to a terminal.
  virtual void CloseInput() = 0;

  // Sets the terminal's size. kFailedPrecondition without a terminal.
  virtual base::Status Resize(uint16_t columns, uint16_t rows) = 0;

  // Becomes readable when the process has ended. Some of its output may still be unread then.
  virtual int Ended() const = 0;
  // To be called when Ended() is readable: 0..255, 128 + signal when a signal ended it; or the error for which the
  // command could not be run.
  virtual base::Result<int> ExitCode() = 0;
};

}  // namespace nspawn
