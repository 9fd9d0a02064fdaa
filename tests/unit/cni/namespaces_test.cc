#include "cni/namespaces.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <linux/magic.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <functional>
#include <optional>
#include <thread>

#include "base/fd.h"
#include "base/files.h"
#include "base/text.h"
#include "tests/unit/cni/temporary_directory.h"

namespace cni {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

bool IsPinned(const std::string& path) {
  struct statfs info {};
  return ::statfs(path.c_str(), &info) == 0 && info.f_type == NSFS_MAGIC;
}

// In a thread of its own, so that this one stays where it is.
void InNamespace(const std::string& path, const std::function<void()>& check) {
  std::thread([&] {
    const base::UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    ASSERT_TRUE(fd);
    ASSERT_EQ(::setns(fd.get(), CLONE_NEWNET), 0);
    check();
  }).join();
}

class NamespacesTest : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "network namespaces are made by root only";
  }
  void TearDown() override {
    const auto names = namespaces_.List("");
    if (names.ok()) {
      for (const std::string& name : *names) EXPECT_TRUE(namespaces_.Remove(name).ok());
    }
    EXPECT_EQ(MountCount(), 0);
  }
  // Of those below the test's directory: the machine may have others come and go.
  ptrdiff_t MountCount() const {
    const std::string mounts = *base::ReadFile("/proc/self/mountinfo", 16 << 20);
    const auto lines = base::Split(mounts, '\n');
    return std::count_if(lines.begin(), lines.end(),
                         [&](std::string_view line) { return line.find(directory_) != std::string_view::npos; });
  }

  TemporaryDirectory root_;
  const std::string directory_ = root_ / "run/netns";
  Namespaces namespaces_{directory_};
};

TEST_F(NamespacesTest, TheNamespaceOfAProcessIsPinned) {
  int ready[2];
  ASSERT_EQ(::pipe2(ready, O_CLOEXEC), 0);
  const pid_t process = ::fork();
  if (process == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (::unshare(CLONE_NEWNET) == 0) (void)!::write(ready[1], "x", 1);
    while (true) ::pause();
  }
  char byte = 0;
  ASSERT_EQ(::read(ready[0], &byte, 1), 1);
  const auto path = namespaces_.Pin("cri-1", process, {{"net.ipv4.ip_forward", "1"}});
  struct stat its {};
  ASSERT_EQ(::stat(("/proc/" + std::to_string(process) + "/ns/net").c_str(), &its), 0);
  ::kill(process, SIGKILL);
  ::waitpid(process, nullptr, 0);
  ::close(ready[0]);
  ::close(ready[1]);
  ASSERT_TRUE(path.ok()) << path.error().message();
  EXPECT_EQ(*path, directory_ + "/cri-1");
  EXPECT_TRUE(IsPinned(*path));
  struct stat pinned {};
  ASSERT_EQ(::stat(path->c_str(), &pinned), 0);
  EXPECT_EQ(pinned.st_ino, its.st_ino);
  InNamespace(*path, [] { EXPECT_EQ(*base::ReadFile("/proc/sys/net/ipv4/ip_forward", 10), "1\n"); });
}

TEST_F(NamespacesTest, TheHostsNamespaceIsNotPinned) {
  EXPECT_FALSE(namespaces_.Pin("cri-1", ::getpid(), {}).ok());
  EXPECT_FALSE(namespaces_.Pin("cri-1", 1 << 30, {}).ok());
  EXPECT_THAT(*namespaces_.List(""), IsEmpty());
}

TEST_F(NamespacesTest, ANamespaceIsPinnedWithItsLoopbackUp) {
  const auto path = namespaces_.Create("cri-1", {});
  ASSERT_TRUE(path.ok()) << path.error().message();
  EXPECT_EQ(*path, directory_ + "/cri-1");
  EXPECT_TRUE(IsPinned(*path));
  struct stat ours {};
  struct stat made {};
  ASSERT_EQ(::stat("/proc/self/ns/net", &ours), 0);
  ASSERT_EQ(::stat(path->c_str(), &made), 0);
  EXPECT_NE(ours.st_ino, made.st_ino);
  EXPECT_EQ(MountCount(), 1);
  InNamespace(*path, [] {
    const base::UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    ifreq request{};
    request.ifr_name[0] = 'l';
    request.ifr_name[1] = 'o';
    ASSERT_EQ(::ioctl(socket.get(), SIOCGIFFLAGS, &request), 0);
    EXPECT_NE(request.ifr_flags & IFF_UP, 0);
    EXPECT_NE(request.ifr_flags & IFF_RUNNING, 0);
  });
}

