// One client attached to a container, as the thread that serves the containers sees it.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <string_view>

#include "base/fd.h"
#include "base/result.h"
#include "nspawn/log_record.h"
#include "nspawn/stream.h"

namespace nspawn {

// Not thread-safe; no call waits. The client's own side is a Stream, which shares nothing with this one but sockets:
// either may go first.
class AttachedClient {
 public:
  enum class News { kNothing, kInputClosed, kGone };

  // What the client wants is cut down to what the container has: `input` and `terminal` are -1 for what it has not, and
  // output and error of a terminal are one. `terminal` is a duplicate of the master.
  struct Ends {
    bool output = false;
    bool error = false;
    base::UniqueFd input;
    base::UniqueFd terminal;
    bool input_is_terminal = false;
  };
  static base::Result<std::unique_ptr<AttachedClient>> Connect(Ends ends, std::unique_ptr<Stream>& stream);

  // Becomes readable when Listen() has news.
  int control() const { return control_.get(); }
  // Of the client's output; -1 when it wants none or has gone.
  int socket(LogStream stream) const { return output_[static_cast<size_t>(stream)].socket.get(); }
  // The client has a writer of the container's FIFO.
  bool has_input() const { return has_input_; }

  // Also forgets the input when the news is that it is closed.
  News Listen();
  // Copies output to the client. What does not fit into the socket's buffer (1 MiB) is skipped, and all that follows
  // until TellSkipped() has succeeded. Gives true when skipping begins: TellSkipped() is to be called when the socket
  // has become writable.
  bool Deliver(LogStream stream, std::string_view bytes);
  // Tells the client in one line how much was skipped. False when there is still no room for that.
  bool TellSkipped(LogStream stream);
  // The container has ended: the client's output comes to its end, after what it is still to be told.
  void Finish();
  bool finished() const { return !control_ && !output_[0].socket && !output_[1].socket; }

 private:
  struct Output {
    base::UniqueFd socket;
    uint64_t skipped = 0;
  };
  AttachedClient() = default;

  base::UniqueFd control_;
  std::array<Output, 2> output_;  // by LogStream
  bool has_input_ = false;
  const char* line_end_ = "\n";
};

}  // namespace nspawn
