// The daemon's side of the spawner: a small single-threaded process that forks and executes in the daemon's stead.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "nspawn/stream.h"

namespace nspawn {

struct ExecRequest {
  std::string bundle;  // the container's bundle directory: its user, environment, capabilities and so on hold here too
  pid_t pid = 0;       // the container's process, as the host sees it
  std::string cgroup;  // of the container's unit, below /sys/fs/cgroup
  std::vector<std::string> arguments;
  std::chrono::milliseconds timeout{0};  // 0: none
};

struct ProgramRequest {
  std::string program;
  std::vector<std::string> arguments;    // argv, the first included
  std::vector<std::string> environment;  // complete
  std::string standard_input;
  std::chrono::milliseconds timeout{0};
  size_t most_output = 1 << 20;  // of each stream; more is kResourceExhausted and kills it
};

struct ProcessOutput {
  int exit_code = 0;  // 128 + signal number when a signal ended it
  std::string standard_output;
  std::string standard_error;
};

class Spawner {
 public:
  // Forks and executes `program` (the spawner). To be called first in main(), before there is any thread.
  static base::Result<std::unique_ptr<Spawner>> Start(const std::string& program);
  virtual ~Spawner() = default;

  // Runs a command in a container to its end. Each output stream is kept up to 16 MiB and the rest read and dropped
  // (CRI ExecSync). After the timeout, or when `cancelled`, the process and its children in the container are killed:
  // kDeadlineExceeded, kCancelled. A command that is not there is an error as in Containers::Start. Thread-safe; calls
  // run side by side.
  virtual base::Result<ProcessOutput> Exec(const ExecRequest& request, std::stop_token cancelled) = 0;
  // Starts a command in a container whose standard streams are the client's; the request's timeout plays no part. With
  // `terminal` it gets a new terminal of the container's own devpts as its controlling one, which belongs to its user,
  // and TERM=xterm when the container's environment has no TERM; StreamOptions::error must not be set then:
  // kInvalidArgument. Streams that the options leave out are /dev/null. Gives the connection back at once: that the
  // command is not there or the container does not run is told by Ended() and ExitCode(). Thread-safe.
  virtual base::Result<std::unique_ptr<Stream>> ExecStream(const ExecRequest& request,
                                                           const StreamOptions& options) = 0;
  // Runs a program on the host to its end, with nothing inherited but what the request says. kDeadlineExceeded after
  // the timeout, kNotFound when there is no such program.
  virtual base::Result<ProcessOutput> Run(const ProgramRequest& request) = 0;
  // Becomes readable when the spawner is gone; the daemon cannot go on then.
  virtual int DeathFd() const = 0;
};

}  // namespace nspawn
