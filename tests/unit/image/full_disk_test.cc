// The store on disks that are full, or that lose what was written.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <random>
#include <thread>

#include "base/files.h"
#include "image/json.h"
#include "image/store.h"
#include "test_registry.h"

namespace image {
namespace {

using base::Code;
using testing::AnyOf;
using testing::HasSubstr;
using testing::SizeIs;

constexpr size_t kKiB = 1024;

std::string Noise(size_t size, unsigned seed) {
  std::minstd_rand random(seed);
  std::string text(size, '\0');
  for (char& c : text) c = static_cast<char>(random());
  return text;
}

class FullDisk : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "mounting needs root";
    std::string pattern = testing::TempDir() + "/full-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    root_ = pattern;
    disk_ = root_ + "/disk";
    ASSERT_TRUE(base::MakeDirectories(disk_).ok());
    registry_.AllowPlainHttp(root_ + "/hosts");
    // The mount is nobody else's to see.
    ASSERT_EQ(::unshare(CLONE_NEWNS), 0);
    ASSERT_EQ(::mount(nullptr, "/", nullptr, MS_PRIVATE | MS_REC, nullptr), 0);
  }
  void TearDown() override {
    store_.reset();
    ::umount2(disk_.c_str(), MNT_DETACH);
    if (!root_.empty()) std::filesystem::remove_all(root_);
  }
  void MountSmall(const char* options) {
    ASSERT_EQ(::mount("tmpfs", disk_.c_str(), "tmpfs", 0, options), 0);
    Open();
  }
  void Open() {
    store_.reset();
    StoreOptions options;
    options.root = disk_ + "/images";
    options.hosts_directory = root_ + "/hosts";
    auto store = Store::Open(options);
    ASSERT_TRUE(store.ok()) << store.error().message();
    store_ = *std::move(store);
  }
  std::string Name(const std::string& tag) const { return registry_.authority() + "/app:" + tag; }
  // Each layer has `files` files of `size` bytes.
  void Push(const std::string& tag, int layers, int files, size_t size) {
    std::vector<std::string> tars;
    for (int layer = 0; layer < layers; ++layer) {
      TarBuilder tar;
      tar.Directory("d");
      for (int file = 0; file < files; ++file) {
        const int number = layer * files + file;
        tar.File("d/" + tag + std::to_string(number), Noise(size, static_cast<unsigned>(number + 1)));
      }
      tars.push_back(tar.Finish());
    }
    registry_.Push("app", tag, MakeImage(tars));
  }
  // Everything in the store with its size. Records grow shorter when layers are synced.
  std::map<std::string, uint64_t> Tree() const {
    std::map<std::string, uint64_t> tree;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(disk_ + "/images")) {
      tree[entry.path()] = entry.is_regular_file() && entry.path().extension() != ".json" ? entry.file_size() : 0;
    }
    return tree;
  }
  // Leaves so many bytes free.
  void Fill(uint64_t free) {
    struct statvfs info {};
    ASSERT_EQ(::statvfs(disk_.c_str(), &info), 0);
    const uint64_t available = info.f_bavail * info.f_frsize;
    std::ofstream(disk_ + "/ballast") << std::string(available > free ? available - free : 0, 'b');
  }
  void FillInodes(uint64_t free) {
    struct statvfs info {};
    ASSERT_EQ(::statvfs(disk_.c_str(), &info), 0);
    ASSERT_TRUE(base::MakeDirectories(disk_ + "/many").ok());
    for (uint64_t i = free + 1; i < info.f_ffree; ++i) std::ofstream(disk_ + "/many/" + std::to_string(i));
  }
  void MakeRoom() {
    std::filesystem::remove_all(disk_ + "/ballast");
    std::filesystem::remove_all(disk_ + "/many");
  }

  // A pull that may meet the full disk at whichever moment. Gives whether it did.
  bool PullMeetsTheEnd(const std::string& tag) {
    const auto before = Tree();
    const FilesystemUsage usage = *store_->Usage();
    const auto id = store_->Pull(Name(tag), {}, {});
    if (id.ok()) return false;
    EXPECT_EQ(id.error().code(), Code::kResourceExhausted) << id.error().message();
    EXPECT_THAT(id.error().message(), HasSubstr("pull " + Name(tag)));
    EXPECT_THAT(id.error().message(), AnyOf(HasSubstr("layer sha256:"), HasSubstr("record the image")));
    EXPECT_THAT(id.error().message(), HasSubstr("No space left on device"));
    EXPECT_EQ(Tree(), before);
    EXPECT_EQ(store_->Usage()->used_bytes, usage.used_bytes);
    EXPECT_EQ(store_->Usage()->inodes_used, usage.inodes_used);
    return true;
  }

  std::string root_;
  std::string disk_;
  TestRegistry registry_;
  std::unique_ptr<Store> store_;
};

