#include "nspawn/fd_store.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>

namespace nspawn {
namespace {

// Plays the service manager: a datagram socket that NOTIFY_SOCKET names.
class FdStores : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "/fd-store-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    root_ = pattern;
    socket_ = base::UniqueFd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    struct sockaddr_un address {};
    address.sun_family = AF_UNIX;
    const std::string path = root_ + "/notify";
    ASSERT_LT(path.size(), sizeof address.sun_path);
    std::memcpy(address.sun_path, path.c_str(), path.size());
    ASSERT_EQ(::bind(socket_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address), 0);
    ::setenv("NOTIFY_SOCKET", path.c_str(), 1);
  }
  void TearDown() override {
    ::unsetenv("NOTIFY_SOCKET");
    std::filesystem::remove_all(root_);
  }
  // The next message, the descriptor that came with it, and who has sent it.
  std::string Receive(base::UniqueFd* fd, pid_t* sender = nullptr) {
    char text[512];
    struct iovec part {
      text, sizeof text
    };
    alignas(cmsghdr) char control[256];
    struct msghdr message {};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    const ssize_t size = ::recvmsg(socket_.get(), &message, MSG_CMSG_CLOEXEC);
    if (size < 0) return "";
    for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header)) {
      if (header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS) {
        int number = -1;
        std::memcpy(&number, CMSG_DATA(header), sizeof number);
        fd->reset(number);
      }
      if (header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_CREDENTIALS && sender != nullptr) {
        struct ucred credentials {};
        std::memcpy(&credentials, CMSG_DATA(header), sizeof credentials);
        *sender = credentials.pid;
      }
    }
    return {text, static_cast<size_t>(size)};
  }
  std::string root_;
  base::UniqueFd socket_;
};

TEST_F(FdStores, PutSendsTheDescriptorWithItsNameAndWithoutPolling) {
  int ends[2];
  ASSERT_EQ(::pipe2(ends, O_CLOEXEC), 0);
  const base::UniqueFd read_end(ends[0]);
  const base::UniqueFd write_end(ends[1]);
  const auto store = MakeSystemdFdStore();
  ASSERT_TRUE(store->Put("log-web-stdout", read_end.get()).ok());
  base::UniqueFd received;
  EXPECT_EQ(Receive(&received), "FDSTORE=1\nFDPOLL=0\nFDNAME=log-web-stdout");
  struct stat sent {};
  struct stat got {};
  ASSERT_EQ(::fstat(read_end.get(), &sent), 0);
  ASSERT_EQ(::fstat(received.get(), &got), 0);
  EXPECT_EQ(sent.st_ino, got.st_ino);
}

TEST_F(FdStores, RemoveNamesTheDescriptor) {
  MakeSystemdFdStore()->Remove("log-web-stdout");
  base::UniqueFd none;
  EXPECT_EQ(Receive(&none), "FDSTOREREMOVE=1\nFDNAME=log-web-stdout");
  EXPECT_FALSE(none);
}

TEST_F(FdStores, WhatIsLentIsSentInTheNameOfAProcess) {
  // systemd asks for the credentials of the sender; those of another process need a privilege.
  const int on = 1;
  ASSERT_EQ(::setsockopt(socket_.get(), SOL_SOCKET, SO_PASSCRED, &on, sizeof on), 0);
  const pid_t process = ::getppid();
  const auto store = MakeSystemdFdStore();
  ASSERT_TRUE(store->Lend(process, "log-web-stdout", STDERR_FILENO).ok());
  base::UniqueFd received;
  pid_t sender = 0;
  EXPECT_EQ(Receive(&received, &sender), "FDSTORE=1\nFDPOLL=0\nFDNAME=log-web-stdout");
  EXPECT_TRUE(received);
  EXPECT_EQ(sender, ::geteuid() == 0 ? process : ::getpid());
  store->TakeBack(process, "log-web-stdout");
  EXPECT_EQ(Receive(&received, &sender), "FDSTOREREMOVE=1\nFDNAME=log-web-stdout");
  EXPECT_EQ(sender, ::geteuid() == 0 ? process : ::getpid());
}

TEST_F(FdStores, NamesThatSystemdWouldRefuseAreErrors) {
  const auto store = MakeSystemdFdStore();
  for (const std::string& name :
       {std::string(), std::string("a:b"), std::string("a\nFDPOLL=1"), std::string(256, 'x')}) {
    const auto put = store->Put(name, 0);
    ASSERT_FALSE(put.ok()) << name;
    EXPECT_EQ(put.error().code(), base::Code::kInvalidArgument);
    store->Remove(name);
  }
  base::UniqueFd none;
  EXPECT_EQ(Receive(&none), "");
  EXPECT_TRUE(store->Put(std::string(255, 'x'), 0).ok());
}

TEST_F(FdStores, WithoutAServiceManagerPutDoesNothing) {
  ::unsetenv("NOTIFY_SOCKET");
  EXPECT_TRUE(MakeSystemdFdStore()->Put("log-web-stdout", 0).ok());
}

TEST_F(FdStores, StoredDescriptorsAreTakenByName) {
  // In a child, since the numbers from 3 on are the protocol's.
  const pid_t child = ::fork();
  if (child == 0) {
    int first[2];
    int second[2];
    if (::pipe(first) != 0 || ::pipe(second) != 0) ::_exit(1);
    if (::write(first[1], "1", 1) != 1 || ::write(second[1], "2", 1) != 1) ::_exit(2);
    const int high[] = {::fcntl(first[0], F_DUPFD, 100), ::fcntl(second[0], F_DUPFD, 100)};
    if (::dup2(high[0], 3) != 3 || ::dup2(high[1], 4) != 4) ::_exit(3);
    ::setenv("LISTEN_PID", std::to_string(::getpid()).c_str(), 1);
    ::setenv("LISTEN_FDS", "2", 1);
    ::setenv("LISTEN_FDNAMES", "log-a-stdout:log-a-stderr", 1);
    auto fds = TakeStoredFds();
    if (fds.size() != 2 || !TakeStoredFds().empty()) ::_exit(4);
    char byte = 0;
    if (::read(fds["log-a-stdout"].get(), &byte, 1) != 1 || byte != '1') ::_exit(5);
    if (::read(fds["log-a-stderr"].get(), &byte, 1) != 1 || byte != '2') ::_exit(6);
    if ((::fcntl(fds["log-a-stdout"].get(), F_GETFD) & FD_CLOEXEC) == 0) ::_exit(7);
    if (::getenv("LISTEN_FDS") != nullptr) ::_exit(8);
    ::_exit(0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

}  // namespace
}  // namespace nspawn
