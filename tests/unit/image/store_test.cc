// The store over restarts, crashes, removals and holds.
#include "image/store.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <thread>

#include "base/files.h"
#include "image/digest.h"
#include "store_fixture.h"

namespace image {
namespace {

using base::Code;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;
using testing::SizeIs;

class StoreOnDisk : public StoreFixture {
 protected:
  // Pushes an image of one layer for each text, and pulls it.
  std::string PullImage(const std::string& tag, const std::vector<std::string>& texts) {
    std::vector<std::string> tars;
    tars.reserve(texts.size());
    for (const std::string& text : texts) tars.push_back(TarBuilder().File(text, text).Finish());
    return PullLayers(tag, tars);
  }
};

TEST_F(StoreOnDisk, ASecondOneIsRefused) {
  const auto second = Store::Open(Options("images"));
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error().code(), Code::kFailedPrecondition);
  EXPECT_THAT(second.error().message(), HasSubstr("another process uses it"));
}

TEST_F(StoreOnDisk, IsNotForTheHostsUsers) {
  struct stat info {};
  ASSERT_EQ(::stat((root_ + "/images").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0700u);
}

TEST_F(StoreOnDisk, ARestartFindsEverythingAgain) {
  const std::string id = PullImage("x", {"a", "b"});
  const Image before = store_->List().at(0);
  const FilesystemUsage usage = *store_->Usage();
  Reopen();
  ASSERT_THAT(store_->List(), SizeIs(1));
  const Image after = store_->List()[0];
  EXPECT_EQ(after.id, id);
  EXPECT_EQ(after.tags, before.tags);
  EXPECT_EQ(after.digests, before.digests);
  EXPECT_EQ(after.size, before.size);
  EXPECT_EQ(after.raw_config, before.raw_config);
  EXPECT_EQ(after.layer_directories, before.layer_directories);
  EXPECT_EQ(store_->Usage()->used_bytes, usage.used_bytes);
  EXPECT_EQ(store_->Usage()->inodes_used, usage.inodes_used);
  EXPECT_EQ(store_->Usage()->mountpoint, root_ + "/images");
}

TEST_F(StoreOnDisk, FindsByIdPrefixTagAndDigest) {
  const std::string id = PullImage("x", {"a"});
  const std::string digest = store_->List()[0].digests.at(0);
  for (const std::string& reference : {id, id.substr(7), id.substr(7, 12), id.substr(0, 30), Name("x"), digest,
                                       Name("ignored") + digest.substr(digest.find('@'))}) {
    const auto found = store_->Find(reference);
    ASSERT_TRUE(found.ok()) << found.error().message();
    ASSERT_TRUE(found->has_value()) << reference;
    EXPECT_EQ((*found)->id, id);
  }
  for (const std::string& reference :
       {Name("y"), std::string(64, '0'), "sha256:" + std::string(64, '0'), std::string("app"), id.substr(7, 11)}) {
    const auto found = store_->Find(reference);
    ASSERT_TRUE(found.ok()) << reference << ": " << found.error().message();
    EXPECT_FALSE(found->has_value()) << reference;
  }
  EXPECT_EQ(store_->Find("Not A Reference").error().code(), Code::kInvalidArgument);
  EXPECT_EQ(store_->Find("").error().code(), Code::kInvalidArgument);
}

TEST_F(StoreOnDisk, RemovingByOneTagRemovesAllTags) {
  const std::string id = PullImage("x", {"a"});
  ASSERT_EQ(PullImage("y", {"a"}), id);
  EXPECT_THAT(store_->List()[0].tags, ElementsAre(Name("x"), Name("y")));
  ASSERT_TRUE(store_->Remove(Name("x")).ok());
  EXPECT_THAT(store_->List(), SizeIs(0));
  EXPECT_EQ(Count("l"), 0u);
  EXPECT_EQ(Count("layers"), 0u);
  EXPECT_EQ(Count("images"), 0u);
  EXPECT_EQ(store_->Usage()->used_bytes, 0u);
  EXPECT_TRUE(store_->Remove(Name("x")).ok()) << "it is no error that there is none";
}

TEST_F(StoreOnDisk, ASharedLayerStaysUntilItsLastImageGoes) {
  PullImage("x", {"shared", "a"});
  PullImage("y", {"shared", "b"});
  EXPECT_EQ(Count("l"), 3u);
  ASSERT_TRUE(store_->Remove(Name("x")).ok());
  EXPECT_EQ(Count("l"), 2u);
  ASSERT_TRUE(store_->Remove(Name("y")).ok());
  EXPECT_EQ(Count("l"), 0u);
}

TEST_F(StoreOnDisk, HeldLayersOutliveTheImageAndARestart) {
  const std::string id = PullImage("x", {"a"});
  const std::string directory = store_->List()[0].layer_directories.at(0);
  ASSERT_TRUE(store_->Hold(id, "container-1").ok());
  ASSERT_TRUE(store_->Remove(id).ok());
  EXPECT_THAT(store_->List(), SizeIs(0));
  ASSERT_TRUE(store_->RemoveUnused().ok());
  EXPECT_TRUE(std::filesystem::exists(directory + "/a"));

  Reopen();
  EXPECT_THAT(store_->List(), SizeIs(0));
  EXPECT_TRUE(std::filesystem::exists(directory + "/a"));
  ASSERT_TRUE(store_->Hold(id, "container-1").ok()) << "a user of an earlier run holds it again";
  ASSERT_TRUE(store_->RemoveUnused().ok());
  EXPECT_TRUE(std::filesystem::exists(directory + "/a"));
  store_->Release("container-1");
  ASSERT_TRUE(store_->RemoveUnused().ok());
  EXPECT_FALSE(std::filesystem::exists(directory));
  EXPECT_EQ(Count("removed"), 0u);
  EXPECT_EQ(store_->Hold(id, "container-2").error().code(), Code::kNotFound);
}

TEST_F(StoreOnDisk, AHeldImageThatIsPulledAgainFetchesNothing) {
  const std::string id = PullImage("x", {"a"});
  ASSERT_TRUE(store_->Hold(id, "container-1").ok());
  ASSERT_TRUE(store_->Remove(id).ok());
  ASSERT_EQ(PullImage("x", {"a"}), id);
  EXPECT_EQ(Count("removed"), 0u);
  store_->Release("container-1");
  ASSERT_TRUE(store_->RemoveUnused().ok());
  EXPECT_EQ(Count("l"), 1u);
  ASSERT_TRUE(store_->Remove(id).ok());
  EXPECT_EQ(Count("l"), 0u);
  const TestImage image = MakeImage({TarBuilder().File("a", "a").Finish()});
  EXPECT_EQ(registry_.server().CountRequests("GET", "/v2/app/blobs/" + image.layer_digests[0]), 1u);
}

TEST_F(StoreOnDisk, LeftoversOfACrashAreDropped) {
  PullImage("x", {"a"});
  store_.reset();
  const std::string images = root_ + "/images";
  // A layer half unpacked, one renamed but not recorded, and records half written.
  ASSERT_TRUE(base::MakeDirectories(images + "/staging/1234/deep").ok());
  ASSERT_TRUE(base::MakeDirectories(images + "/l/0123456789ab/etc").ok());
  ASSERT_TRUE(base::WriteFileAtomic(images + "/layers/x.json.tmp-1-1", "{").ok());
  ASSERT_TRUE(base::WriteFileAtomic(images + "/images/x.json.tmp-1-1", "{").ok());
  ASSERT_TRUE(base::WriteFileAtomic(images + "/images/sha256-broken.json", "{").ok());
  // A layer recorded for an image that was not.
  const std::string diff_id = "sha256:" + std::string(64, 'c');
  ASSERT_TRUE(base::MakeDirectories(images + "/l/cccccccccccc").ok());
  ASSERT_TRUE(base::WriteFileAtomic(images + "/layers/cccccccccccc.json",
                                    R"({"diffID":")" + diff_id + R"(","bytes":1,"inodes":1})")
                  .ok());
  Reopen();
  EXPECT_EQ(Count("staging"), 0u);
  EXPECT_EQ(Count("l"), 1u);
  EXPECT_EQ(Count("layers"), 2u);
  EXPECT_EQ(Count("images"), 1u);
  EXPECT_THAT(store_->List(), SizeIs(1));
}

TEST_F(StoreOnDisk, WhatIsNotSyncedOutlivesACrashButNotAPowerLoss) {
  PullImage("x", {"a"});
  const std::string record = root_ + "/images/layers/" + base::ListDirectory(root_ + "/images/layers")->at(0);
  const std::string unsynced = *base::ReadFile(record, 10'000);
  EXPECT_THAT(unsynced, HasSubstr("\"boot\""));
  store_.reset();
  EXPECT_THAT(*base::ReadFile(record, 10'000), Not(HasSubstr("boot"))) << "closing the store syncs";
  // As after a kill, in the same boot.
  ASSERT_TRUE(base::WriteFileAtomic(record, unsynced).ok());
  Reopen();
  EXPECT_THAT(store_->List(), SizeIs(1));
  store_.reset();
  EXPECT_THAT(*base::ReadFile(record, 10'000), Not(HasSubstr("boot")));
  // As after a power loss: the record is from another boot.
  std::string other = unsynced;
  const std::string boot_id = *base::ReadFile("/proc/sys/kernel/random/boot_id", 100);
  const size_t at = other.find(boot_id.substr(0, 36));
  ASSERT_NE(at, std::string::npos);
  other[at] = other[at] == '0' ? '1' : '0';
  ASSERT_TRUE(base::WriteFileAtomic(record, other).ok());
  Reopen();
  EXPECT_THAT(store_->List(), SizeIs(0));
  EXPECT_EQ(Count("l"), 0u);
  EXPECT_EQ(Count("layers"), 0u);
  PullImage("x", {"a"});
  EXPECT_TRUE(std::filesystem::exists(store_->List().at(0).layer_directories[0] + "/a"));
}

TEST_F(StoreOnDisk, WhatIsNotSyncedIsDroppedWhenItDiffersFromItsRecord) {
  PullImage("x", {"a", "b"});
  const Image image = store_->List()[0];
  const std::string name = std::filesystem::path(image.layer_directories[0]).filename();
  const std::string record = root_ + "/images/layers/" + name + ".json";
  const std::string unsynced = *base::ReadFile(record, 10'000);
  ASSERT_THAT(unsynced, HasSubstr("\"boot\""));
  store_.reset();
  // As after a kill of the daemon, and a disk that lost its power although the machine did not.
  ASSERT_TRUE(base::WriteFileAtomic(record, unsynced).ok());
  std::filesystem::resize_file(image.layer_directories[0] + "/a", 0);
  Reopen();
  EXPECT_THAT(store_->List(), SizeIs(0));
  EXPECT_EQ(Count("l"), 0u);
  EXPECT_EQ(Count("layers"), 0u);
  PullImage("x", {"a", "b"});
  EXPECT_EQ(*base::ReadFile(store_->List().at(0).layer_directories[0] + "/a", 10), "a");
}

TEST_F(StoreOnDisk, ATagLeavesAnImageOnDiskWhenTheNextOneIsSynced) {
  const std::string first = PullImage("x", {"a"});
  const std::string second = PullImage("x", {"b"});
  EXPECT_THAT(*base::ReadFile(root_ + "/images/images/sha256-" + first.substr(7) + ".json", 1 << 20),
              Not(HasSubstr(Name("x"))));
  const std::string name = std::filesystem::path((*store_->Find(second))->layer_directories[0]).filename();
  EXPECT_THAT(*base::ReadFile(root_ + "/images/layers/" + name + ".json", 10'000), Not(HasSubstr("boot")));
}

TEST_F(StoreOnDisk, IsSyncedSoonAfterAPull) {
  PullImage("x", {"a", "b"});
  for (int tries = 0; tries < 600; ++tries) {
    bool all = true;
    const auto files = base::ListDirectory(root_ + "/images/layers");
    for (const std::string& file : *files) {
      if (!file.ends_with(".json")) continue;
      all = all && base::ReadFile(root_ + "/images/layers/" + file, 10'000)->find("boot") == std::string::npos;
    }
    if (all) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  }
  FAIL() << "not within a minute";
}

TEST_F(StoreOnDisk, AnImageWithoutItsLayersIsDroppedAndCanBePulledAgain) {
  PullImage("x", {"a", "b"});
  const Image image = store_->List()[0];
  store_.reset();
  std::filesystem::remove_all(image.layer_directories[1]);
  Reopen();
  EXPECT_THAT(store_->List(), SizeIs(0));
  EXPECT_EQ(Count("l"), 0u);
  PullImage("x", {"a", "b"});
  EXPECT_TRUE(std::filesystem::exists(store_->List().at(0).layer_directories[1] + "/b"));
}

TEST_F(StoreOnDisk, TheGenerationChangesWithTheImagesAndTheirNamesAlone) {
  const uint64_t empty = store_->Generation();
  PullImage("x", {"a"});
  const uint64_t pulled = store_->Generation();
  EXPECT_NE(pulled, empty);
  PullImage("x", {"a"});
  EXPECT_EQ(store_->Generation(), pulled);
  const std::string second = PullImage("x", {"b"});
  const uint64_t moved = store_->Generation();
  EXPECT_NE(moved, pulled);
  ASSERT_TRUE(store_->Remove(second).ok());
  EXPECT_NE(store_->Generation(), moved);
}

TEST_F(StoreOnDisk, ATagThatTwoRecordsClaimAfterACrashIsTheLaterOnes) {
  const std::string first = PullImage("x", {"a"});
  const std::string record = root_ + "/images/images/sha256-" + first.substr(7) + ".json";
  const std::string before = *base::ReadFile(record, 1 << 20);
  const std::string second = PullImage("x", {"b"});
  store_.reset();
  ASSERT_TRUE(base::WriteFileAtomic(record, before).ok());
  Reopen();
  EXPECT_EQ((*store_->Find(Name("x")))->id, second);
  EXPECT_THAT((*store_->Find(first))->tags, ElementsAre());
  EXPECT_EQ(store_->TagOf(second), Name("x"));
  EXPECT_EQ(store_->TagOf(first), std::nullopt);
  ASSERT_TRUE(store_->Remove(second).ok());
  Reopen();
  EXPECT_FALSE(store_->Find(Name("x"))->has_value()) << "the older record does not get the tag back";
}

TEST_F(StoreOnDisk, LayersWhoseDiffIdsBeginAlikeGetDirectoriesOfTheirOwn) {
  PullImage("x", {"a"});
  const std::string directory = store_->List()[0].layer_directories[0];
  store_.reset();
  // The name that the next layer would have is taken.
  const TestImage next = MakeImage({TarBuilder().File("b", "b").Finish()});
  const std::string taken = next.diff_ids[0].substr(7, 12);
  const std::string images = root_ + "/images";
  std::filesystem::rename(directory, images + "/l/" + taken);
  std::filesystem::rename(images + "/layers/" + std::filesystem::path(directory).filename().string() + ".json",
                          images + "/layers/" + taken + ".json");
  Reopen();
  PullImage("y", {"b"});
  EXPECT_THAT((*store_->Find(Name("y")))->layer_directories, ElementsAre(images + "/l/" + taken + "-2"));
  EXPECT_TRUE(std::filesystem::exists(images + "/l/" + taken + "/a"));
}

TEST(StoreOpen, ABadRootIsRefused) {
  StoreOptions options;
  options.root = "relative";
  EXPECT_EQ(Store::Open(options).error().code(), Code::kInvalidArgument);
}

TEST_F(StoreOnDisk, WhatCouldNotBeRemovedGoesLater) {
  ASSERT_EQ(::unshare(CLONE_NEWNS), 0);
  ASSERT_EQ(::mount(nullptr, "/", nullptr, MS_PRIVATE | MS_REC, nullptr), 0);
  PullImage("x", {"a"});
  PullImage("y", {"b"});
  const std::string directory = (*store_->Find(Name("x")))->layer_directories.at(0);
  const std::string busy = directory + "/busy";
  ASSERT_TRUE(base::MakeDirectories(busy).ok());
  ASSERT_EQ(::mount("tmpfs", busy.c_str(), "tmpfs", 0, nullptr), 0);
  EXPECT_FALSE(store_->Remove(Name("x")).ok());
  EXPECT_THAT(store_->List(), SizeIs(1));
  EXPECT_TRUE(std::filesystem::exists(directory));
  ASSERT_EQ(::umount(busy.c_str()), 0);
  EXPECT_TRUE(store_->Remove(Name("y")).ok());
  EXPECT_FALSE(std::filesystem::exists(directory));
  EXPECT_EQ(Count("l"), 0U);
}

}  // namespace
}  // namespace image
