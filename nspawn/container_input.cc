#include "nspawn/container_input.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

namespace nspawn {

using base::UniqueFd;

base::Result<ContainerInput> ContainerInput::Open(const std::string& bundle, bool once) {
  ContainerInput input(bundle + "/stdin", once);
  // A FIFO without a reader cannot be opened for writing only; and a reader that stays would hide the program's end
  // from those who write.
  const UniqueFd reader(::open(input.path_.c_str(), O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC));
  if (!reader && errno == ENOENT && once) return input;
  struct stat info {};
  if (!reader || ::fstat(reader.get(), &info) != 0) return base::ErrnoError("opening " + input.path_);
  if (!S_ISFIFO(info.st_mode)) return base::Internal(input.path_ + " is not a FIFO");
  input.writer_.reset(::open(input.path_.c_str(), O_WRONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC));
  if (!input.writer_) return base::ErrnoError("opening " + input.path_);
  return input;
}

UniqueFd ContainerInput::Connect() {
  if (!writer_) return UniqueFd();
  UniqueFd writer(::open(path_.c_str(), O_WRONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC));
  // A daemon that is killed here has not told the client anything yet.
  if (writer && once_) ::unlink(path_.c_str());
  return writer;
}

bool ContainerInput::Disconnect() {
  if (!once_) return false;
  writer_.reset();
  return true;
}

}  // namespace nspawn
