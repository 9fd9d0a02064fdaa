// A backend whose processes are children of the test and whose pods' ports are those of this host's loopback.
#pragma once

#include <arpa/inet.h>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "cri/streaming/backend.h"

namespace cri::streaming {

inline void SetNonBlocking(int fd) {
  ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK);
}

class ChildStream final : public nspawn::Stream {
 public:
  ChildStream(const std::vector<std::string>& arguments, const nspawn::StreamOptions& options, std::atomic<int>& alive)
      : options_(options), alive_(alive) {
    int in[2] = {-1, -1}, out[2] = {-1, -1}, err[2] = {-1, -1}, terminal = -1;
    std::vector<char*> argv;
    for (const std::string& each : arguments) argv.push_back(const_cast<char*>(each.c_str()));
    argv.push_back(nullptr);
    if (options.terminal) {
      int master = -1;
      EXPECT_EQ(::openpty(&master, &terminal, nullptr, nullptr, nullptr), 0);
      output_.reset(master);
      ::fcntl(master, F_SETFD, FD_CLOEXEC);
    } else {
      EXPECT_EQ(::pipe2(in, O_CLOEXEC), 0);
      EXPECT_EQ(::pipe2(out, O_CLOEXEC), 0);
      EXPECT_EQ(::pipe2(err, O_CLOEXEC), 0);
      input_.reset(in[1]);
      output_.reset(out[0]);
      error_.reset(err[0]);
      if (!options.input) input_.reset();
    }
    pid_ = ::fork();
    if (pid_ == 0) {
      ::setsid();
      if (options.terminal) ::ioctl(terminal, TIOCSCTTY, 0);
      ::dup2(options.terminal ? terminal : in[0], 0);
      ::dup2(options.terminal ? terminal : out[1], 1);
      ::dup2(options.terminal ? terminal : err[1], 2);
      ::signal(SIGPIPE, SIG_DFL);
      ::execvp(argv[0], argv.data());
      ::_exit(127);
    }
    ++alive_;
    for (const int fd : {in[0], out[1], err[1], terminal}) {
      if (fd >= 0) ::close(fd);
    }
    for (const int fd : {input_.get(), output_.get(), error_.get()}) {
      if (fd >= 0) SetNonBlocking(fd);
    }
    pidfd_.reset(static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0)));
  }
  ~ChildStream() override {
    if (!reaped_) {
      // Its group is there only when it has got that far.
      if (::kill(-pid_, SIGKILL) != 0) ::kill(pid_, SIGKILL);
      ::waitpid(pid_, nullptr, 0);
    }
    --alive_;
  }

  int Input() const override { return options_.terminal ? output_.get() : input_.get(); }
  int Output() const override { return output_.get(); }
  int Error() const override { return error_.get(); }
  void CloseInput() override { input_.reset(); }
  base::Status Resize(uint16_t columns, uint16_t rows) override {
    winsize size{};
    size.ws_col = columns;
    size.ws_row = rows;
    if (::ioctl(output_.get(), TIOCSWINSZ, &size) != 0) return {base::Code::kFailedPrecondition, "no terminal"};
    return base::Ok();
  }
  int Ended() const override { return pidfd_.get(); }
  base::Result<int> ExitCode() override {
    int status = 0;
    if (::waitpid(pid_, &status, 0) != pid_) return base::ErrnoError("wait");
    reaped_ = true;
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
  }

 private:
  const nspawn::StreamOptions options_;
  std::atomic<int>& alive_;
  pid_t pid_ = -1;
  bool reaped_ = false;
  base::UniqueFd input_, output_, error_, pidfd_;
};

class FakeBackend final : public Backend {
 public:
  base::Result<std::unique_ptr<nspawn::Stream>> Exec(const runtime::v1::ExecRequest& request) override {
    if (request.cmd(0) == "refused") return base::Error(base::Code::kNotFound, "no such command");
    return Run({request.cmd().begin(), request.cmd().end()}, request);
  }
  // The container's process is given by its id.
  base::Result<std::unique_ptr<nspawn::Stream>> Attach(const runtime::v1::AttachRequest& request) override {
    return Run({"sh", "-c", request.container_id()}, request);
  }
  base::Result<base::UniqueFd> Connect(const std::string&, uint16_t port) override {
    base::UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = ::htons(port);
    address.sin_addr.s_addr = ::htonl(INADDR_LOOPBACK);
    if (::connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0) {
      return base::ErrnoError("connect to port " + std::to_string(port));
    }
    SetNonBlocking(socket.get());
    return socket;
  }

  // Processes whose stream has not ended.
  std::atomic<int> alive{0};

 private:
  template <typename Request>
  base::Result<std::unique_ptr<nspawn::Stream>> Run(const std::vector<std::string>& arguments, const Request& request) {
    return std::unique_ptr<nspawn::Stream>(std::make_unique<ChildStream>(
        arguments, nspawn::StreamOptions{request.stdin(), request.stdout(), request.stderr(), request.tty()}, alive));
  }
};

}  // namespace cri::streaming
