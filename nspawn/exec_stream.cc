#include "nspawn/exec_stream.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>

#include <cerrno>
#include <optional>
#include <utility>

#include "base/message.h"
#include "nspawn/spawner/protocol.h"
#include "nspawn/terminal_size.h"

namespace nspawn {
namespace {

using base::Code;
using base::Result;
using base::Status;
using base::UniqueFd;

// The terminal is made within a millisecond or two, before anything of the container's file systems is read.
constexpr int kTerminalTimeoutMilliseconds = 10'000;

base::Error SpawnerGone() {
  return {Code::kUnavailable, "the spawner is gone"};
}

// What both kinds have: the end of the command. Closing the socket makes the spawner kill what still runs.
class Command : public Stream {
 public:
  explicit Command(UniqueFd answers) : answers_(std::move(answers)) {}

  int Ended() const override { return answers_.get(); }
  Result<int> ExitCode() override {
    if (!exit_code_) {
      Result<std::optional<base::Message>> answer = base::ReceiveMessage(answers_.get(), kLongestAnswer, MSG_DONTWAIT);
      if (!answer.ok() && answer.error().number() == EAGAIN) {
        return base::Error(Code::kFailedPrecondition, "the command still runs");
      }
      if (!answer.ok()) return std::move(answer).error();
      SetAnswer(*answer);
    }
    return *exit_code_;
  }

 protected:
  void SetAnswer(const std::optional<base::Message>& answer) {
    exit_code_ = answer ? ParseAnswer(answer->text) : Result<int>(SpawnerGone());
  }
  int answers() const { return answers_.get(); }

 private:
  UniqueFd answers_;
  std::optional<Result<int>> exit_code_;
};

class PipeCommand final : public Command {
 public:
  PipeCommand(UniqueFd answers, UniqueFd input, UniqueFd output, UniqueFd error)
      : Command(std::move(answers)), input_(std::move(input)), output_(std::move(output)), error_(std::move(error)) {}

  int Input() const override { return input_.get(); }
  int Output() const override { return output_.get(); }
  int Error() const override { return error_.get(); }
  void CloseInput() override { input_.reset(); }
  Status Resize(uint16_t, uint16_t) override {
    return base::Error(Code::kFailedPrecondition, "the command has no terminal");
  }

 private:
  UniqueFd input_, output_, error_;
};

class TerminalCommand final : public Command {
 public:
  TerminalCommand(UniqueFd answers, const StreamOptions& options)
      : Command(std::move(answers)), input_(options.input), output_(options.output) {}

  Status TakeTerminal() {
    pollfd poll_answers{answers(), POLLIN, 0};
    int ready = 0;
    do {
      ready = ::poll(&poll_answers, 1, kTerminalTimeoutMilliseconds);
    } while (ready < 0 && errno == EINTR);
    if (ready < 0) return base::ErrnoError("wait for a terminal");
    if (ready == 0) return base::Error(Code::kDeadlineExceeded, "the container's terminal was not made in 10 seconds");
    ASSIGN_OR_RETURN(std::optional<base::Message> answer,
                     base::ReceiveMessage(answers(), kLongestAnswer, MSG_DONTWAIT));
    if (!answer || answer->text != kTerminalAnswer) {
      SetAnswer(answer);
      return base::Ok();
    }
    if (answer->descriptors.empty()) {
      return base::Error(Code::kResourceExhausted, "there is no descriptor left for a terminal");
    }
    master_ = std::move(answer->descriptors.front());
    if (::fcntl(master_.get(), F_SETFL, O_RDWR | O_NONBLOCK) != 0) {
      return base::ErrnoError("make a terminal non-blocking");
    }
    return base::Ok();
  }

  int Input() const override { return input_ ? master_.get() : -1; }
  int Output() const override { return output_ ? master_.get() : -1; }
  int Error() const override { return -1; }
  void CloseInput() override { input_ = false; }
  Status Resize(uint16_t columns, uint16_t rows) override {
    if (!master_) return base::Error(Code::kFailedPrecondition, "the command was not run");
    return SetTerminalSize(master_.get(), columns, rows);
  }

 private:
  bool input_, output_;
  UniqueFd master_;
};

}  // namespace

std::unique_ptr<Stream> ExecWithPipes(UniqueFd answers, UniqueFd input, UniqueFd output, UniqueFd error) {
  return std::make_unique<PipeCommand>(std::move(answers), std::move(input), std::move(output), std::move(error));
}

Result<std::unique_ptr<Stream>> ExecWithTerminal(UniqueFd answers, const StreamOptions& options) {
  auto command = std::make_unique<TerminalCommand>(std::move(answers), options);
  RETURN_IF_ERROR(command->TakeTerminal().Wrap("exec"));
  return std::unique_ptr<Stream>(std::move(command));
}

}  // namespace nspawn
