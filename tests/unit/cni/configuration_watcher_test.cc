#include "cni/configuration_watcher.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <time.h>

#include <chrono>
#include <functional>
#include <thread>

#include "tests/unit/cni/temporary_directory.h"

namespace cni {
namespace {

std::string Named(const std::string& name) {
  return R"({"name":")" + name + R"(","plugins":[{"type":"x"}]})";
}

std::string NameInForce(const ConfigurationWatcher& watcher) {
  const Selection selection = watcher.Current();
  return selection.configuration ? selection.configuration->name : "";
}

// The name in force once it is `expected`, or what it is after ten seconds.
std::string NameComesToBe(const ConfigurationWatcher& watcher, const std::string& expected) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (NameInForce(watcher) != expected && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  return NameInForce(watcher);
}

TEST(ConfigurationWatcher, WhatIsThereAtTheStartIsInForceAtOnce) {
  const TemporaryDirectory directory;
  directory.Write("a.conflist", Named("a"));
  const ConfigurationWatcher watcher(directory.path());
  EXPECT_EQ(NameInForce(watcher), "a");
}

TEST(ConfigurationWatcher, FilesThatComeChangeAndGoAreFollowed) {
  const TemporaryDirectory directory;
  const ConfigurationWatcher watcher(directory.path());
  EXPECT_EQ(NameInForce(watcher), "");
  directory.Write("b.conflist", Named("b"));
  EXPECT_EQ(NameComesToBe(watcher, "b"), "b");
  directory.Write("b.conflist", Named("changed"));
  EXPECT_EQ(NameComesToBe(watcher, "changed"), "changed");
  directory.Write("staged", Named("a"));
  std::filesystem::rename(directory / "staged", directory / "a.conflist");
  EXPECT_EQ(NameComesToBe(watcher, "a"), "a");
  std::filesystem::rename(directory / "a.conflist", directory / "a.off");
  EXPECT_EQ(NameComesToBe(watcher, "changed"), "changed");
  std::filesystem::create_symlink("a.off", directory / "0.conflist");
  EXPECT_EQ(NameComesToBe(watcher, "a"), "a");
  std::filesystem::remove(directory / "0.conflist");
  EXPECT_EQ(NameComesToBe(watcher, "changed"), "changed");
  std::filesystem::create_hard_link(directory / "a.off", directory / "0.conflist");
  EXPECT_EQ(NameComesToBe(watcher, "a"), "a");
  std::filesystem::remove(directory / "0.conflist");
  std::filesystem::remove(directory / "b.conflist");
  EXPECT_EQ(NameComesToBe(watcher, ""), "");
}

TEST(ConfigurationWatcher, ADirectoryCreatedLaterIsFollowed) {
  const TemporaryDirectory directory;
  const ConfigurationWatcher watcher(directory / "etc/cni/net.d");
  directory.Write("etc/cni/net.d/a.conflist", Named("a"));
  EXPECT_EQ(NameComesToBe(watcher, "a"), "a");
  directory.Write("etc/cni/net.d/a.conflist", Named("b"));
  EXPECT_EQ(NameComesToBe(watcher, "b"), "b");
}

TEST(ConfigurationWatcher, ADirectoryRemovedAndMadeAgainIsFollowed) {
  const TemporaryDirectory directory;
  directory.Write("cni/net.d/a.conflist", Named("a"));
  const ConfigurationWatcher watcher(directory / "cni/net.d");
  std::filesystem::remove_all(directory / "cni");
  EXPECT_EQ(NameComesToBe(watcher, ""), "");
  directory.Write("cni/net.d/a.conflist", Named("b"));
  EXPECT_EQ(NameComesToBe(watcher, "b"), "b");
}

TEST(ConfigurationWatcher, ADirectoryReplacedByAnotherIsFollowed) {
  const TemporaryDirectory directory;
  directory.Write("cni/net.d/a.conflist", Named("a"));
  directory.Write("other/net.d/a.conflist", Named("b"));
  const ConfigurationWatcher watcher(directory / "cni/net.d");
  std::filesystem::rename(directory / "cni/net.d", directory / "cni/old");
  std::filesystem::rename(directory / "other/net.d", directory / "cni/net.d");
  EXPECT_EQ(NameComesToBe(watcher, "b"), "b");
  std::filesystem::rename(directory / "cni", directory / "gone");
  EXPECT_EQ(NameComesToBe(watcher, ""), "");
  directory.Write("gone/net.d/a.conflist", Named("not ours any more"));
  directory.Write("cni/net.d/a.conflist", Named("c"));
  EXPECT_EQ(NameComesToBe(watcher, "c"), "c");
}

TEST(ConfigurationWatcher, ADirectoryReachedBySymbolicLinkIsFollowed) {
  const TemporaryDirectory directory;
  directory.Write("target/a.conflist", Named("a"));
  directory.Write("second/a.conflist", Named("b"));
  std::filesystem::create_directory_symlink("target", directory / "net.d");
  const ConfigurationWatcher watcher(directory / "net.d");
  EXPECT_EQ(NameInForce(watcher), "a");
  directory.Write("target/a.conflist", Named("changed"));
  EXPECT_EQ(NameComesToBe(watcher, "changed"), "changed");
  std::filesystem::create_directory_symlink("second", directory / "staged");
  std::filesystem::rename(directory / "staged", directory / "net.d");
  EXPECT_EQ(NameComesToBe(watcher, "b"), "b");
}

TEST(ConfigurationWatcher, ManyChangesEndInTheLastState) {
  const TemporaryDirectory directory;
  const ConfigurationWatcher watcher(directory.path());
  for (int i = 0; i < 500; ++i) directory.Write("a.conflist", Named("n" + std::to_string(i)));
  EXPECT_EQ(NameComesToBe(watcher, "n499"), "n499");
}

TEST(ConfigurationWatcher, WithoutInotifyEveryQuestionReadsTheDirectory) {
  const TemporaryDirectory directory;
  rlimit limit{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &limit), 0);
  rlimit none = limit;
  none.rlim_cur = 0;
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  const ConfigurationWatcher watcher(directory.path());
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &limit), 0);
  directory.Write("a.conflist", Named("a"));
  EXPECT_EQ(NameInForce(watcher), "a");
  directory.Write("a.conflist", Named("b"));
  EXPECT_EQ(NameInForce(watcher), "b");
}

TEST(ConfigurationWatcher, AnIdleDirectoryCostsNoProcessorTime) {
  const TemporaryDirectory directory;
  directory.Write("a.conflist", Named("a"));
  const ConfigurationWatcher watcher(directory.path());
  timespec before{};
  timespec after{};
  ASSERT_EQ(::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &before), 0);
  std::this_thread::sleep_for(std::chrono::milliseconds(300));
  ASSERT_EQ(::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &after), 0);
  const double used = static_cast<double>(after.tv_sec - before.tv_sec) * 1e3 +
                      static_cast<double>(after.tv_nsec - before.tv_nsec) / 1e6;
  EXPECT_LT(used, 50) << "milliseconds of processor time in 300 milliseconds";
}

}  // namespace
}  // namespace cni
