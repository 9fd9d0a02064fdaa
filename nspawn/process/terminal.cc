#include "nspawn/process/terminal.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/files.h"
#include "nspawn/process/execute.h"

namespace nspawn {

using base::Result;
using base::Status;
using base::UniqueFd;

Result<Terminal> OpenTerminal(int proc, int root, const std::string& path) {
  ASSIGN_OR_RETURN(const UniqueFd ptmx, base::OpenInRoot(root, path, O_PATH).Wrap("make a terminal"));
  struct stat info {};
  if (::fstat(ptmx.get(), &info) != 0) return base::ErrnoError("make a terminal: stat " + path);
  // Whatever else the container has put there, opening it might block or have effects of its own.
  if (!S_ISCHR(info.st_mode) || info.st_rdev != makedev(5, 2)) {
    return base::Error(base::Code::kFailedPrecondition,
                       "make a terminal: " + path + " is not the terminal multiplexer");
  }
  const std::string name = "thread-self/fd/" + std::to_string(ptmx.get());
  Terminal terminal;
  terminal.master.reset(::openat(proc, name.c_str(), O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (!terminal.master) return base::ErrnoError("make a terminal: open " + path);
  const int locked = 0;
  if (::ioctl(terminal.master.get(), TIOCSPTLCK, &locked) != 0) return base::ErrnoError("make a terminal: unlock it");
  // By the master and not by name, which could stand for anything.
  terminal.slave.reset(::ioctl(terminal.master.get(), TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (!terminal.slave) return base::ErrnoError("make a terminal: open its other side");
  return terminal;
}

Status UseTerminal(int slave) {
  if (::ioctl(slave, TIOCSCTTY, 0) != 0) return base::ErrnoError("take the controlling terminal");
  return SetStandardStreams(slave, slave, slave);
}

}  // namespace nspawn
