// The daemon's side of a container's standard input: the FIFO "stdin" in the bundle.
#pragma once

#include <string>

#include "base/fd.h"
#include "base/result.h"

namespace nspawn {

// Keeps a writer, so that the program does not come to the end of its input while no client is there. Not thread-safe.
//
// With CRI's stdin_once the FIFO's name is removed when the first client gets it, and the program comes to the end when
// that client goes: a daemon that was killed meanwhile finds no name, and keeps no writer.
class ContainerInput {
 public:
  // With `once`, an input that a client has had is none any more: writer() is -1.
  static base::Result<ContainerInput> Open(const std::string& bundle, bool once);

  int writer() const { return writer_.get(); }
  // A writer for a client; none when nobody reads any more, or another client has or had it and `once` was asked for.
  base::UniqueFd Connect();
  // A client that Connect() gave a writer has closed it. Gives back whether that ends the input.
  bool Disconnect();

 private:
  ContainerInput(std::string path, bool once) : path_(std::move(path)), once_(once) {}

  std::string path_;
  bool once_;
  base::UniqueFd writer_;
};

}  // namespace nspawn