TEST_F(NamespacesTest, SysctlsAreSetInsideOnly) {
  const std::string before = *base::ReadFile("/proc/sys/net/ipv4/ip_unprivileged_port_start", 100);
  const auto path = namespaces_.Create("cri-1", {{"net.ipv4.ip_unprivileged_port_start", "77"},
                                                 {"net/ipv4/ip_local_port_range", "2048\t4095"},
                                                 {"net.ipv4.conf.lo.forwarding", "1"}});
  ASSERT_TRUE(path.ok()) << path.error().message();
  EXPECT_EQ(*base::ReadFile("/proc/sys/net/ipv4/ip_unprivileged_port_start", 100), before);
  InNamespace(*path, [] {
    EXPECT_EQ(*base::ReadFile("/proc/sys/net/ipv4/ip_unprivileged_port_start", 100), "77\n");
    EXPECT_EQ(*base::ReadFile("/proc/sys/net/ipv4/ip_local_port_range", 100), "2048\t4095\n");
    EXPECT_EQ(*base::ReadFile("/proc/sys/net/ipv4/conf/lo/forwarding", 100), "1\n");
  });
}

TEST_F(NamespacesTest, SysctlsOutsideTheNamespaceAreRefused) {
  for (const std::string& name :
       {std::string(), std::string("net"), std::string("net."), std::string("kernel.shmmax"), std::string("netx.a"),
        std::string("net.ipv4..x"), std::string("net/../kernel/hostname"), std::string("net/ipv4/./x"),
        std::string("/net/ipv4/ip_forward"), std::string("net.ipv4.conf.//.x"), std::string("net.ipv4.ip forward"),
        std::string("net.ipv4.ip_forward\0", 20), std::string("../net.ipv4.x"), std::string("net/ipv4/"),
        std::string("vm.overcommit_memory"), std::string("fs.mqueue.msg_max"),
        std::string("net.ipv4.no_such_sysctl")}) {
    const auto path = namespaces_.Create("cri-1", {{name, "1"}});
    ASSERT_FALSE(path.ok()) << name;
    EXPECT_EQ(path.error().code(), base::Code::kInvalidArgument) << path.error().message();
    EXPECT_FALSE(std::filesystem::exists(directory_ + "/cri-1")) << name;
  }
}

TEST_F(NamespacesTest, AValueThatTheKernelRefusesLeavesNothing) {
  for (const std::string& value :
       {std::string("no number"), std::string(5000, '1'), std::string("1\0", 2), std::string("999999")}) {
    const auto path = namespaces_.Create("cri-1", {{"net.ipv4.ip_unprivileged_port_start", value}});
    ASSERT_FALSE(path.ok()) << value.substr(0, 20);
    EXPECT_EQ(path.error().code(), base::Code::kInvalidArgument) << path.error().message();
    EXPECT_THAT(path.error().message(), HasSubstr("net.ipv4.ip_unprivileged_port_start"));
    EXPECT_FALSE(std::filesystem::exists(directory_ + "/cri-1"));
    EXPECT_EQ(MountCount(), 0);
  }
}

TEST_F(NamespacesTest, NamesAreFileNames) {
  for (const std::string& name :
       {std::string(), std::string("."), std::string(".."), std::string("a/b"), std::string("../a"), std::string("a b"),
        std::string("a\0b", 3), std::string(201, 'a')}) {
    EXPECT_EQ(namespaces_.Create(name, {}).error().code(), base::Code::kInvalidArgument) << name;
    EXPECT_EQ(namespaces_.Remove(name).error().code(), base::Code::kInvalidArgument) << name;
  }
}

TEST_F(NamespacesTest, AnExistingNameIsNotTakenOver) {
  ASSERT_TRUE(namespaces_.Create("cri-1", {}).ok());
  const auto again = namespaces_.Create("cri-1", {});
  ASSERT_FALSE(again.ok());
  EXPECT_EQ(again.error().code(), base::Code::kAlreadyExists);
  EXPECT_TRUE(IsPinned(directory_ + "/cri-1"));
}

TEST_F(NamespacesTest, RemovingUnpinsAndIsIdempotent) {
  const auto path = namespaces_.Create("cri-1", {});
  ASSERT_TRUE(path.ok());
  ASSERT_TRUE(namespaces_.Remove("cri-1").ok());
  EXPECT_FALSE(std::filesystem::exists(*path));
  EXPECT_EQ(MountCount(), 0);
  EXPECT_TRUE(namespaces_.Remove("cri-1").ok());
}

TEST_F(NamespacesTest, RemovingCleansWhatACrashLeft) {
  root_.Write("run/netns/before-the-mount", "");
  EXPECT_THAT(*namespaces_.List(""), ElementsAre("before-the-mount"));
  ASSERT_TRUE(namespaces_.Remove("before-the-mount").ok());
  const auto path = namespaces_.Create("stacked", {});
  ASSERT_TRUE(path.ok());
  ASSERT_EQ(::mount("/proc/self/ns/net", path->c_str(), nullptr, MS_BIND, nullptr), 0);
  ASSERT_TRUE(namespaces_.Remove("stacked").ok());
  EXPECT_THAT(*namespaces_.List(""), IsEmpty());
}

