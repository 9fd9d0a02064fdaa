#include "nspawn/spawner.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <optional>
#include <string_view>

#include "base/files.h"
#include "base/message.h"
#include "base/text.h"
#include "nspawn/exec_stream.h"
#include "nspawn/process/mount_api.h"
#include "nspawn/spawner/protocol.h"
#include "nspawn/start_status.h"

namespace nspawn {
namespace {

using base::Code;
using base::Error;
using base::FdPair;
using base::Result;
using base::Status;
using base::UniqueFd;
using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr size_t kMostExecOutput = 16 << 20;
// How long output is waited for when the process has ended and others still hold its output open.
constexpr milliseconds kDrain{100};
// How long the end of a process is waited for that has been killed.
constexpr milliseconds kKillGrace{2000};

// Our end is non-blocking.
Result<FdPair> MakePipe(int our_end) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return base::ErrnoError("make a pipe");
  FdPair pipe{UniqueFd(ends[our_end]), UniqueFd(ends[1 - our_end])};
  if (::fcntl(pipe.ours.get(), F_SETFL, O_NONBLOCK) != 0) return base::ErrnoError("make a pipe non-blocking");
  return pipe;
}

Result<FdPair> MakeOutputPipe() {
  return MakePipe(0);
}

Result<FdPair> MakeInputPipe() {
  return MakePipe(1);
}

Result<UniqueFd> MakeMemoryFile(std::string_view content) {
  UniqueFd file(::memfd_create("request", MFD_CLOEXEC));
  if (!file) return base::ErrnoError("memfd_create");
  RETURN_IF_ERROR(base::WriteAll(file.get(), content));
  if (::lseek(file.get(), 0, SEEK_SET) < 0) return base::ErrnoError("lseek");
  return file;
}

// A message that is there, or nothing: also when the other side has closed.
std::optional<std::string> Receive(int socket, int flags) {
  Result<std::optional<base::Message>> message = base::ReceiveMessage(socket, kLongestAnswer, flags);
  if (!message.ok() || !*message) return std::nullopt;
  return std::move((*message)->text);
}

// One output stream of a process that is collected to its end.
class Collector {
 public:
  Collector(UniqueFd pipe, size_t most) : pipe_(std::move(pipe)), most_(most) {}

  int fd() const { return pipe_.get(); }
  bool open() const { return static_cast<bool>(pipe_); }
  bool overflown() const { return overflown_; }
  std::string Take() { return std::move(text_); }

  // Reads what is there; what goes beyond the bound is dropped.
  void Read() {
    std::array<char, 65536> buffer;
    // A writer that never rests must not keep the caller from its other descriptors.
    for (int i = 0; i < 16; ++i) {
      const ssize_t got = ::read(pipe_.get(), buffer.data(), buffer.size());
      if (got < 0 && errno == EINTR) continue;
      if (got < 0 && errno == EAGAIN) return;
      if (got <= 0) {
        pipe_.reset();
        return;
      }
      const size_t kept = std::min(static_cast<size_t>(got), most_ - text_.size());
      text_.append(buffer.data(), kept);
      overflown_ |= kept < static_cast<size_t>(got);
      if (static_cast<size_t>(got) < buffer.size()) return;
    }
  }

 private:
  UniqueFd pipe_;
  size_t most_;
  std::string text_;
  bool overflown_ = false;
};

std::string Seconds(milliseconds time) {
  std::string text = std::to_string(time.count() / 1000);
  if (const auto rest = time.count() % 1000; rest != 0) {
    std::string digits = std::to_string(1000 + rest).substr(1);
    digits.erase(digits.find_last_not_of('0') + 1);
    text += "." + digits;
  }
  return text + "s";
}

struct Bounds {
  milliseconds timeout{0};
  size_t most_output = 0;
  bool overflow_is_error = false;
};

// A process from its start to its end, as the one waiting thread sees it.
class Wait {
 public:
  Wait(UniqueFd answers, UniqueFd output, UniqueFd error, const Bounds& bounds)
      : answers_(std::move(answers)),
        output_(std::move(output), bounds.most_output),
        error_(std::move(error), bounds.most_output),
        bounds_(bounds) {
    if (bounds.timeout.count() > 0) deadline_ = Clock::now() + bounds.timeout;
  }

  Result<ProcessOutput> Run(int cancelled) {
    while (true) {
      if (ended_ && !output_.open() && !error_.open()) break;
      std::array<pollfd, 4> polls{{{ended_ ? -1 : answers_.get(), POLLIN, 0},
                                   {output_.fd(), POLLIN, 0},
                                   {error_.fd(), POLLIN, 0},
                                   {failure_ ? -1 : cancelled, POLLIN, 0}}};
      const int ready = ::poll(polls.data(), polls.size(), MillisecondsLeft());
      if (ready < 0 && errno != EINTR) return base::ErrnoError("wait for a process");
      if (ready < 0) continue;
      if (polls[1].revents != 0) output_.Read();
      if (polls[2].revents != 0) error_.Read();
      if (polls[0].revents != 0) RETURN_IF_ERROR(HandleAnswer());
      if (polls[3].revents != 0) Kill(Error(Code::kCancelled, "the call was cancelled"));
      if (bounds_.overflow_is_error && (output_.overflown() || error_.overflown())) {
        Kill(Error(Code::kResourceExhausted,
                   "it wrote more than " + std::to_string(bounds_.most_output) + " bytes of output"));
      }
      if (deadline_ && Clock::now() >= *deadline_) {
        if (ended_ || failure_) break;
        Kill(Error(Code::kDeadlineExceeded, "timeout " + Seconds(bounds_.timeout) + " exceeded"));
      }
    }
    if (failure_) return *std::move(failure_);
    return ProcessOutput{*ended_, output_.Take(), error_.Take()};
  }