TEST_F(FullDisk, APullThatMeetsTheEndAtAnyMomentLeavesNothing) {
  MountSmall("size=8m");
  Push("x", 3, 8, 128 * kKiB);
  Push("small", 1, 1, 4 * kKiB);
  int met = 0;
  for (const uint64_t kib : {0, 8, 60, 300, 900, 1500, 2200, 2900, 3060, 3072, 3080, 3096, 3200}) {
    SCOPED_TRACE(kib);
    Fill(kib * kKiB);
    if (PullMeetsTheEnd("x")) ++met;
    if (kib == 300) {
      EXPECT_TRUE(store_->Pull(Name("small"), {}, {}).ok());
      EXPECT_TRUE(store_->Remove(Name("small")).ok());
    }
    MakeRoom();
    const auto again = store_->Pull(Name("x"), {}, {});
    EXPECT_TRUE(again.ok()) << again.error().message();
    ASSERT_TRUE(store_->Remove(Name("x")).ok());
    EXPECT_EQ(store_->Usage()->used_bytes, 0U);
  }
  EXPECT_GE(met, 8);
  EXPECT_LT(met, 13);
}

TEST_F(FullDisk, APullThatMeetsTheEndOfInodesLeavesNothing) {
  MountSmall("size=32m,nr_inodes=300");
  Push("x", 3, 30, 10);
  int met = 0;
  for (const uint64_t free : {1, 2, 5, 20, 40, 70, 95, 100, 104, 130}) {
    SCOPED_TRACE(free);
    FillInodes(free);
    if (PullMeetsTheEnd("x")) ++met;
    MakeRoom();
    const auto again = store_->Pull(Name("x"), {}, {});
    EXPECT_TRUE(again.ok()) << again.error().message();
    ASSERT_TRUE(store_->Remove(Name("x")).ok());
    EXPECT_EQ(store_->Usage()->inodes_used, 0U);
  }
  EXPECT_GE(met, 6);
  EXPECT_LT(met, 10);
}

TEST_F(FullDisk, ImagesCanBeRemoved) {
  MountSmall("size=4m,nr_inodes=300");
  Push("x", 2, 4, 128 * kKiB);
  Push("y", 1, 2, 128 * kKiB);
  const auto id = store_->Pull(Name("x"), {}, {});
  ASSERT_TRUE(id.ok()) << id.error().message();
  Fill(0);
  FillInodes(0);
  EXPECT_TRUE(PullMeetsTheEnd("y"));
  // In use, and then not.
  ASSERT_TRUE(store_->Hold(*id, "container").ok());
  EXPECT_TRUE(store_->Remove(*id).ok());
  EXPECT_THAT(store_->List(), SizeIs(0));
  EXPECT_GT(store_->Usage()->used_bytes, 0U);
  store_->Release("container");
  EXPECT_TRUE(store_->RemoveUnused().ok());
  EXPECT_EQ(store_->Usage()->used_bytes, 0U);
  const auto other = store_->Pull(Name("y"), {}, {});
  EXPECT_TRUE(other.ok()) << other.error().message();
  Open();
  EXPECT_THAT(store_->List(), SizeIs(1));
}

