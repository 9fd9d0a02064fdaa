#include "nspawn/pause_root.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "base/files.h"

namespace nspawn {
namespace {

using ::testing::ElementsAre;

class PauseRootTest : public testing::Test {
 protected:
  void SetUp() override {
    char name[] = "/tmp/pause_root_test.XXXXXX";
    ASSERT_NE(mkdtemp(name), nullptr);
    directory_ = name;
    pause_ = directory_ + "/pause";
    root_ = directory_ + "/run/pause-root";
    ASSERT_TRUE(base::WriteFileAtomic(pause_, "first", 0755).ok());
  }
  void TearDown() override { EXPECT_TRUE(base::RemoveTree(directory_).ok()); }

  ino_t Inode() const {
    struct stat info {};
    EXPECT_EQ(stat(root_.c_str(), &info), 0);
    return info.st_ino;
  }

  std::string directory_, pause_, root_;
};

TEST_F(PauseRootTest, IsMadeOnceAndKept) {
  ASSERT_TRUE(MakePauseRoot(root_, pause_).ok());
  EXPECT_THAT(*base::ListDirectory(root_),
              ElementsAre("dev", "etc", "pause", "proc", "root", "run", "sys", "tmp", "usr", "var"));
  const ino_t first = Inode();
  ASSERT_TRUE(MakePauseRoot(root_, pause_).ok());
  EXPECT_EQ(Inode(), first);
}

TEST_F(PauseRootTest, IsReplacedByANewProgram) {
  ASSERT_TRUE(MakePauseRoot(root_, pause_).ok());
  const ino_t first = Inode();
  ASSERT_TRUE(base::WriteFileAtomic(pause_, "second", 0755).ok());
  ASSERT_TRUE(MakePauseRoot(root_, pause_).ok());
  EXPECT_NE(Inode(), first);
  EXPECT_EQ(*base::ReadFile(root_ + "/pause", 100), "second");
  EXPECT_THAT(*base::ListDirectory(directory_ + "/run"), ElementsAre("pause-root"));
}

TEST_F(PauseRootTest, WhatACrashLeftIsCleanedUp) {
  ASSERT_TRUE(base::MakeDirectories(directory_ + "/run/.pause-root.dead/usr").ok());
  ASSERT_TRUE(base::MakeDirectories(root_).ok());
  ASSERT_TRUE(MakePauseRoot(root_, pause_).ok());
  EXPECT_EQ(*base::ReadFile(root_ + "/pause", 100), "first");
  EXPECT_THAT(*base::ListDirectory(directory_ + "/run"), ElementsAre("pause-root"));
}

TEST_F(PauseRootTest, MissingProgramIsNamed) {
  const auto status = MakePauseRoot(root_, directory_ + "/nope");
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().code(), base::Code::kNotFound);
  EXPECT_NE(status.error().message().find("/nope"), std::string::npos);
}

}  // namespace
}  // namespace nspawn