 private:
  int MillisecondsLeft() const {
    if (!deadline_) return -1;
    const auto left = std::chrono::ceil<milliseconds>(*deadline_ - Clock::now()).count();
    return static_cast<int>(std::clamp<int64_t>(left, 0, 3'600'000));
  }

  Status HandleAnswer() {
    const std::optional<std::string> answer = Receive(answers_.get(), MSG_DONTWAIT);
    if (!answer) return Error(Code::kUnavailable, "the spawner is gone");
    ASSIGN_OR_RETURN(ended_, ParseAnswer(*answer));
    deadline_ = Clock::now() + kDrain;
    return base::Ok();
  }

  // The spawner kills the process when this end is shut; it still tells its end.
  void Kill(Error reason) {
    if (failure_ || ended_) return;
    failure_ = std::move(reason);
    ::shutdown(answers_.get(), SHUT_WR);
    deadline_ = Clock::now() + kKillGrace;
  }

  UniqueFd answers_;
  Collector output_, error_;
  Bounds bounds_;
  std::optional<Clock::time_point> deadline_;
  std::optional<int> ended_;  // its exit code
  std::optional<Error> failure_;
};

bool HasNul(const std::vector<std::string>& strings) {
  return std::any_of(strings.begin(), strings.end(),
                     [](const std::string& text) { return text.find('\0') != std::string::npos; });
}

class SpawnerProcess : public Spawner {
 public:
  SpawnerProcess(UniqueFd control, UniqueFd null, UniqueFd process, pid_t pid)
      : control_(std::move(control)), null_(std::move(null)), process_(std::move(process)), pid_(pid) {}

  ~SpawnerProcess() override {
    control_.reset();
    while (::waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) continue;
  }

  // Waits until the spawner says that it is ready.
  Status Greet() {
    const std::optional<std::string> greeting = Receive(control_.get(), 0);
    if (greeting == kSpawnerReady) return base::Ok();
    if (!greeting) return Error(Code::kUnavailable, "it could not be executed");
    if (std::optional<Error> error = ParseStartError(*greeting)) return *std::move(error);
    return base::Internal("it answered \"" + base::Printable(*greeting, 64) + "\"");
  }