TEST_F(FullDisk, UsageIsWhatIsOnDisk) {
  Open();
  TarBuilder tar;
  for (int i = 0; i < 200; ++i) {
    const std::string directory = "d" + std::to_string(i);
    tar.Directory(directory)
        .File(directory + "/file", Noise(static_cast<size_t>(i) * 300, 1))
        .Symlink(directory + "/l", "x");
    tar.HardLink(directory + "/same", directory + "/file");
  }
  registry_.Push("app", "x",
                 MakeImage({TarBuilder().Directory("d1", 0700).Finish(), tar.Finish(),
                            TarBuilder().File("d1/other", "x").File("d2/.wh.file", "").Finish()}));
  ASSERT_TRUE(store_->Pull(Name("x"), {}, {}).ok());
  std::map<ino_t, uint64_t> on_disk;
  const Image image = store_->List().at(0);
  for (const std::string& layer : image.layer_directories) {
    struct stat info {};
    ASSERT_EQ(::lstat(layer.c_str(), &info), 0);
    on_disk[info.st_ino] = static_cast<uint64_t>(info.st_blocks) * 512;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(layer)) {
      ASSERT_EQ(::lstat(entry.path().c_str(), &info), 0);
      on_disk[info.st_ino] = static_cast<uint64_t>(info.st_blocks) * 512;
    }
  }
  uint64_t bytes = 0;
  for (const auto& [inode, size] : on_disk) bytes += size;
  EXPECT_EQ(store_->Usage()->inodes_used, on_disk.size());
  EXPECT_NEAR(static_cast<double>(store_->Usage()->used_bytes), static_cast<double>(bytes),
              0.02 * static_cast<double>(bytes));
}

// A file system whose disk takes less than it promises: what was written to it goes nowhere, and that shows later.
TEST_F(FullDisk, ALayerThatCouldNotBeWrittenBackIsNotRecordedAsSynced) {
  const std::string backing = root_ + "/backing";
  ASSERT_TRUE(base::MakeDirectories(backing).ok());
  ASSERT_EQ(::mount("tmpfs", backing.c_str(), "tmpfs", 0, "size=6m"), 0);
  const std::string make = "truncate -s 64M " + backing + "/disk && mkfs.ext4 -q -O ^has_journal " + backing +
                           "/disk && mount -o loop,errors=continue " + backing + "/disk " + disk_ + " 2>&1";
  const bool mounted = std::system(make.c_str()) == 0;  // NOLINT: the command is the test's own
  if (!mounted) ::umount2(backing.c_str(), MNT_DETACH);
  if (!mounted) GTEST_SKIP() << "no loop device";
  Open();
  Push("x", 1, 16, 1024 * kKiB);
  ASSERT_TRUE(store_->Pull(Name("x"), {}, {}).ok());
  const auto record = [&]() -> Json {
    for (const auto& entry : std::filesystem::directory_iterator(disk_ + "/images/layers")) {
      if (entry.path().extension() != ".json") continue;
      const auto text = base::ReadFile(entry.path(), 10'000);
      return text.ok() ? *ParseObject(*text, "record") : Json::object();
    }
    return Json::object();
  };
  for (int tries = 0; tries < 600 && !record().contains("lost"); ++tries) {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  EXPECT_TRUE(record().contains("lost"));
  EXPECT_TRUE(record().contains("boot"));
  // A later sync finds nothing wrong; nor does a later daemon.
  Open();
  store_.reset();
  EXPECT_TRUE(record().contains("lost"));
  EXPECT_TRUE(record().contains("boot"));
  EXPECT_EQ(::umount2(disk_.c_str(), MNT_DETACH), 0);
  ::umount2(backing.c_str(), MNT_DETACH);
}

}  // namespace
}  // namespace image
