#include "cni/host_local.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/file.h>

#include <filesystem>
#include <thread>

#include "base/fd.h"
#include "base/files.h"
#include "tests/unit/cni/temporary_directory.h"

namespace cni {
namespace {

using base::Code;
using testing::ElementsAre;
using testing::HasSubstr;

class HostLocalTest : public testing::Test {
 protected:
  HostLocalTest() {
    root_.Write("networks/pods/lock", "");
    root_.Write("networks/pods/10.1.0.2", "pod1\r\neth0");
    root_.Write("networks/pods/10.1.0.3", "");
    root_.Write("networks/pods/fd00::3", "");
    root_.Write("networks/pods/last_reserved_ip.0", "");
  }

  Configuration Parsed(const std::string& type = "host-local", const std::string& name = "pods") {
    auto configuration = ParseConfiguration(
        {{"cniVersion", "1.0.0"},
         {"name", name},
         {"plugins",
          {{{"type", "bridge"}, {"ipam", {{"type", type}, {"dataDir", root_ / "networks"}}}}, {{"type", "portmap"}}}}});
    EXPECT_TRUE(configuration.ok()) << configuration.error().message();
    return *std::move(configuration);
  }

  std::vector<std::string> Files() { return *base::ListDirectory(root_ / "networks/pods"); }

  base::UniqueFd HeldLock() {
    base::UniqueFd fd(::open((root_ / "networks/pods/lock").c_str(), O_RDONLY | O_CLOEXEC));
    EXPECT_EQ(::flock(fd.get(), LOCK_EX | LOCK_NB), 0);
    return fd;
  }

  TemporaryDirectory root_;
};

TEST_F(HostLocalTest, EmptyLeasesAndNothingElseGo) {
  root_.Write("networks/pods/notes", "");
  std::filesystem::create_symlink("notes", root_ / "networks/pods/10.1.0.4");
  std::filesystem::create_directory(root_ / "networks/pods/10.1.0.5");
  root_.Write("networks/others/lock", "");
  root_.Write("networks/others/10.2.0.2", "");
  const auto removed = RemoveUnownedLeases(Parsed());
  ASSERT_TRUE(removed.ok()) << removed.error().message();
  EXPECT_THAT(Files(), ElementsAre("10.1.0.2", "10.1.0.4", "10.1.0.5", "last_reserved_ip.0", "lock", "notes"));
  EXPECT_TRUE(std::filesystem::exists(root_ / "networks/others/10.2.0.2"));
}

TEST_F(HostLocalTest, WhatIsNotHostLocalsIsLeftAlone) {
  EXPECT_TRUE(RemoveUnownedLeases(Parsed("dhcp")).ok());
  EXPECT_THAT(Files(), ElementsAre("10.1.0.2", "10.1.0.3", "fd00::3", "last_reserved_ip.0", "lock"));
}

TEST_F(HostLocalTest, PluginsWithoutAddressesOrWithStrangeOnesAreNoError) {
  for (const base::Json& ipam : {base::Json(), base::Json("host-local"), base::Json({{"type", 1}}),
                                 base::Json({{"type", "host-local"}, {"dataDir", 1}}),
                                 base::Json({{"type", "host-local"}, {"dataDir", "networks"}})}) {
    const auto configuration = ParseConfiguration(
        {{"cniVersion", "1.0.0"}, {"name", "pods"}, {"plugins", {{{"type", "bridge"}, {"ipam", ipam}}}}});
    ASSERT_TRUE(configuration.ok()) << configuration.error().message();
    EXPECT_TRUE(RemoveUnownedLeases(*configuration).ok()) << ipam;
  }
}

TEST_F(HostLocalTest, ANetworkThatNeverGaveAnAddressIsNoError) {
  EXPECT_TRUE(RemoveUnownedLeases(Parsed("host-local", "unknown")).ok());
  std::filesystem::create_directory(root_ / "networks/fresh");
  EXPECT_TRUE(RemoveUnownedLeases(Parsed("host-local", "fresh")).ok());
  std::filesystem::remove_all(root_ / "networks");
  EXPECT_TRUE(RemoveUnownedLeases(Parsed()).ok());
}

TEST_F(HostLocalTest, ALeaseThatIsBeingWrittenIsWaitedFor) {
  base::UniqueFd lock = HeldLock();
  std::thread writer([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    root_.Write("networks/pods/10.1.0.3", "pod2\r\neth0");
    lock.reset();
  });
  const auto removed = RemoveUnownedLeases(Parsed());
  writer.join();
  ASSERT_TRUE(removed.ok()) << removed.error().message();
  EXPECT_THAT(Files(), ElementsAre("10.1.0.2", "10.1.0.3", "last_reserved_ip.0", "lock"));
}

TEST_F(HostLocalTest, ALockThatIsNotGivenBackIsNotWaitedForLong) {
  const base::UniqueFd lock = HeldLock();
  const auto removed = RemoveUnownedLeases(Parsed());
  ASSERT_FALSE(removed.ok());
  EXPECT_EQ(removed.error().code(), Code::kDeadlineExceeded);
  EXPECT_THAT(removed.error().message(), HasSubstr("/networks/pods: somebody else holds its lock"));
  EXPECT_THAT(Files(), ElementsAre("10.1.0.2", "10.1.0.3", "fd00::3", "last_reserved_ip.0", "lock"));
}

TEST_F(HostLocalTest, NoSymbolicLinkIsFollowed) {
  std::filesystem::remove(root_ / "networks/pods/lock");
  std::filesystem::create_symlink("10.1.0.2", root_ / "networks/pods/lock");
  EXPECT_FALSE(RemoveUnownedLeases(Parsed()).ok());
  std::filesystem::create_directory_symlink("pods", root_ / "networks/linked");
  EXPECT_FALSE(RemoveUnownedLeases(Parsed("host-local", "linked")).ok());
  EXPECT_THAT(Files(), ElementsAre("10.1.0.2", "10.1.0.3", "fd00::3", "last_reserved_ip.0", "lock"));
}

}  // namespace
}  // namespace cni