  Result<ProcessOutput> Exec(const ExecRequest& request, std::stop_token cancelled) override {
    ASSIGN_OR_RETURN(const SpawnRequest spawn, InContainer(request));
    UniqueFd wake;
    if (cancelled.stop_possible()) {
      wake.reset(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
      if (!wake) return base::ErrnoError("eventfd");
    }
    const std::stop_callback on_cancel(cancelled, [&wake] { (void)::eventfd_write(wake.get(), 1); });
    return Execute(spawn, null_.get(), wake.get(),
                   {.timeout = request.timeout, .most_output = kMostExecOutput, .overflow_is_error = false});
  }

  Result<std::unique_ptr<Stream>> ExecStream(const ExecRequest& request, const StreamOptions& options) override {
    ASSIGN_OR_RETURN(SpawnRequest spawn, InContainer(request));
    spawn.terminal = options.terminal;
    if (options.terminal) {
      if (options.error) return base::InvalidArgument("exec: a terminal has no standard error of its own");
      ASSIGN_OR_RETURN(UniqueFd answers, Send(spawn, null_.get(), null_.get(), null_.get()));
      return ExecWithTerminal(std::move(answers), options);
    }
    FdPair input, output, error;
    if (options.input) {
      ASSIGN_OR_RETURN(input, MakeInputPipe());
    }
    if (options.output) {
      ASSIGN_OR_RETURN(output, MakeOutputPipe());
    }
    if (options.error) {
      ASSIGN_OR_RETURN(error, MakeOutputPipe());
    }
    const auto theirs = [&](const FdPair& pipe) { return pipe.theirs ? pipe.theirs.get() : null_.get(); };
    ASSIGN_OR_RETURN(UniqueFd answers, Send(spawn, theirs(input), theirs(output), theirs(error)));
    return ExecWithPipes(std::move(answers), std::move(input.ours), std::move(output.ours), std::move(error.ours));
  }

  Result<ProcessOutput> Run(const ProgramRequest& request) override {
    if (request.program.empty() || request.program.front() != '/') {
      return base::InvalidArgument("run: \"" + base::Printable(request.program, 256) + "\" is no absolute path");
    }
    if (request.arguments.empty() || HasNul(request.arguments) || HasNul(request.environment) ||
        HasNul({request.program})) {
      return base::InvalidArgument("run " + base::Printable(request.program, 256) +
                                   ": no arguments, or a NUL character in one or in the environment");
    }
    SpawnRequest spawn;
    spawn.program = request.program;
    spawn.arguments = request.arguments;
    spawn.environment = request.environment;
    ASSIGN_OR_RETURN(const UniqueFd input, MakeMemoryFile(request.standard_input));
    return Execute(spawn, input.get(), -1,
                   {.timeout = request.timeout, .most_output = request.most_output, .overflow_is_error = true});
  }

  int DeathFd() const override { return process_.get(); }

 private:
  static Result<SpawnRequest> InContainer(const ExecRequest& request) {
    if (request.arguments.empty()) return base::InvalidArgument("exec: no command is given");
    if (HasNul(request.arguments)) return base::InvalidArgument("exec: an argument holds a NUL character");
    SpawnRequest spawn;
    spawn.bundle = request.bundle;
    spawn.pid = request.pid;
    spawn.cgroup = request.cgroup;
    spawn.arguments = request.arguments;
    return spawn;
  }

  Result<ProcessOutput> Execute(const SpawnRequest& spawn, int input, int cancelled, const Bounds& bounds) {
    ASSIGN_OR_RETURN(FdPair output, MakeOutputPipe());
    ASSIGN_OR_RETURN(FdPair error, MakeOutputPipe());
    ASSIGN_OR_RETURN(UniqueFd answers, Send(spawn, input, output.theirs.get(), error.theirs.get()));
    // Only the other ends may stay open, else none of these would ever end.
    output.theirs.reset();
    error.theirs.reset();
    return Wait(std::move(answers), std::move(output.ours), std::move(error.ours), bounds).Run(cancelled);
  }

  // Sends the request and gives the end from which the answers come.
  Result<UniqueFd> Send(const SpawnRequest& spawn, int input, int output, int error) {
    const std::string encoded = EncodeRequest(spawn);
    if (encoded.size() > kLongestRequest) {
      return base::InvalidArgument("the arguments and the environment are too long");
    }
    ASSIGN_OR_RETURN(const UniqueFd file, MakeMemoryFile(encoded));
    ASSIGN_OR_RETURN(FdPair answers, base::MakeSocketPair());
    Status sent = base::SendMessage(control_.get(), "s", {answers.theirs.get(), file.get(), input, output, error});
    if (!sent.ok()) {
      if (sent.error().code() == Code::kUnavailable) return Error(Code::kUnavailable, "the spawner is gone");
      return std::move(sent).error();
    }
    return std::move(answers.ours);
  }

  UniqueFd control_;
  UniqueFd null_;
  UniqueFd process_;  // pidfd
  pid_t pid_;
};

// In the child: executes the program, through a clone of its mount that is read-only for good.
[[noreturn]] void BecomeSpawner(int program, int control, int null) {
  char name[] = "cri-nspawn-spawner";
  char* const arguments[] = {name, nullptr};
  char* const environment[] = {nullptr};
  // Above what is to be closed or replaced.
  program = ::fcntl(program, F_DUPFD, kControlDescriptor + 1);
  control = ::fcntl(control, F_DUPFD, kControlDescriptor + 1);
  ::dup2(null, 0);
  ::dup2(null, 1);
  ::dup2(control, kControlDescriptor);
  ::close_range(kControlDescriptor + 1, ~0U, CLOSE_RANGE_CLOEXEC);
  ::syscall(SYS_execveat, program, "", arguments, environment, AT_EMPTY_PATH);
  ::_exit(127);
}

}  // namespace

Result<std::unique_ptr<Spawner>> Spawner::Start(const std::string& program) {
  const std::string doing = "start the spawner " + program;
  ASSIGN_OR_RETURN(const UniqueFd clone, CloneMount(AT_FDCWD, program, false).Wrap(doing));
  RETURN_IF_ERROR(ChangeMount(clone.get(), MOUNT_ATTR_RDONLY, 0, false).Wrap(doing));
  UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
  if (!null) return base::ErrnoError(doing + ": open /dev/null");
  ASSIGN_OR_RETURN(FdPair control, base::MakeSocketPair().Wrap(doing));
  const pid_t pid = ::fork();
  if (pid < 0) return base::ErrnoError(doing + ": fork");
  if (pid == 0) BecomeSpawner(clone.get(), control.theirs.get(), null.get());
  control.theirs.reset();
  UniqueFd process(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  const int number = process ? 0 : errno;
  auto spawner = std::make_unique<SpawnerProcess>(std::move(control.ours), std::move(null), std::move(process), pid);
  if (number != 0) return Error::FromErrno(number, doing + ": open the process");
  RETURN_IF_ERROR(spawner->Greet().Wrap(doing));
  return std::unique_ptr<Spawner>(std::move(spawner));
}

}  // namespace nspawn
