#include "nspawn/bundle.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "base/files.h"

namespace nspawn {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;

class BundleTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/bundle_test.XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    directory_ = name;
  }
  void TearDown() override { EXPECT_TRUE(base::RemoveTree(directory_).ok()); }

  static ContainerSpec Spec() {
    ContainerSpec spec;
    spec.name = "web";
    spec.process.arguments = {"/bin/sh"};
    spec.process.upper_directory = "/var/lib/x/upper";
    spec.process.seccomp = true;
    spec.seccomp_program = {1, 0, 2};
    spec.stop_signal = "SIGQUIT";
    return spec;
  }

  std::string directory_;
};

TEST_F(BundleTest, HoldsWhatPortabledAndInitNeed) {
  const Bundles bundles(directory_ + "/containers");
  ASSERT_TRUE(bundles.Write(Spec(), "[Unit]\n", {{"io.max", "8:0 rbps=1"}}).ok());
  const std::string path = bundles.Path("web");
  EXPECT_THAT(*base::ReadFile(path + "/usr/lib/os-release", 4096), HasSubstr("\nPORTABLE_PREFIXES=web\n"));
  EXPECT_EQ(*base::ReadFile(path + "/usr/lib/systemd/system/web.service", 4096), "[Unit]\n");
  EXPECT_EQ(base::ReadFile(path + "/seccomp", 4096)->size(), 3U);
  for (const char* fifo : {"/stdout", "/stderr"}) {
    struct stat info {};
    ASSERT_EQ(stat((path + fifo).c_str(), &info), 0);
    EXPECT_TRUE(S_ISFIFO(info.st_mode));
    EXPECT_EQ(info.st_mode & 07777, 0600U);
  }
  struct stat root {};
  ASSERT_EQ(stat((directory_ + "/containers").c_str(), &root), 0);
  EXPECT_EQ(root.st_mode & 07777, 0700U);
  EXPECT_EQ(bundles.ReadSpec("web")->upper_directory, "/var/lib/x/upper");
  EXPECT_EQ(*bundles.ReadStopSignal("web"), "SIGQUIT");
  EXPECT_THAT(*bundles.ReadCgroupFiles("web"), ElementsAre(Pair("io.max", "8:0 rbps=1")));
  EXPECT_THAT(*bundles.List(), ElementsAre("web"));
}

TEST_F(BundleTest, SecondOneByTheSameNameIsRefusedAndTheFirstKept) {
  const Bundles bundles(directory_);
  ASSERT_TRUE(bundles.Write(Spec(), "first", {}).ok());
  const auto status = bundles.Write(Spec(), "second", {});
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code(), base::Code::kAlreadyExists);
  EXPECT_EQ(*base::ReadFile(bundles.Path("web") + "/usr/lib/systemd/system/web.service", 4096), "first");
  EXPECT_THAT(*base::ListDirectory(directory_), ElementsAre("web"));
}

TEST_F(BundleTest, HalfMadeOnesAreNoBundlesAndAreCleanedUp) {
  const Bundles bundles(directory_);
  ASSERT_TRUE(bundles.Write(Spec(), "unit", {}).ok());
  ASSERT_TRUE(base::MakeDirectories(directory_ + "/.half.1234/usr/lib").ok());
  ASSERT_TRUE(base::WriteFileAtomic(directory_ + "/.half.1234/spec", "x").ok());
  EXPECT_THAT(*bundles.List(), ElementsAre("web"));
  EXPECT_FALSE(bundles.Exists(".half.1234"));
  ASSERT_TRUE(bundles.RemoveIncomplete().ok());
  EXPECT_THAT(*base::ListDirectory(directory_), ElementsAre("web"));
}

TEST_F(BundleTest, NamesNeverLeadOutOfTheFolder) {
  const Bundles bundles(directory_ + "/containers");
  ASSERT_TRUE(base::MakeDirectories(directory_ + "/containers").ok());
  for (const char* name : {"", ".", "..", "../containers", "a/b"}) EXPECT_FALSE(bundles.Exists(name)) << name;
}

TEST_F(BundleTest, RemovalIsRepeatable) {
  const Bundles bundles(directory_);
  ASSERT_TRUE(bundles.Write(Spec(), "unit", {}).ok());
  EXPECT_TRUE(bundles.Remove("web").ok());
  EXPECT_TRUE(bundles.Remove("web").ok());
  EXPECT_THAT(*base::ListDirectory(directory_), IsEmpty());
}

TEST_F(BundleTest, UserIsWhatInitWrote) {
  const Bundles bundles(directory_);
  ASSERT_TRUE(bundles.Write(Spec(), "unit", {}).ok());
  EXPECT_FALSE(bundles.ReadUser("web")->has_value());
  ASSERT_TRUE(base::WriteFileAtomic(bundles.Path("web") + "/user", "1000 1001 1001 50\n").ok());
  const auto user = bundles.ReadUser("web");
  ASSERT_TRUE(user.ok() && user->has_value());
  EXPECT_EQ((*user)->uid, 1000U);
  EXPECT_EQ((*user)->groups, (std::vector<uint32_t>{1001, 50}));
  ASSERT_TRUE(base::WriteFileAtomic(bundles.Path("web") + "/user", "1000\n").ok());
  // Half of it, as init leaves it that is killed.
  const auto half = bundles.ReadUser("web");
  ASSERT_TRUE(half.ok());
  EXPECT_FALSE(half->has_value());
}

TEST_F(BundleTest, ExitReadsBack) {
  const Bundles bundles(directory_);
  ASSERT_TRUE(bundles.Write(Spec(), "unit", {}).ok());
  EXPECT_FALSE(bundles.ReadExit("web")->has_value());
  ASSERT_TRUE(bundles.WriteExit("web", Exit{137, 9, true, 1'700'000'000'000'000'001, 1'700'000'000'000'000'002}).ok());
  const auto exit = bundles.ReadExit("web");
  ASSERT_TRUE(exit.ok() && exit->has_value());
  EXPECT_EQ((*exit)->code, 137);
  EXPECT_EQ((*exit)->signal, 9);
  EXPECT_TRUE((*exit)->oom_killed);
  EXPECT_EQ((*exit)->started_at, 1'700'000'000'000'000'001);
  EXPECT_EQ((*exit)->finished_at, 1'700'000'000'000'000'002);
  ASSERT_TRUE(base::WriteFileAtomic(bundles.Path("web") + "/exit", "code=x\n").ok());
  EXPECT_FALSE(bundles.ReadExit("web").ok());
}

}  // namespace
}  // namespace nspawn
