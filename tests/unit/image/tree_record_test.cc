#include "image/tree_record.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "base/files.h"
#include "image/unpack.h"
#include "tar_builder.h"
#include "text_reader.h"

namespace image {
namespace {

using base::Code;
using testing::ElementsAre;
using testing::IsEmpty;

class TreeRecordTest : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "whiteouts and owners need root";
    std::string pattern = testing::TempDir() + "/tree-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    top_ = pattern;
    tree_ = top_ + "/layer";
  }
  void TearDown() override {
    if (!top_.empty()) std::filesystem::remove_all(top_);
  }

  // Unpacks a layer, and leaves its record in record_.
  void Unpack(const std::string& tar) {
    Unpack(tar, tree_);
    auto record = LoadTreeRecord(tree_ + ".tree");
    ASSERT_TRUE(record.ok()) << record.error().message();
    record_ = *std::move(record);
  }
  static void Unpack(const std::string& tar, const std::string& directory) {
    ASSERT_EQ(::mkdir(directory.c_str(), 0755), 0);
    auto recorder = TreeRecorder::Create(directory + ".tree");
    ASSERT_TRUE(recorder.ok()) << recorder.error().message();
    TextReader reader(tar);
    const auto size = UnpackTar(reader, directory, {uint64_t{64} << 20, 10'000}, recorder->get());
    ASSERT_TRUE(size.ok()) << size.error().message();
    ASSERT_TRUE((*recorder)->Finish().ok());
  }

  std::vector<std::string> Differences() {
    auto found = CompareTree(tree_, record_, {});
    EXPECT_TRUE(found.ok()) << found.error().message();
    std::vector<std::string> out;
    if (!found.ok()) return out;
    for (const TreeDifference& difference : *found) out.push_back(difference.path + " " + difference.what);
    return out;
  }
  // Repairs out of a second unpacking, and expects that it helps.
  void Repair(const std::string& tar) {
    const auto found = CompareTree(tree_, record_, {});
    ASSERT_TRUE(found.ok());
    Unpack(tar, top_ + "/fresh");
    const base::Status repaired = RepairTree(tree_, top_ + "/fresh", record_, *found);
    EXPECT_TRUE(repaired.ok()) << repaired.error().message();
    EXPECT_THAT(Differences(), IsEmpty());
  }
  void Write(const std::string& name, const std::string& text) const { std::ofstream(tree_ + "/" + name) << text; }
  // Changes a byte of a file and nothing that stat(2) shows.
  void Rot(const std::string& name) const {
    const std::string path = tree_ + "/" + name;
    struct stat before {};
    ASSERT_EQ(::stat(path.c_str(), &before), 0);
    const int fd = ::open(path.c_str(), O_WRONLY);
    ASSERT_GE(fd, 0);
    ASSERT_EQ(::pwrite(fd, "!", 1, before.st_size / 2), 1);
    const timespec times[] = {before.st_atim, before.st_mtim};
    ASSERT_EQ(::futimens(fd, times), 0);
    ::close(fd);
  }

  std::string top_;
  std::string tree_;
  TreeRecord record_;
};

std::string Layer() {
  TarBuilder tar;
  tar.Directory("./", 0755);
  tar.Directory("bin", 0755);
  tar.File("bin/program", std::string(10'000, 'x'), 04755);
  tar.HardLink("bin/alias", "bin/program");
  tar.Symlink("lib", "bin");
  tar.File("lib/through-the-link", "a");
  tar.File("implied/parent/file", "b");
  tar.File("etc/.wh.gone", "");
  tar.File("etc/opaque/.wh..wh..opq", "");
  tar.File("twice", "first");
  tar.File("twice", "second");
  tar.File("was-a-directory/with", "content");
  tar.File("was-a-directory", "now a file");
  tar.File("empty", "");
  return tar.Finish();
}

TEST_F(TreeRecordTest, ATreeAgreesWithItsRecord) {
  Unpack(Layer());
  EXPECT_THAT(Differences(), IsEmpty());
  EXPECT_TRUE(record_.contains("bin/through-the-link"));
  EXPECT_FALSE(record_.contains("was-a-directory/with"));
}

TEST_F(TreeRecordTest, AChangedByteIsFoundAndRepairedForAllNamesOfTheFile) {
  Unpack(Layer());
  Rot("bin/program");
  const auto found = Differences();
  ASSERT_EQ(found.size(), 2U);
  EXPECT_THAT(found[0], testing::StartsWith("bin/alias "));
  EXPECT_THAT(found[1], testing::StartsWith("bin/program "));
  Repair(Layer());
  struct stat one {};
  struct stat other {};
  ASSERT_EQ(::stat((tree_ + "/bin/program").c_str(), &one), 0);
  ASSERT_EQ(::stat((tree_ + "/bin/alias").c_str(), &other), 0);
  EXPECT_EQ(one.st_ino, other.st_ino);
  EXPECT_EQ(one.st_mode & 07777, 04755U);
}

TEST_F(TreeRecordTest, WhatIsMissingAddedOrOfAnotherKindIsFoundAndRepaired) {
  Unpack(Layer());
  std::filesystem::remove_all(tree_ + "/implied");
  std::filesystem::remove(tree_ + "/empty");
  std::filesystem::create_directory(tree_ + "/empty");
  Write("extra", "text");
  std::filesystem::remove(tree_ + "/lib");
  std::filesystem::create_symlink("/etc", tree_ + "/lib");
  EXPECT_THAT(Differences(),
              ElementsAre(" has another time", "empty is of another type", "extra is not part of the layer",
                          "implied is missing", "implied/parent is missing", "implied/parent/file is missing",
                          "lib has another time"));
  Repair(Layer());
}

TEST_F(TreeRecordTest, ChangedMetadataIsFoundAndRepaired) {
  Unpack(Layer());
  ASSERT_EQ(::chmod((tree_ + "/bin").c_str(), 0777), 0);
  ASSERT_EQ(::lchown((tree_ + "/lib").c_str(), 5, 5), 0);
  ASSERT_EQ(::setxattr((tree_ + "/twice").c_str(), "user.added", "1", 1, 0), 0);
  ASSERT_EQ(::removexattr((tree_ + "/etc/opaque").c_str(), "trusted.overlay.opaque"), 0);
  ASSERT_EQ(::unlink((tree_ + "/etc/gone").c_str()), 0);
  EXPECT_THAT(Differences(),
              ElementsAre("bin has another mode", "etc/gone is missing", "etc/opaque has other extended attributes",
                          "lib has another owner", "twice has other extended attributes"));
  Repair(Layer());
}

TEST_F(TreeRecordTest, AFileWithHolesIsComparedByWhatItHolds) {
  const std::string path = top_ + "/sparse";
  const int fd = ::open(path.c_str(), O_RDWR | O_CREAT, 0600);
  ASSERT_GE(fd, 0);
  ContentChecksum checksum;
  const std::string data(5000, 'd');
  constexpr uint64_t kFar = uint64_t{1} << 40;
  ASSERT_EQ(::pwrite(fd, data.data(), data.size(), kFar + 100), static_cast<ssize_t>(data.size()));
  checksum.Add(data, kFar + 100);
  const auto written = checksum.Finish(fd, kFar + 100 + data.size());
  ASSERT_TRUE(written.ok()) << written.error().message();
  EXPECT_TRUE(written->starts_with("s"));
  // The same content with zeros in the place of a part of the hole.
  ASSERT_EQ(::pwrite(fd, std::string(8192, '\0').data(), 8192, 4096), 8192);
  const auto read = ChecksumOfFile(fd, true);
  ASSERT_TRUE(read.ok());
  EXPECT_EQ(*read, *written);
  ASSERT_EQ(::pwrite(fd, "!", 1, 4096), 1);
  EXPECT_NE(*ChecksumOfFile(fd, true), *written);
  ::close(fd);
}

TEST_F(TreeRecordTest, ARecordThatIsCutOffIsRefused) {
  Unpack(Layer());
  const auto text = base::ReadFile(tree_ + ".tree", 1 << 20);
  ASSERT_TRUE(text.ok());
  for (const size_t length : {size_t{0}, size_t{5}, text->size() / 2, text->size() - 1}) {
    std::ofstream(tree_ + ".tree") << text->substr(0, length);
    const auto record = LoadTreeRecord(tree_ + ".tree");
    ASSERT_FALSE(record.ok()) << length;
    EXPECT_EQ(record.error().code(), Code::kDataLoss);
  }
  std::filesystem::remove(tree_ + ".tree");
  EXPECT_EQ(LoadTreeRecord(tree_ + ".tree").error().code(), Code::kNotFound);
}

}  // namespace
}  // namespace image
