// Containers with an input or a terminal, and the clients that are attached to them.
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <termios.h>

#include <cstring>

#include "base/message.h"
#include "logs_fixture.h"
#include "nspawn/console.h"

namespace nspawn {
namespace {

using base::Code;
using base::UniqueFd;
using testing::Test;

constexpr StreamOptions kAll{.input = true, .output = true, .error = true};
constexpr StreamOptions kTerminal{.input = true, .output = true, .terminal = true};

class AttachTest : public LogsFixture {
 protected:
  void SetUp() override {
    LogsFixture::SetUp();
    ::signal(SIGPIPE, SIG_IGN);
    Start();
  }

  LogTarget TargetWithInput(bool once) const {
    LogTarget target = Target();
    target.input = true;
    target.input_once = once;
    EXPECT_EQ(::mkfifo((target.bundle + "/stdin").c_str(), 0600), 0);
    return target;
  }
  LogTarget TargetWithTerminal() const {
    LogTarget target = Target();
    target.input = true;
    target.terminal = true;
    return target;
  }

  // What init does for a program with an input.
  static UniqueFd Reader(const LogTarget& target) {
    UniqueFd reader(::open((target.bundle + "/stdin").c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
    EXPECT_TRUE(reader);
    return reader;
  }

  struct Pty {
    UniqueFd master, slave;
  };
  static Pty MakePty() {
    Pty pty;
    pty.master.reset(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
    EXPECT_EQ(::grantpt(pty.master.get()), 0);
    EXPECT_EQ(::unlockpt(pty.master.get()), 0);
    pty.slave.reset(::ioctl(pty.master.get(), TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
    EXPECT_TRUE(pty.slave);
    return pty;
  }
  static UniqueFd ConnectConsole(const LogTarget& target) {
    UniqueFd console(::socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, (target.bundle + "/" + kConsoleSocket).c_str(), sizeof address.sun_path - 1);
    if (::connect(console.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) console.reset();
    return console;
  }
  // What init does for a program with a terminal; gives the program's side.
  static UniqueFd HandOver(const LogTarget& target) {
    Pty pty = MakePty();
    const UniqueFd console = ConnectConsole(target);
    EXPECT_TRUE(console);
    EXPECT_TRUE(base::SendMessage(console.get(), kTerminalMessage, {pty.master.get()}).ok());
    const auto answer = base::ReceiveMessage(console.get(), 64);
    EXPECT_TRUE(answer.ok() && *answer && (*answer)->text == kTerminalKept);
    return std::move(pty.slave);
  }

  std::unique_ptr<Stream> Attach(const LogTarget& target, const StreamOptions& options) const {
    auto stream = logs_->Attach(target.name, options);
    EXPECT_TRUE(stream.ok()) << stream.error().message();
    return stream.ok() ? *std::move(stream) : nullptr;
  }
  static bool WaitFor(int fd, int milliseconds = 20'000) {
    pollfd polled{fd, POLLIN, 0};
    return ::poll(&polled, 1, milliseconds) == 1;
  }
  static std::string ReadUntil(int fd, std::string_view text) {
    std::string got;
    char buffer[65536];
    while (got.find(text) == std::string::npos) {
      if (!WaitFor(fd)) break;
      const ssize_t n = ::read(fd, buffer, sizeof buffer);
      if (n <= 0) break;
      got.append(buffer, static_cast<size_t>(n));
    }
    EXPECT_NE(got.find(text), std::string::npos) << base::Printable(got, 200);
    return got;
  }
  static std::string ReadAll(int fd) {
    std::string got;
    char buffer[65536];
    while (WaitFor(fd)) {
      const ssize_t n = ::read(fd, buffer, sizeof buffer);
      if (n <= 0) return got;
      got.append(buffer, static_cast<size_t>(n));
    }
    ADD_FAILURE() << "the output does not end";
    return got;
  }
  // 0 at the end of the input, -1 when there is nothing at present.
  static ssize_t ReadInput(const UniqueFd& reader, std::string& text) {
    char buffer[4096];
    const ssize_t n = ::read(reader.get(), buffer, sizeof buffer);
    text.assign(buffer, n > 0 ? static_cast<size_t>(n) : 0);
    return n;
  }
  static bool AtEnd(const UniqueFd& reader) {
    std::string text;
    return WaitUntil([&] { return ReadInput(reader, text) == 0; });
  }
  static size_t OpenDescriptors() {
    size_t count = 0;
    for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) count += !entry.path().empty();
    return count;
  }
};

TEST_F(AttachTest, EveryClientGetsTheBytesAndTheLogTheRecords) {
  const LogTarget target = Target();
  ASSERT_TRUE(logs_->Open(target).ok());
  const UniqueFd output = Writer(target);
  const UniqueFd error = Writer(target, "stderr");
  Write(output, "before\n");
  ASSERT_TRUE(WaitUntil([&] { return Lines(target) == 1; }));
  const auto first = Attach(target, kAll);
  const auto second = Attach(target, {.output = true});
  EXPECT_EQ(first->Input(), -1) << "the container has no input";
  EXPECT_EQ(second->Error(), -1);
  Write(output, std::string("a\r\nb\0c", 6));
  Write(error, "error\n");
  EXPECT_EQ(ReadUntil(first->Output(), "c"), std::string("a\r\nb\0c", 6));
  EXPECT_EQ(ReadUntil(second->Output(), "c"), std::string("a\r\nb\0c", 6));
  EXPECT_EQ(ReadUntil(first->Error(), "\n"), "error\n");
  EXPECT_EQ(first->Resize(80, 24).error().code(), Code::kFailedPrecondition);
  EXPECT_FALSE(WaitFor(first->Ended(), 0));
  Write(output, "last");
  logs_->Close(target.name, 0);
  EXPECT_TRUE(WaitFor(first->Ended(), 0));
  EXPECT_EQ(*first->ExitCode(), 0);
  EXPECT_EQ(ReadAll(first->Output()), "last");
  EXPECT_EQ(ReadAll(first->Error()), "");
  EXPECT_EQ(ReadAll(second->Output()), "last");
  EXPECT_EQ(Lines(target), 4U);
}

TEST_F(AttachTest, AContainerThatIsNotLoggedHasNobodyToAttachTo) {
  EXPECT_EQ(logs_->Attach("web", kAll).error().code(), Code::kFailedPrecondition);
}

TEST_F(AttachTest, ContainersWithoutALogCanBeAttachedTo) {
  LogTarget target = Target();
  target.path.clear();
  ASSERT_TRUE(logs_->Open(target).ok());
  const auto client = Attach(target, kAll);
  Write(Writer(target), "output\n");
  EXPECT_EQ(ReadUntil(client->Output(), "\n"), "output\n");
}

TEST_F(AttachTest, ASlowReaderIsToldWhatItMissedAndHoldsNobodyUp) {
  const LogTarget target = Target();
  ASSERT_TRUE(logs_->Open(target).ok());
  const UniqueFd output = Writer(target);
  const auto slow = Attach(target, {.output = true});
  const auto quick = Attach(target, {.output = true});
  // The quick one has always read what there is before more comes; the slow one never reads.
  size_t written = 0;
  for (int i = 0; i < 40; ++i) {
    const std::string piece = std::string(250'000, 'x') + " " + std::to_string(i) + "\n";
    std::jthread writer([&] { Write(output, piece); });
    EXPECT_EQ(ReadUntil(quick->Output(), "\n").size(), piece.size());
    written += piece.size();
  }

  const std::string first = ReadUntil(slow->Output(), "bytes of output were skipped");
  const size_t told = first.find("\n[");
  ASSERT_NE(told, std::string::npos);
  EXPECT_GT(told, 1U << 19);
  EXPECT_LT(told, 1U << 22);
  EXPECT_EQ(told + static_cast<size_t>(std::stoul(first.substr(told + 2))), written);
  // From now on it keeps up.
  Write(output, "more\n");
  ReadUntil(slow->Output(), "more\n");
}

TEST_F(AttachTest, WhatWasMissedIsToldAfterTheEndToo) {
  const LogTarget target = Target();
  ASSERT_TRUE(logs_->Open(target).ok());
  const auto slow = Attach(target, {.output = true});
  const auto gone = Attach(target, {.output = true});
  const UniqueFd output = Writer(target);
  for (int i = 0; i < 100'000; ++i) Write(output, std::string(99, 'x') + "\n");
  logs_->Close(target.name, 5000);
  EXPECT_TRUE(WaitFor(slow->Ended(), 0));
  const std::string all = ReadAll(slow->Output());
  EXPECT_NE(all.find("bytes of output were skipped because the client read too slowly]\n"), std::string::npos);
}

TEST_F(AttachTest, ClientsThatLeaveAreForgotten) {
  const LogTarget target = TargetWithInput(false);
  ASSERT_TRUE(logs_->Open(target).ok());
  const UniqueFd output = Writer(target);
  const UniqueFd reader = Reader(target);
  const size_t before = OpenDescriptors();
  for (int i = 0; i < 20; ++i) {
    const auto first = Attach(target, kAll);
    const auto second = Attach(target, kAll);
    Write(output, std::string(100, 'x'));
    if (i % 2 == 0) ReadUntil(first->Output(), "x");
  }
  EXPECT_TRUE(WaitUntil([&] { return OpenDescriptors() == before; }));
  // Clients outlive the object.
  const auto client = Attach(target, kAll);
  logs_.reset();
  EXPECT_TRUE(WaitFor(client->Ended(), 0));
  client->CloseInput();
}

TEST_F(AttachTest, TheInputStaysOpenFromClientToClient) {
  const LogTarget target = TargetWithInput(false);
  ASSERT_TRUE(logs_->Open(target).ok());
  const UniqueFd reader = Reader(target);
  std::string text;
  EXPECT_EQ(ReadInput(reader, text), -1) << "there is an end before a client came";
  for (const std::string line : {"first\n", "second\n"}) {
    const auto client = Attach(target, kAll);
    ASSERT_NE(client->Input(), -1);
    ASSERT_EQ(::write(client->Input(), line.data(), line.size()), static_cast<ssize_t>(line.size()));
    ASSERT_EQ(ReadInput(reader, text), static_cast<ssize_t>(line.size()));
    EXPECT_EQ(text, line);
    client->CloseInput();
    EXPECT_EQ(client->Input(), -1);
  }
  ::usleep(50'000);
  EXPECT_EQ(ReadInput(reader, text), -1);
  logs_->Close(target.name, 0);
  EXPECT_TRUE(AtEnd(reader));
  EXPECT_EQ(store_.Names(), std::vector<std::string>());
}

TEST_F(AttachTest, WithStdinOnceTheFirstClientEndsTheInput) {
  for (const bool leaves : {false, true}) {
    LogTarget target = TargetWithInput(true);
    ASSERT_TRUE(logs_->Open(target).ok());
    const UniqueFd reader = Reader(target);
    std::string text;
    // A client that wants no input changes nothing.
    Attach(target, {.output = true}).reset();
    auto first = Attach(target, kAll);
    const auto second = Attach(target, kAll);
    EXPECT_NE(first->Input(), -1);
    EXPECT_EQ(second->Input(), -1);
    ASSERT_EQ(::write(first->Input(), "x", 1), 1);
    ASSERT_EQ(ReadInput(reader, text), 1);
    EXPECT_EQ(ReadInput(reader, text), -1);
    if (leaves) {
      first.reset();
    } else {
      first->CloseInput();
    }
    EXPECT_TRUE(AtEnd(reader));
    EXPECT_EQ(Attach(target, kAll)->Input(), -1);
    EXPECT_EQ(store_.Names(), (std::vector<std::string>{"log-web-stderr", "log-web-stdout"}));
    logs_->Close(target.name, 0);
    std::filesystem::remove_all(target.bundle);
  }
}

TEST_F(AttachTest, AProgramThatHasClosedItsInputHasNone) {
  const LogTarget target = TargetWithInput(false);
  ASSERT_TRUE(logs_->Open(target).ok());
  UniqueFd reader = Reader(target);
  const auto client = Attach(target, kAll);
  reader.reset();
  EXPECT_EQ(::write(client->Input(), "x", 1), -1);
  EXPECT_EQ(errno, EPIPE);
  EXPECT_EQ(Attach(target, kAll)->Input(), -1);
}

TEST_F(AttachTest, TheInputOutlivesTheDaemon) {
  const LogTarget target = TargetWithInput(false);
  ASSERT_TRUE(logs_->Open(target).ok());
  const UniqueFd reader = Reader(target);
  EXPECT_EQ(store_.Names(), (std::vector<std::string>{"log-web-stderr", "log-web-stdin", "log-web-stdout"}));
  logs_.reset();
  std::string text;
  EXPECT_EQ(ReadInput(reader, text), -1);
  Start();
  ASSERT_TRUE(logs_->Open(target).ok());
  logs_->DropUnclaimed();
  EXPECT_EQ(ReadInput(reader, text), -1);
  const auto client = Attach(target, kAll);
  ASSERT_EQ(::write(client->Input(), "x", 1), 1);
  EXPECT_EQ(ReadInput(reader, text), 1);
}

TEST_F(AttachTest, AClientOfStdinOnceLeavesWithTheDaemon) {
  const LogTarget target = TargetWithInput(true);
  ASSERT_TRUE(logs_->Open(target).ok());
  const UniqueFd reader = Reader(target);
  logs_.reset();
  Start();
  ASSERT_TRUE(logs_->Open(target).ok());
  std::string text;
  EXPECT_EQ(ReadInput(reader, text), -1) << "nobody was attached";
  auto client = Attach(target, kAll);
  ASSERT_NE(client->Input(), -1);
  client.reset(nullptr);
  // The daemon is killed before it sees that.
  logs_.reset();
  Start();
  ASSERT_TRUE(logs_->Open(target).ok());
  EXPECT_TRUE(AtEnd(reader));
  EXPECT_EQ(store_.Names(), (std::vector<std::string>{"log-web-stderr", "log-web-stdout"}));
}

TEST_F(AttachTest, ATerminalIsTakenLoggedAndShared) {
  const LogTarget target = TargetWithTerminal();
  ASSERT_TRUE(logs_->Open(target).ok());
  EXPECT_EQ(logs_->Attach(target.name, kTerminal).error().code(), Code::kFailedPrecondition);
  const UniqueFd slave = HandOver(target);
  EXPECT_TRUE(WaitUntil([&] { return !std::filesystem::exists(target.bundle + "/console"); }));
  EXPECT_EQ(store_.Names(), (std::vector<std::string>{"log-web-stderr", "log-web-stdout", "log-web-terminal"}));
  const auto first = Attach(target, kTerminal);
  const auto second = Attach(target, kAll);
  EXPECT_EQ(second->Error(), -1) << "a terminal's output is one stream";
  Write(slave, "hello\nworld\n");
  EXPECT_EQ(ReadUntil(first->Output(), "world\r\n"), "hello\r\nworld\r\n");
  EXPECT_EQ(ReadUntil(second->Output(), "world\r\n"), "hello\r\nworld\r\n");
  ASSERT_TRUE(WaitUntil([&] { return Lines(target) == 2; }));
  EXPECT_EQ(Records(target), (std::vector<LogRecord>{{"stdout", "F", "hello"}, {"stdout", "F", "world"}}));

  ASSERT_EQ(::write(first->Input(), "typed\n", 6), 6);
  char buffer[64];
  ASSERT_EQ(::read(slave.get(), buffer, sizeof buffer), 6);
  ReadUntil(second->Output(), "typed\r\n");  // the echo
  ASSERT_TRUE(second->Resize(132, 43).ok());
  winsize size{};
  ASSERT_EQ(::ioctl(slave.get(), TIOCGWINSZ, &size), 0);
  EXPECT_EQ(size.ws_col, 132);
  EXPECT_EQ(size.ws_row, 43);
  first->CloseInput();
  EXPECT_EQ(first->Input(), -1);
  ASSERT_EQ(::write(second->Input(), "more\n", 5), 5);
  ASSERT_EQ(::read(slave.get(), buffer, sizeof buffer), 5);
}

TEST_F(AttachTest, TheLastOutputOfATerminalIsNotLost) {
  const LogTarget target = TargetWithTerminal();
  ASSERT_TRUE(logs_->Open(target).ok());
  UniqueFd slave = HandOver(target);
  const auto client = Attach(target, kTerminal);
  Write(slave, "one\nlast");
  slave.reset();
  logs_->Close(target.name, 1000);
  EXPECT_EQ(ReadAll(client->Output()), "one\r\nlast");
  EXPECT_EQ(Records(target), (std::vector<LogRecord>{{"stdout", "F", "one"}, {"stdout", "P", "last"}}));
  EXPECT_EQ(store_.Names(), std::vector<std::string>());
}

TEST_F(AttachTest, ATerminalThatNobodyHasOpenCostsNothingAndCanBeOpenedAgain) {
  const LogTarget target = TargetWithTerminal();
  ASSERT_TRUE(logs_->Open(target).ok());
  UniqueFd slave = HandOver(target);
  const std::string name = std::filesystem::read_symlink("/proc/self/fd/" + std::to_string(slave.get()));
  Write(slave, "one\n");
  ASSERT_TRUE(WaitUntil([&] { return Lines(target) == 1; }));
  slave.reset();
  ::usleep(50'000);
  const auto used = [] {
    timespec time{};
    ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) / 1e9;
  };
  const double before = used();
  ::usleep(300'000);
  EXPECT_LT(used() - before, 0.02);
  slave.reset(::open(name.c_str(), O_RDWR | O_NOCTTY | O_CLOEXEC));
  ASSERT_TRUE(slave);
  Write(slave, "two\n");
  ASSERT_TRUE(WaitUntil([&] { return Lines(target) == 2; }));
  Write(slave, "three\n");
  ASSERT_TRUE(WaitUntil([&] { return Lines(target) == 3; }));
}

TEST_F(AttachTest, ATerminalOutlivesTheDaemon) {
  const LogTarget target = TargetWithTerminal();
  ASSERT_TRUE(logs_->Open(target).ok());
  const UniqueFd slave = HandOver(target);
  for (int run = 0; run < 3; ++run) {
    logs_.reset();
    Write(slave, "run " + std::to_string(run) + "\n");
    Start();
    ASSERT_TRUE(logs_->Open(target).ok());
    logs_->DropUnclaimed();
    const auto client = Attach(target, kTerminal);
    Write(slave, "again\n");
    ReadUntil(client->Output(), "again\r\n");
  }
  logs_->Close(target.name, 1000);
  EXPECT_EQ(Texts(Records(target)), (std::vector<std::string>{"run 0", "again", "run 1", "again", "run 2", "again"}));
}

TEST_F(AttachTest, AStartThatWasBrokenOffCanBeRepeated) {
  const LogTarget target = TargetWithTerminal();
  ASSERT_TRUE(logs_->Open(target).ok());
  // Goes away without a word.
  ConnectConsole(target).reset();
  // Sends what is no terminal.
  const UniqueFd wrong = ConnectConsole(target);
  ASSERT_TRUE(base::SendMessage(wrong.get(), kTerminalMessage, {wrong.get()}).ok());
  const auto refused = base::ReceiveMessage(wrong.get(), 64);
  ASSERT_TRUE(refused.ok());
  EXPECT_FALSE(*refused) << "it must be closed without an answer";
  // The daemon goes before it has taken the terminal.
  const UniqueFd early = ConnectConsole(target);
  ASSERT_TRUE(early);
  logs_.reset();
  const auto closed = base::ReceiveMessage(early.get(), 64);
  EXPECT_TRUE(!closed.ok() || !*closed);
  EXPECT_FALSE(ConnectConsole(target)) << "nobody is there";
  Start();
  ASSERT_TRUE(logs_->Open(target).ok());
  const UniqueFd slave = HandOver(target);
  Write(slave, "started\n");
  EXPECT_TRUE(WaitUntil([&] { return Lines(target) == 1; }));
}

TEST_F(AttachTest, AStaleSocketOfAKilledDaemonIsReplaced) {
  const LogTarget target = TargetWithTerminal();
  std::ofstream(target.bundle + "/console") << "stale";
  ASSERT_TRUE(logs_->Open(target).ok());
  const UniqueFd slave = HandOver(target);
  logs_->Close(target.name, 0);
  EXPECT_FALSE(std::filesystem::exists(target.bundle + "/console"));
}

TEST_F(AttachTest, ATerminalThatIsNeverHandedOverLeavesNothing) {
  const size_t before = OpenDescriptors();
  const LogTarget target = TargetWithTerminal();
  ASSERT_TRUE(logs_->Open(target).ok());
  logs_->Close(target.name, 0);
  EXPECT_FALSE(std::filesystem::exists(target.bundle + "/console"));
  EXPECT_EQ(OpenDescriptors(), before);
  EXPECT_EQ(store_.Names(), std::vector<std::string>());
}

}  // namespace
}  // namespace nspawn
