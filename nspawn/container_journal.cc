#include "nspawn/container_journal.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <ctime>

namespace nspawn {
namespace {

constexpr int64_t kSecond = 1'000'000'000;
constexpr int64_t kMillisecond = 1'000'000;
constexpr int64_t kBudgetTime = 30 * kSecond;
constexpr int64_t kMostWaited = 50 * kMillisecond;
constexpr size_t kMostValue = 1024;
// As sd_journal_send(3) asks for; the kernel gives what it allows.
constexpr int kSendBuffer = 8 * 1024 * 1024;
// With these a line belongs to PRIORITY=6 (informational) or 3 (error), as in syslog(3).
constexpr std::string_view kOutput = "PRIORITY=6\n";
constexpr std::string_view kError = "PRIORITY=3\n";
constexpr std::string_view kWarning = "PRIORITY=4\n";

int64_t Monotonic() {
  struct timespec now {};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec * kSecond + now.tv_nsec;
}

void AppendField(std::string& entry, std::string_view name, std::string_view value) {
  entry += name;
  if (value.find('\n') == std::string_view::npos) {
    entry += '=';
  } else {
    // The form for what has line breaks: a length of 64 bits, the lowest byte first.
    entry += '\n';
    for (int byte = 0; byte < 8; ++byte) {
      entry += static_cast<char>(static_cast<uint64_t>(value.size()) >> (8 * byte) & 0xff);
    }
  }
  entry += value;
  entry += '\n';
}

}  // namespace

bool LineBudget::Take(int64_t now) {
  if (now < begin_ || now - begin_ >= kBudgetTime) {
    begin_ = now;
    used_ = 0;
  }
  if (used_ >= most_) return false;
  ++used_;
  return true;
}

bool JournalWriter::Connect() {
  struct sockaddr_un address {};
  address.sun_family = AF_UNIX;
  if (options_.socket.size() >= sizeof address.sun_path) return false;
  std::memcpy(address.sun_path, options_.socket.data(), options_.socket.size());
  base::UniqueFd made(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!made) return false;
  (void)::setsockopt(made.get(), SOL_SOCKET, SO_SNDBUF, &kSendBuffer, sizeof kSendBuffer);
  if (::connect(made.get(), reinterpret_cast<const struct sockaddr*>(&address), sizeof address) != 0) return false;
  socket_ = std::move(made);
  return true;
}

bool JournalWriter::AwaitRoom() {
  const int64_t begin = Monotonic();
  if (begin - wait_begin_ >= kSecond) {
    wait_begin_ = begin;
    waited_ = 0;
  }
  const int64_t left = kMostWaited - waited_;
  if (left < kMillisecond) return false;
  struct pollfd room = {.fd = socket_.get(), .events = POLLOUT, .revents = 0};
  const int ready = ::poll(&room, 1, static_cast<int>(left / kMillisecond));
  // At least something, so that this comes to an end.
  waited_ += std::max<int64_t>(Monotonic() - begin, kMillisecond / 10);
  return ready > 0 || (ready < 0 && errno == EINTR);
}

bool JournalWriter::Send(std::string_view entry) {
  bool connected = false;
  for (;;) {
    if (!socket_ && (std::exchange(connected, true) || !Connect())) return false;
    if (::send(socket_.get(), entry.data(), entry.size(), MSG_NOSIGNAL | MSG_DONTWAIT) >= 0) return true;
    switch (errno) {
      case EINTR:
        continue;
      case EAGAIN:
      case ENOBUFS:
        if (!AwaitRoom()) return false;
        continue;
      case ECONNREFUSED:
      case ECONNRESET:
      case ENOTCONN:
      case EPIPE:
        // journald has a new socket, or none.
        socket_.reset();
        continue;
      default:
        return false;
    }
  }
}

ContainerJournal::ContainerJournal(const JournalFields& fields, uint32_t most_lines) : budget_(most_lines) {
  for (const auto& [name, value] : fields) {
    if (!value.empty()) AppendField(fields_, name, std::string_view(value).substr(0, kMostValue));
  }
}

void ContainerJournal::Write(JournalWriter& writer, LogStream stream, bool partial, std::string_view text,
                             int64_t now) {
  if (!budget_.Take(now) || !writer.budget().Take(now) || !TellLeftOut(writer)) {
    ++left_out_;
    return;
  }
  entry_ = fields_;
  entry_ += stream == LogStream::kStdout ? kOutput : kError;
  if (partial) AppendField(entry_, "CONTAINER_PARTIAL_MESSAGE", "true");
  AppendField(entry_, "MESSAGE", text);
  if (!writer.Send(entry_)) ++left_out_;
}

bool ContainerJournal::TellLeftOut(JournalWriter& writer) {
  if (left_out_ == 0) return true;
  entry_ = fields_;
  entry_ += kWarning;
  AppendField(entry_, "MESSAGE",
              std::to_string(left_out_) + " lines of this container before this one are only in its log file");
  if (!writer.Send(entry_)) return false;
  left_out_ = 0;
  return true;
}

void ContainerJournal::Finish(JournalWriter& writer) {
  (void)TellLeftOut(writer);
}

}  // namespace nspawn
