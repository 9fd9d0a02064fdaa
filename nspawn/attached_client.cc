#include "nspawn/attached_client.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <cerrno>
#include <optional>
#include <string>
#include <utility>

#include "base/message.h"
#include "nspawn/terminal_size.h"

namespace nspawn {
namespace {

using base::Code;
using base::Result;
using base::Status;
using base::UniqueFd;

// Of the kernel's memory for each stream of a client.
constexpr int kSocketBuffer = 1 << 20;
constexpr std::string_view kInputClosed = "input closed";

// A socket and not a pipe: the memory of large pipes counts against the pipes of every process of the same user, so
// those in containers too.
Result<base::FdPair> MakeOutputPair() {
  ASSIGN_OR_RETURN(base::FdPair pair, base::MakeSocketPair(SOCK_STREAM | SOCK_NONBLOCK));
  if (::setsockopt(pair.ours.get(), SOL_SOCKET, SO_SNDBUFFORCE, &kSocketBuffer, sizeof kSocketBuffer) != 0) {
    (void)::setsockopt(pair.ours.get(), SOL_SOCKET, SO_SNDBUF, &kSocketBuffer, sizeof kSocketBuffer);
  }
  return pair;
}

class AttachStream final : public Stream {
 public:
  AttachStream(UniqueFd control, UniqueFd output, UniqueFd error, AttachedClient::Ends ends)
      : control_(std::move(control)),
        output_(std::move(output)),
        error_(std::move(error)),
        input_(std::move(ends.input)),
        terminal_(std::move(ends.terminal)),
        input_is_terminal_(ends.input_is_terminal) {}

  int Input() const override { return input_is_terminal_ ? terminal_.get() : input_.get(); }
  int Output() const override { return output_.get(); }
  int Error() const override { return error_.get(); }
  void CloseInput() override {
    input_is_terminal_ = false;
    if (!input_) return;
    input_.reset();
    // The other side may be gone, and then so is the container.
    (void)base::SendMessage(control_.get(), kInputClosed);
  }
  Status Resize(uint16_t columns, uint16_t rows) override {
    if (!terminal_) return base::Error(Code::kFailedPrecondition, "the container has no terminal");
    return SetTerminalSize(terminal_.get(), columns, rows);
  }
  // Nothing is ever sent here: it becomes readable when the other side is closed.
  int Ended() const override { return control_.get(); }
  Result<int> ExitCode() override { return 0; }

 private:
  UniqueFd control_;
  UniqueFd output_, error_;
  UniqueFd input_;  // the FIFO
  UniqueFd terminal_;
  bool input_is_terminal_;
};

}  // namespace

Result<std::unique_ptr<AttachedClient>> AttachedClient::Connect(Ends ends, std::unique_ptr<Stream>& stream) {
  std::unique_ptr<AttachedClient> client(new AttachedClient);
  ASSIGN_OR_RETURN(base::FdPair control, base::MakeSocketPair(SOCK_SEQPACKET | SOCK_NONBLOCK));
  client->control_ = std::move(control.ours);
  base::FdPair output, error;
  if (ends.output) {
    ASSIGN_OR_RETURN(output, MakeOutputPair());
  }
  if (ends.error) {
    ASSIGN_OR_RETURN(error, MakeOutputPair());
  }
  client->output_[0].socket = std::move(output.ours);
  client->output_[1].socket = std::move(error.ours);
  client->has_input_ = static_cast<bool>(ends.input);
  if (ends.terminal) client->line_end_ = "\r\n";
  stream = std::make_unique<AttachStream>(std::move(control.theirs), std::move(output.theirs), std::move(error.theirs),
                                          std::move(ends));
  return client;
}

AttachedClient::News AttachedClient::Listen() {
  const Result<std::optional<base::Message>> message = base::ReceiveMessage(control_.get(), 64, MSG_DONTWAIT);
  if (!message.ok() && message.error().number() == EAGAIN) return News::kNothing;
  if (!message.ok() || !*message) return News::kGone;
  if (!std::exchange(has_input_, false)) return News::kNothing;
  return News::kInputClosed;
}

bool AttachedClient::Deliver(LogStream stream, std::string_view bytes) {
  Output& output = output_[static_cast<size_t>(stream)];
  if (!output.socket || bytes.empty()) return false;
  if (output.skipped > 0) {
    output.skipped += bytes.size();
    return false;
  }
  const ssize_t sent = ::send(output.socket.get(), bytes.data(), bytes.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  if (sent < 0 && errno != EAGAIN && errno != EINTR) {
    output.socket.reset();  // the client is going
    return false;
  }
  output.skipped = bytes.size() - (sent > 0 ? static_cast<size_t>(sent) : 0);
  return output.skipped > 0;
}

bool AttachedClient::TellSkipped(LogStream stream) {
  Output& output = output_[static_cast<size_t>(stream)];
  if (!output.socket || output.skipped == 0) return true;
  const std::string line = std::string(line_end_) + "[" + std::to_string(output.skipped) +
                           " bytes of output were skipped because the client read too slowly]" + line_end_;
  const ssize_t sent = ::send(output.socket.get(), line.data(), line.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
  if (sent < 0 && (errno == EAGAIN || errno == EINTR)) return false;
  output.skipped = 0;
  if (sent < 0 || !control_) output.socket.reset();
  return true;
}

void AttachedClient::Finish() {
  control_.reset();
  for (Output& output : output_) {
    if (output.skipped == 0) output.socket.reset();
  }
}

}  // namespace nspawn
