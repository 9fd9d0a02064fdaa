#include "nspawn/container_terminal.h"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <utility>

#include "base/message.h"
#include "nspawn/console.h"

namespace nspawn {

using base::Result;
using base::Status;
using base::UniqueFd;

Result<ContainerTerminal> ContainerTerminal::Listen(const std::string& bundle) {
  const std::string doing = "listen for the terminal at " + bundle + "/" + kConsoleSocket;
  ContainerTerminal terminal;
  terminal.bundle_.reset(::open(bundle.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  terminal.listener_.reset(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!terminal.bundle_ || !terminal.listener_) return base::ErrnoError(doing);
  // Left by a run that was killed.
  if (::unlinkat(terminal.bundle_.get(), kConsoleSocket, 0) != 0 && errno != ENOENT) return base::ErrnoError(doing);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  // The bundle's own name may be longer than an address can be.
  std::snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d/%s", terminal.bundle_.get(),
                kConsoleSocket);
  if (::bind(terminal.listener_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      ::listen(terminal.listener_.get(), 1) != 0) {
    return base::ErrnoError(doing);
  }
  return terminal;
}

Result<ContainerTerminal> ContainerTerminal::Resume(UniqueFd master) {
  ContainerTerminal terminal;
  RETURN_IF_ERROR(terminal.Use(std::move(master)));
  return terminal;
}

Status ContainerTerminal::Use(UniqueFd master) {
  int number = 0;
  // Only a master has one.
  if (::ioctl(master.get(), TIOCGPTN, &number) != 0) return base::Internal("the descriptor is no terminal's master");
  if (::fcntl(master.get(), F_SETFL, O_RDWR | O_NONBLOCK) != 0) return base::ErrnoError("make a terminal non-blocking");
  master_ = std::move(master);
  return base::Ok();
}

Status ContainerTerminal::Accept() {
  UniqueFd connection(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!connection) {
    if (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED) return base::Ok();
    return base::ErrnoError("accept the connection of init");
  }
  connection_ = std::move(connection);
  return base::Ok();
}

Status ContainerTerminal::Receive() {
  Result<std::optional<base::Message>> message = base::ReceiveMessage(connection_.get(), 64, MSG_DONTWAIT);
  if (!message.ok() && message.error().number() == EAGAIN) return base::Ok();
  Status status;
  if (!message.ok()) {
    status = std::move(message).error();
  } else if (*message && ((*message)->text != kTerminalMessage || (*message)->descriptors.size() != 1)) {
    status = base::Internal("init has sent no terminal");
  } else if (*message) {
    status = Use(std::move((*message)->descriptors.front()));
    if (status.ok()) return status;
  }
  connection_.reset();
  return status;
}

void ContainerTerminal::Acknowledge() {
  // When init has gone away, the start has failed.
  (void)base::SendMessage(connection_.get(), kTerminalKept, {}, MSG_DONTWAIT);
  connection_.reset();
  StopListening();
}

void ContainerTerminal::StopListening() {
  if (listener_) (void)::unlinkat(bundle_.get(), kConsoleSocket, 0);
  listener_.reset();
  bundle_.reset();
}

Result<size_t> ContainerTerminal::MoveOutput(int fifo, size_t most) {
  while (true) {
    const ssize_t moved = ::splice(master_.get(), nullptr, fifo, nullptr, most, SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
    if (moved >= 0) return static_cast<size_t>(moved);
    if (errno == EAGAIN) return size_t{0};
    if (errno != EINTR) return base::ErrnoError("read a container's terminal");
  }
}

}  // namespace nspawn
