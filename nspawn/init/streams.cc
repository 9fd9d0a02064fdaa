#include "nspawn/init/streams.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <cerrno>
#include <cstdio>
#include <string>

#include "base/message.h"
#include "nspawn/console.h"
#include "nspawn/init/output_relay.h"
#include "nspawn/process/execute.h"
#include "nspawn/process/mount_api.h"
#include "nspawn/process/terminal.h"

namespace nspawn {
namespace {

using base::Code;
using base::Error;
using base::Result;
using base::Status;
using base::UniqueFd;

constexpr int kHandOverMilliseconds = 30'000;

// O_NOFOLLOW would stay with the descriptor, and criu(8), which opens its like at a restore, would fail.
Result<UniqueFd> OpenFifo(const std::string& path, int flags) {
  UniqueFd fifo(::open(path.c_str(), flags | O_CLOEXEC | O_NOCTTY));
  struct stat info {};
  if (!fifo || ::fstat(fifo.get(), &info) != 0) return base::ErrnoError("open " + path);
  if (!S_ISFIFO(info.st_mode)) return base::Internal(path + " of the bundle is not a FIFO");
  return fifo;
}

// For reading only, or the program would itself be a writer and never come to the end; and without waiting for one.
Result<UniqueFd> OpenInput() {
  ASSIGN_OR_RETURN(UniqueFd input, OpenFifo("/stdin", O_RDONLY | O_NONBLOCK));
  if (::fcntl(input.get(), F_SETFL, O_RDONLY) != 0) return base::ErrnoError("make /stdin blocking");
  return input;
}

// Opened for both directions, so that opening never waits for a reader, a reader's absence ends no writer, and what was
// written stays while anybody in the container lives.
Result<UniqueFd> OpenOutput(const char* path) {
  return OpenFifo(path, O_RDWR);
}

Error NoDaemon(const std::string& why) {
  return {Code::kUnavailable, "nobody keeps the container's terminal (" + why + "); start the container again"};
}

Result<UniqueFd> ConnectConsole() {
  UniqueFd socket(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
  if (!socket) return base::ErrnoError("make a socket");
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::snprintf(address.sun_path, sizeof address.sun_path, "/%s", kConsoleSocket);
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0) return socket;
  Error error = base::ErrnoError("connect");
  const bool absent = error.number() == ENOENT || error.number() == ECONNREFUSED;
  return absent ? NoDaemon(error.message()) : error;
}

Status HandOver(int console, int master) {
  if (Status sent = base::SendMessage(console, kTerminalMessage, {master}); !sent.ok()) {
    return NoDaemon(sent.error().message());
  }
  pollfd poll_console{console, POLLIN, 0};
  int ready = 0;
  do {
    ready = ::poll(&poll_console, 1, kHandOverMilliseconds);
  } while (ready < 0 && errno == EINTR);
  if (ready < 0) return base::ErrnoError("wait for the daemon");
  if (ready == 0) return NoDaemon("no answer in 30 seconds");
  ASSIGN_OR_RETURN(const std::optional<base::Message> answer, base::ReceiveMessage(console, 64));
  if (!answer || answer->text != kTerminalKept) return NoDaemon("the connection was closed");
  return base::Ok();
}

// The same terminal by its usual second name.
Status MountConsole(const Terminal& terminal, const OwnFilesystems& own) {
  int number = 0;
  if (::ioctl(terminal.master.get(), TIOCGPTN, &number) != 0) return base::ErrnoError("ask for the terminal's number");
  const UniqueFd file(
      ::openat(own.devices.get(), "console", O_RDONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!file) return base::ErrnoError("make /dev/console");
  ASSIGN_OR_RETURN(const UniqueFd slave, CloneMount(own.terminals.get(), std::to_string(number), false));
  return AttachMount(slave.get(), file.get()).Wrap("mount /dev/console");
}

}  // namespace

Result<Streams> OpenStreams(const ProcessSpec& spec) {
  Streams streams;
  if (spec.terminal) {
    ASSIGN_OR_RETURN(streams.console, ConnectConsole());
    return streams;
  }
  if (spec.open_stdin) {
    ASSIGN_OR_RETURN(streams.input, OpenInput());
  }
  if (spec.unit_output) {
    RETURN_IF_ERROR(StartOutputRelay(streams.output, streams.error));
    return streams;
  }
  ASSIGN_OR_RETURN(streams.output, OpenOutput("/stdout"));
  ASSIGN_OR_RETURN(streams.error, OpenOutput("/stderr"));
  return streams;
}

Status SetStreams(const Streams& streams, const ProcessSpec& spec, int proc, const OwnFilesystems& own) {
  if (spec.terminal) {
    ASSIGN_OR_RETURN(const Terminal terminal, OpenTerminal(proc, own.terminals.get(), "/ptmx"));
    RETURN_IF_ERROR(MountConsole(terminal, own));
    RETURN_IF_ERROR(UseTerminal(terminal.slave.get()));
    return HandOver(streams.console.get(), terminal.master.get());
  }
  const UniqueFd null(::openat(own.devices.get(), "null", O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!null) return base::ErrnoError("open /dev/null");
  return SetStandardStreams(streams.input ? streams.input.get() : null.get(), streams.output.get(),
                            streams.error.get());
}

}  // namespace nspawn
