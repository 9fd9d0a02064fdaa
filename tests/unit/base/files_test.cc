#include "base/files.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

namespace base {
namespace {

class Files : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "/files-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    root_ = pattern;
  }
  void TearDown() override { std::filesystem::remove_all(root_); }
  std::string root_;
};

TEST_F(Files, WritingReplacesTheWholeContentAndLeavesNoTemporaryFile) {
  const std::string path = root_ + "/record";
  ASSERT_TRUE(WriteFileDurable(path, "a long first content").ok());
  ASSERT_TRUE(WriteFileDurable(path, "second", 0640).ok());
  EXPECT_EQ(*ReadFile(path, 100), "second");
  struct stat info {};
  ASSERT_EQ(::stat(path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0640u);
  EXPECT_EQ(ListDirectory(root_)->size(), 1u);
}

TEST_F(Files, AFailedWriteLeavesTheOldContent) {
  const std::string path = root_ + "/directory";
  ASSERT_TRUE(MakeDirectories(path).ok());
  EXPECT_FALSE(WriteFileDurable(path, "x").ok());
  EXPECT_EQ(ListDirectory(root_)->size(), 1u);
}

TEST_F(Files, ReadingIsBounded) {
  ASSERT_TRUE(WriteFileAtomic(root_ + "/f", std::string(1000, 'x')).ok());
  EXPECT_EQ(ReadFile(root_ + "/f", 1000)->size(), 1000u);
  EXPECT_EQ(ReadFile(root_ + "/f", 999).error().code(), Code::kResourceExhausted);
  EXPECT_EQ(ReadFile(root_ + "/none", 999).error().code(), Code::kNotFound);
}

TEST_F(Files, RemoveTreeDoesNotFollowSymbolicLinks) {
  ASSERT_TRUE(MakeDirectories(root_ + "/keep").ok());
  ASSERT_TRUE(WriteFileAtomic(root_ + "/keep/file", "x").ok());
  ASSERT_TRUE(MakeDirectories(root_ + "/gone/a/b/c").ok());
  ASSERT_TRUE(WriteFileAtomic(root_ + "/gone/a/b/file", "x").ok());
  ASSERT_EQ(::symlink((root_ + "/keep").c_str(), (root_ + "/gone/a/link").c_str()), 0);
  ASSERT_TRUE(RemoveTree(root_ + "/gone").ok());
  ASSERT_TRUE(RemoveTree(root_ + "/gone").ok());
  EXPECT_EQ(*ListDirectory(root_), std::vector<std::string>{"keep"});
  EXPECT_EQ(*ReadFile(root_ + "/keep/file", 10), "x");
}

TEST_F(Files, OpenInRootKeepsLinksAndDotsInside) {
  ASSERT_TRUE(MakeDirectories(root_ + "/etc").ok());
  ASSERT_TRUE(WriteFileAtomic(root_ + "/etc/passwd", "inside").ok());
  ASSERT_EQ(::symlink("/etc/passwd", (root_ + "/absolute").c_str()), 0);
  ASSERT_EQ(::symlink("../../../../etc/passwd", (root_ + "/dots").c_str()), 0);
  const UniqueFd root(::open(root_.c_str(), O_PATH | O_DIRECTORY));
  for (const char* name : {"absolute", "dots", "../../etc/passwd"}) {
    auto fd = OpenInRoot(root.get(), name, O_RDONLY);
    ASSERT_TRUE(fd.ok()) << name << ": " << fd.error().message();
    EXPECT_EQ(*ReadAll(fd->get(), 100, name), "inside");
  }
}

}  // namespace
}  // namespace base
