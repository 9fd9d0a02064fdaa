#include "nspawn/init/output_relay.h"

#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <string_view>

#include "base/files.h"
#include "nspawn/process/namespaces.h"

namespace nspawn {
namespace {

using base::Status;
using base::UniqueFd;

constexpr uid_t kNobody = 65534;
constexpr size_t kPipeBytes = 65536;

struct Pipe {
  UniqueFd reader;
  UniqueFd writer;
};

base::Result<Pipe> MakePipe() {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return base::ErrnoError("make a pipe");
  return Pipe{UniqueFd(ends[0]), UniqueFd(ends[1])};
}

// Both pipes are at descriptors 3 and 4.
[[noreturn]] void Relay() {
  (void)::prctl(PR_SET_NAME, "output", 0, 0, 0);
  // What ends the service is not for this process: it ends with the last writer.
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGPIPE}) ::signal(signal, SIG_IGN);
  if (::setresgid(kNobody, kNobody, kNobody) != 0 || ::setresuid(kNobody, kNobody, kNobody) != 0) ::_exit(1);
  static char buffer[kPipeBytes];
  pollfd pipes[] = {{3, POLLIN, 0}, {4, POLLIN, 0}};
  while (pipes[0].fd >= 0 || pipes[1].fd >= 0) {
    if (::poll(pipes, 2, -1) < 0) continue;
    for (int i = 0; i < 2; ++i) {
      if (pipes[i].fd < 0 || pipes[i].revents == 0) continue;
      const ssize_t got = ::read(pipes[i].fd, buffer, sizeof buffer);
      if (got < 0 && errno == EINTR) continue;
      if (got <= 0) {
        pipes[i].fd = -1;
        continue;
      }
      // What the journal does not take is dropped: the program must not hang for that.
      (void)base::WriteAll(STDOUT_FILENO + i, std::string_view(buffer, static_cast<size_t>(got)));
    }
  }
  ::_exit(0);
}

}  // namespace

Status StartOutputRelay(UniqueFd& output, UniqueFd& error) {
  ASSIGN_OR_RETURN(Pipe for_output, MakePipe());
  ASSIGN_OR_RETURN(Pipe for_error, MakePipe());
  ASSIGN_OR_RETURN(const int pid, CloneProcess(0));
  if (pid == 0) {
    // Above those that they are to become.
    const int first = ::fcntl(for_output.reader.get(), F_DUPFD_CLOEXEC, 5);
    const int second = ::fcntl(for_error.reader.get(), F_DUPFD_CLOEXEC, 5);
    if (first < 0 || second < 0 || ::dup2(first, 3) < 0 || ::dup2(second, 4) < 0) ::_exit(1);
    (void)::syscall(SYS_close_range, 5U, ~0U, 0U);
    Relay();
  }
  output = std::move(for_output.writer);
  error = std::move(for_error.writer);
  return base::Ok();
}

}  // namespace nspawn
