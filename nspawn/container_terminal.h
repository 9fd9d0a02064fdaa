// The daemon's side of a container's terminal: its master, which everything that the container writes comes from.
#pragma once

#include <cstddef>
#include <string>

#include "base/fd.h"
#include "base/result.h"

namespace nspawn {

// Not thread-safe. No call waits.
class ContainerTerminal {
 public:
  // Waits for init at the socket "console" in the bundle (console.h), which goes with the object.
  static base::Result<ContainerTerminal> Listen(const std::string& bundle);
  // Goes on with the master that an earlier run has kept.
  static base::Result<ContainerTerminal> Resume(base::UniqueFd master);
  ContainerTerminal(ContainerTerminal&& other) noexcept = default;
  ContainerTerminal& operator=(ContainerTerminal&& other) = delete;
  ~ContainerTerminal() { StopListening(); }

  // -1 for what there is not at present. The first two become readable when Accept() or Receive() has something to do.
  int listener() const { return listener_.get(); }
  int connection() const { return connection_.get(); }
  int master() const { return master_.get(); }

  // Takes init's connection; an earlier one is closed.
  base::Status Accept();
  // Takes the master from init; nothing changes when there is no message yet. After an error, and when init has gone
  // away, the connection is closed.
  base::Status Receive();
  // Tells init that the master is kept. No other is taken afterwards.
  void Acknowledge();

  // Moves at most `most` bytes of output into the FIFO in one step of the kernel, so that whoever kills this process
  // finds each byte on one side or the other. 0 when there is none at present; an error with the number EIO when no
  // process has the terminal open.
  base::Result<size_t> MoveOutput(int fifo, size_t most);

 private:
  ContainerTerminal() = default;
  void StopListening();
  base::Status Use(base::UniqueFd master);

  base::UniqueFd bundle_;  // while there is a listener
  base::UniqueFd listener_;
  base::UniqueFd connection_;
  base::UniqueFd master_;
};

}  // namespace nspawn
