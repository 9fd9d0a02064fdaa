// Spawner::ExecStream(): a command in a container whose streams are the client's.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/ioctl.h>

#include <filesystem>
#include <future>
#include <optional>
#include <string>

#include "spawner_fixture.h"

namespace nspawn {
namespace {

using namespace std::chrono_literals;
using base::Code;

class ExecStream : public SpawnerExec {
 protected:
  static constexpr StreamOptions kAll{.input = true, .output = true, .error = true};
  static constexpr StreamOptions kTerminal{.input = true, .output = true, .terminal = true};

  std::unique_ptr<Stream> Start(const std::string& script, const StreamOptions& options = kAll) const {
    auto stream = spawner_->ExecStream(Request({"sh", "-c", script}), options);
    EXPECT_TRUE(stream.ok()) << stream.error().message();
    return stream.ok() ? *std::move(stream) : nullptr;
  }
  static bool WaitFor(int fd, short events = POLLIN) {
    pollfd polled{fd, events, 0};
    return ::poll(&polled, 1, 20'000) == 1;
  }
  // Reads to the end.
  static std::string ReadAll(int fd) {
    std::string text;
    char buffer[4096];
    while (WaitFor(fd)) {
      const ssize_t n = ::read(fd, buffer, sizeof buffer);
      if (n <= 0) return text;
      text.append(buffer, static_cast<size_t>(n));
    }
    ADD_FAILURE() << "the output does not end";
    return text;
  }
  // Reads until `text` has come, and gives all.
  static std::string ReadUntil(int fd, std::string_view text) {
    std::string got;
    char buffer[4096];
    while (got.find(text) == std::string::npos) {
      if (!WaitFor(fd)) break;
      const ssize_t n = ::read(fd, buffer, sizeof buffer);
      if (n <= 0) break;
      got.append(buffer, static_cast<size_t>(n));
    }
    EXPECT_NE(got.find(text), std::string::npos) << got;
    return got;
  }
  static void Write(int fd, std::string_view text) {
    ASSERT_EQ(::write(fd, text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }
  static int ExitCode(Stream& stream) {
    EXPECT_TRUE(WaitFor(stream.Ended()));
    const auto code = stream.ExitCode();
    EXPECT_TRUE(code.ok()) << code.error().message();
    return code.ok() ? *code : -1;
  }
  bool IsAliveInside(const std::string& command) const {
    return Exec("grep -aqx '" + command + "' /proc/[0-9]*/comm")->exit_code == 0;
  }
};

TEST_F(ExecStream, ConnectsThreePipes) {
  const auto stream = Start("cat; echo err >&2; exit 7");
  Write(stream->Input(), "hello\n");
  EXPECT_EQ(ReadUntil(stream->Output(), "\n"), "hello\n");
  EXPECT_EQ(stream->ExitCode().error().code(), Code::kFailedPrecondition) << "it still runs";
  stream->CloseInput();
  EXPECT_EQ(stream->Input(), -1);
  EXPECT_EQ(ReadAll(stream->Output()), "");
  EXPECT_EQ(ReadAll(stream->Error()), "err\n");
  EXPECT_EQ(ExitCode(*stream), 7);
  EXPECT_EQ(ExitCode(*stream), 7) << "asked again";
  EXPECT_EQ(stream->Resize(80, 24).error().code(), Code::kFailedPrecondition);
}

TEST_F(ExecStream, WhatWasNotAskedForIsTheNullDevice) {
  const auto stream = Start("cat; readlink /proc/self/fd/0 /proc/self/fd/2", {.output = true});
  EXPECT_EQ(stream->Input(), -1);
  EXPECT_EQ(stream->Error(), -1);
  EXPECT_EQ(ReadAll(stream->Output()), "/dev/null\n/dev/null\n");
  EXPECT_EQ(ExitCode(*stream), 0);
}

TEST_F(ExecStream, MoreThanSixteenMebibytesArrive) {
  const auto stream = Start("head -c 20000000 /dev/zero", {.output = true});
  EXPECT_EQ(ReadAll(stream->Output()).size(), 20'000'000U);
}

TEST_F(ExecStream, TheUserCanOpenItsStreamsByName) {
  const auto stream = Start("read line < /proc/self/fd/0; echo $line > /proc/self/fd/1; echo e > /proc/self/fd/2");
  Write(stream->Input(), "by name\n");
  EXPECT_EQ(ReadAll(stream->Output()), "by name\n");
  EXPECT_EQ(ReadAll(stream->Error()), "e\n");
}

TEST_F(ExecStream, AClosedReaderIsSeenByTheWriter) {
  const auto stream = Start("exec 0<&-; echo closed; sleep 60");
  ReadUntil(stream->Output(), "closed");
  ::signal(SIGPIPE, SIG_IGN);
  EXPECT_EQ(::write(stream->Input(), "x", 1), -1);
  EXPECT_EQ(errno, EPIPE);
}

TEST_F(ExecStream, TheEndOfTheConnectionKillsTheProcessGroup) {
  auto stream = Start("sleep 4711 & sleep 4711 & echo ready; wait");
  ReadUntil(stream->Output(), "ready");
  // The shell's children have been made, but may not have executed it yet.
  for (int i = 0; i < 100 && !IsAliveInside("sleep"); ++i) std::this_thread::sleep_for(10ms);
  EXPECT_TRUE(IsAliveInside("sleep"));
  stream.reset();
  for (int i = 0; i < 100 && IsAliveInside("sleep"); ++i) std::this_thread::sleep_for(10ms);
  EXPECT_FALSE(IsAliveInside("sleep"));
}

TEST_F(ExecStream, ASignalIsAnExitCodeAbove128) {
  EXPECT_EQ(ExitCode(*Start("kill -TERM $$")), 128 + SIGTERM);
}

TEST_F(ExecStream, WhatCannotBeRunIsToldAtTheEnd) {
  for (const StreamOptions& options : {kAll, kTerminal}) {
    auto missing = spawner_->ExecStream(Request({"nope"}), options);
    ASSERT_TRUE(missing.ok()) << missing.error().message();
    ASSERT_TRUE(WaitFor((*missing)->Ended()));
    const auto code = (*missing)->ExitCode();
    ASSERT_FALSE(code.ok());
    EXPECT_EQ(code.error().code(), Code::kNotFound);
    EXPECT_EQ(code.error().message(), "exec: \"nope\": executable file not found in $PATH");

    ExecRequest elsewhere = Request({"true"});
    elsewhere.cgroup = "/other";
    auto refused = spawner_->ExecStream(elsewhere, options);
    ASSERT_TRUE(refused.ok()) << refused.error().message();
    ASSERT_TRUE(WaitFor((*refused)->Ended()));
    EXPECT_EQ((*refused)->ExitCode().error().code(), Code::kFailedPrecondition);
  }
  EXPECT_EQ(spawner_->ExecStream(Request({}), kAll).error().code(), Code::kInvalidArgument);
  StreamOptions both = kTerminal;
  both.error = true;
  EXPECT_EQ(spawner_->ExecStream(Request({"true"}), both).error().code(), Code::kInvalidArgument);
}

TEST_F(ExecStream, ATerminalIsTheContainersOwn) {
  const auto stream =
      Start("tty; echo $TERM; echo /dev/pts/*; stat -c %u:%a $(tty); echo x > /dev/tty; exit 3", kTerminal);
  ASSERT_NE(stream->Output(), -1);
  EXPECT_EQ(stream->Error(), -1);
  EXPECT_EQ(ReadAll(stream->Output()), "/dev/pts/0\r\nxterm\r\n/dev/pts/0 /dev/pts/ptmx\r\n1000:620\r\nx\r\n");
  EXPECT_EQ(ExitCode(*stream), 3);
}

TEST_F(ExecStream, TermOfTheContainerIsKept) {
  spec_.environment.emplace_back("TERM=vt220");
  WriteSpec();
  EXPECT_EQ(ReadAll(Start("echo $TERM", kTerminal)->Output()), "vt220\r\n");
}

TEST_F(ExecStream, ATerminalHasASizeAndSignals) {
  const auto stream = Start(
      "trap 'echo resized; stty size' WINCH; trap 'echo interrupted; exit 9' INT; echo ready; "
      "while true; do sleep 0.1; done",
      kTerminal);
  ReadUntil(stream->Output(), "ready");
  ASSERT_TRUE(stream->Resize(132, 43).ok());
  EXPECT_NE(ReadUntil(stream->Output(), "43 132").find("resized"), std::string::npos);
  Write(stream->Input(), "\x03");
  ReadUntil(stream->Output(), "interrupted");
  EXPECT_EQ(ExitCode(*stream), 9);
}

TEST_F(ExecStream, ClosingTheInputOfATerminalChangesNothing) {
  const auto stream = Start("read a; echo got $a; sleep 0.2; echo still", kTerminal);
  Write(stream->Input(), "line\n");
  ReadUntil(stream->Output(), "got line\r\n");
  stream->CloseInput();
  EXPECT_EQ(stream->Input(), -1);
  EXPECT_EQ(ReadAll(stream->Output()), "still\r\n");
  EXPECT_EQ(ExitCode(*stream), 0);
}

TEST_F(ExecStream, TheEndOfAConnectionHangsTheTerminalUp) {
  auto stream = Start("sleep 4711 & sleep 4711 & echo ready; wait", kTerminal);
  ReadUntil(stream->Output(), "ready");
  stream.reset();
  for (int i = 0; i < 100 && IsAliveInside("sleep"); ++i) std::this_thread::sleep_for(10ms);
  EXPECT_FALSE(IsAliveInside("sleep"));
}

TEST_F(ExecStream, WhatElseLiesInTheTerminalMultiplexersPlaceIsNotOpened) {
  // A FIFO would block whoever opens it.
  spec_.user.uid = 0;
  spec_.capabilities.permitted = uint64_t{1} << 21;  // CAP_SYS_ADMIN
  spec_.capabilities.bounding |= spec_.capabilities.permitted;
  WriteSpec();
  const std::string target = std::filesystem::canonical("/dev/ptmx") == "/dev/ptmx" ? "/dev/ptmx" : "/dev/pts/ptmx";
  ASSERT_EQ(Output("mkfifo /tmp/$$ && mount --bind /tmp/$$ " + target + "; rm /tmp/$$"), "");
  const auto stream = Start("true", kTerminal);
  ASSERT_TRUE(WaitFor(stream->Ended()));
  EXPECT_EQ(stream->ExitCode().error().code(), Code::kFailedPrecondition);
}

TEST_F(ExecStream, TwoHundredAtOnce) {
  std::vector<std::unique_ptr<Stream>> streams;
  for (int i = 0; i < 200; ++i) {
    streams.push_back(Start("read a; echo $a; exit " + std::to_string(i % 100), i % 2 == 0 ? kAll : kTerminal));
  }
  for (int i = 0; i < 200; ++i) Write(streams[static_cast<size_t>(i)]->Input(), std::to_string(i) + "\n");
  for (int i = 0; i < 200; ++i) {
    Stream& stream = *streams[static_cast<size_t>(i)];
    EXPECT_NE(ReadAll(stream.Output()).find(std::to_string(i)), std::string::npos);
    EXPECT_EQ(ExitCode(stream), i % 100);
  }
}

TEST_F(ExecStream, LeaksNoDescriptor) {
  const auto count = [](const std::string& process) {
    size_t descriptors = 0;
    for (const auto& entry : std::filesystem::directory_iterator("/proc/" + process + "/fd")) {
      descriptors += !entry.path().empty();
    }
    return descriptors;
  };
  const auto run = [&] {
    for (const StreamOptions& options : {kAll, kTerminal}) {
      const auto stream = Start("echo x", options);
      ReadAll(stream->Output());
      ExitCode(*stream);
    }
  };
  run();
  const size_t before = count("self");
  for (int i = 0; i < 20; ++i) run();
  EXPECT_EQ(count("self"), before);
}

}  // namespace
}  // namespace nspawn