TEST_F(NamespacesTest, AListIsOfOnePrefix) {
  EXPECT_THAT(*namespaces_.List("cri-"), IsEmpty());
  ASSERT_TRUE(namespaces_.Create("cri-2", {}).ok());
  ASSERT_TRUE(namespaces_.Create("cri-1", {}).ok());
  ASSERT_TRUE(namespaces_.Create("other", {}).ok());
  EXPECT_THAT(*namespaces_.List("cri-"), ElementsAre("cri-1", "cri-2"));
}

TEST_F(NamespacesTest, ManyThreadsMakeTheirNamespacesAtOnce) {
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&, i] {
      const std::string name = "cri-" + std::to_string(i);
      EXPECT_TRUE(namespaces_.Create(name, {{"net.ipv4.ip_unprivileged_port_start", std::to_string(100 + i)}}).ok());
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (int i = 0; i < 8; ++i) {
    InNamespace(directory_ + "/cri-" + std::to_string(i), [&] {
      EXPECT_EQ(*base::ReadFile("/proc/sys/net/ipv4/ip_unprivileged_port_start", 100), std::to_string(100 + i) + "\n");
    });
  }
}

// A listener on a free port of a loopback address, in the present network namespace.
struct Listener {
  explicit Listener(int family) : socket(::socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_storage address{};
    socklen_t length = sizeof(sockaddr_in6);
    if (family == AF_INET) {
      auto* v4 = reinterpret_cast<sockaddr_in*>(&address);
      v4->sin_family = AF_INET;
      v4->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      length = sizeof *v4;
    } else {
      auto* v6 = reinterpret_cast<sockaddr_in6*>(&address);
      v6->sin6_family = AF_INET6;
      v6->sin6_addr = in6addr_loopback;
    }
    auto* any = reinterpret_cast<sockaddr*>(&address);
    EXPECT_EQ(::bind(socket.get(), any, length), 0);
    EXPECT_EQ(::listen(socket.get(), 1), 0);
    EXPECT_EQ(::getsockname(socket.get(), any, &length), 0);
    port = ntohs(family == AF_INET ? reinterpret_cast<sockaddr_in*>(&address)->sin_port
                                   : reinterpret_cast<sockaddr_in6*>(&address)->sin6_port);
  }
  // Whether what is sent through `client` arrives here.
  bool Hears(int client) const {
    const base::UniqueFd accepted(::accept4(socket.get(), nullptr, nullptr, SOCK_CLOEXEC));
    char byte = 0;
    return accepted && ::write(client, "x", 1) == 1 && ::read(accepted.get(), &byte, 1) == 1 && byte == 'x';
  }
  base::UniqueFd socket;
  uint16_t port = 0;
};

TEST_F(NamespacesTest, ALoopbackListenerInsideIsReachedOverEitherProtocol) {
  const auto path = namespaces_.Create("pod", {});
  ASSERT_TRUE(path.ok()) << path.error().message();
  for (const int family : {AF_INET, AF_INET6}) {
    std::optional<Listener> listener;
    InNamespace(*path, [&] { listener.emplace(family); });
    const auto client = ConnectToLoopback(*path, listener->port);
    ASSERT_TRUE(client.ok()) << client.error().message();
    EXPECT_TRUE(listener->Hears(client->get()));
    EXPECT_NE(::fcntl(client->get(), F_GETFL) & O_NONBLOCK, 0);
    EXPECT_NE(::fcntl(client->get(), F_GETFD) & FD_CLOEXEC, 0);
    // Another namespace has ports of its own.
    EXPECT_FALSE(ConnectToLoopback("", listener->port).ok());
  }
}

TEST(ConnectToLoopback, WithoutANamespaceItIsTheHosts) {
  const Listener listener(AF_INET);
  const auto client = ConnectToLoopback("", listener.port);
  ASSERT_TRUE(client.ok()) << client.error().message();
  EXPECT_TRUE(listener.Hears(client->get()));
}

TEST_F(NamespacesTest, APortWhereNobodyListensIsUnavailable) {
  const auto path = namespaces_.Create("pod", {});
  ASSERT_TRUE(path.ok()) << path.error().message();
  const auto client = ConnectToLoopback(*path, 80);
  ASSERT_FALSE(client.ok());
  EXPECT_EQ(client.error().code(), base::Code::kUnavailable);
  EXPECT_THAT(client.error().message(), HasSubstr("port 80"));
  EXPECT_THAT(client.error().message(), HasSubstr("Connection refused"));
  EXPECT_EQ(ConnectToLoopback(directory_ + "/gone", 80).error().code(), base::Code::kNotFound);
  EXPECT_EQ(ConnectToLoopback(*path, 0).error().code(), base::Code::kInvalidArgument);
}

}  // namespace
}  // namespace cni
