// Layers unpacked independently of each other come out, mounted as an overlay, as if each had been unpacked onto those
// below.
#include "image/adaptation.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <map>

#include "base/files.h"
#include "image/store.h"
#include "image/tree_record.h"
#include "image/unpack.h"
#include "store_fixture.h"
#include "tar_builder.h"
#include "text_reader.h"

namespace image {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Key;
using testing::Not;
using testing::Pair;
using testing::SizeIs;

TarBuilder::Change Owned(int64_t uid, time_t time) {
  return [=](archive_entry* entry) {
    archive_entry_set_uid(entry, uid);
    archive_entry_set_mtime(entry, time, 5);
  };
}

// What a path is, as readdir(3) and stat(2) tell: "d 0755 0", "f CONTENT", "l TARGET"; "?" is a name that is listed but
// not there.
using View = std::map<std::string, std::string>;

std::string Describe(const std::filesystem::path& path) {
  struct stat info {};
  if (::lstat(path.c_str(), &info) != 0) return "?";
  std::array<char, 100> text{};
  if (S_ISDIR(info.st_mode)) {
    std::snprintf(text.data(), text.size(), "d %04o %u", info.st_mode & 07777U, info.st_uid);
    return text.data();
  }
  if (S_ISLNK(info.st_mode)) return "l " + std::filesystem::read_symlink(path).string();
  if (S_ISREG(info.st_mode)) return "f " + *base::ReadFile(path, 1000);
  return "other";
}

void Walk(const std::filesystem::path& directory, const std::string& prefix, View& view) {
  const std::vector<std::string> names = *base::ListDirectory(directory);
  for (const std::string& name : names) {
    const std::string path = prefix + name;
    view[path] = Describe(directory / name);
    if (view[path].starts_with("d ")) Walk(directory / name, path + "/", view);
  }
}

class AdaptationTest : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "unpacking and mounting need root";
    std::string pattern = testing::TempDir() + "/adaptation-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    top_ = std::filesystem::path(pattern).lexically_normal();
    // Mounts are nobody else's to see, and go with the thread.
    ASSERT_EQ(::unshare(CLONE_NEWNS), 0);
    ASSERT_EQ(::mount(nullptr, "/", nullptr, MS_PRIVATE | MS_REC, nullptr), 0);
    ASSERT_TRUE(base::MakeDirectories(top_ + "/view").ok());
    ASSERT_TRUE(base::MakeDirectories(top_ + "/empty").ok());
  }
  void TearDown() override {
    if (!top_.empty()) std::filesystem::remove_all(top_);
  }

  // Unpacks one more layer onto those before, with its adaptation.
  void Add(const std::string& tar) {
    const std::string directory = top_ + "/" + std::to_string(layers_.size());
    ASSERT_EQ(::mkdir(directory.c_str(), 0755), 0);
    auto recorder = TreeRecorder::Create(directory + ".tree");
    ASSERT_TRUE(recorder.ok());
    TextReader reader(tar);
    const auto size = UnpackTar(reader, directory, {uint64_t{64} << 20, 10'000}, recorder->get());
    ASSERT_TRUE(size.ok()) << size.error().message();
    ASSERT_TRUE((*recorder)->Finish().ok());
    auto adaptation = Adaptation::Plan(layers_, directory, directory + ".tree", {});
    ASSERT_TRUE(adaptation.ok()) << adaptation.error().message();
    layers_.push_back(directory);
    adapted_ = *adaptation != nullptr;
    if (!adapted_) return;
    const std::string target = top_ + "/" + std::to_string(layers_.size());
    ASSERT_EQ(::mkdir(target.c_str(), 0755), 0);
    const auto written = (*adaptation)->Write(target);
    ASSERT_TRUE(written.ok()) << written.error().message();
    size_ = *written;
    layers_.push_back(target);
    const auto record = LoadTreeRecord(target + ".tree");
    ASSERT_TRUE(record.ok()) << record.error().message();
    const auto differences = CompareTree(target, *record, {});
    ASSERT_TRUE(differences.ok());
    for (const TreeDifference& difference : *differences) ADD_FAILURE() << difference.path << " " << difference.what;
  }

  View Seen() {
    std::string options = "lowerdir=";
    for (auto layer = layers_.rbegin(); layer != layers_.rend(); ++layer) options += *layer + ":";
    options += top_ + "/empty";
    View view;
    const std::string point = top_ + "/view";
    EXPECT_EQ(::mount("overlay", point.c_str(), "overlay", MS_RDONLY, options.c_str()), 0) << strerror(errno);
    Walk(point, "", view);
    view["."] = Describe(point);
    struct stat info {};
    for (const auto& [path, what] : view)
      times_[path] = ::lstat((point + "/" + path).c_str(), &info) == 0 ? info.st_mtime : 0;
    EXPECT_EQ(::umount(point.c_str()), 0);
    return view;
  }

  std::string top_;
  std::vector<std::string> layers_;
  std::map<std::string, time_t> times_;
  bool adapted_ = false;
  UnpackedSize size_;
};

TEST_F(AdaptationTest, ALayerWithAnEntryForEveryDirectoryNeedsNone) {
  Add(TarBuilder().Directory("./").Directory("etc").File("etc/a", "1").Finish());
  EXPECT_FALSE(adapted_);
  Add(TarBuilder().Directory("etc").File("etc/b", "2").File("etc/.wh.a", "").Finish());
  EXPECT_FALSE(adapted_);
  EXPECT_THAT(Seen(), Not(Contains(Key("etc/a"))));
}

TEST_F(AdaptationTest, AnImpliedDirectoryIsTheLowerOne) {
  Add(TarBuilder().Directory("d", 0700, Owned(7, 1000)).Directory("d/e", 01777, Owned(8, 2000)).Finish());
  Add(TarBuilder().File("d/e/f", "x").File("new/g", "y").Finish());
  EXPECT_THAT(Seen(),
              testing::IsSupersetOf(View{
                  {"d", "d 0700 7"}, {"d/e", "d 1777 8"}, {"d/e/f", "f x"}, {"new", "d 0755 0"}, {"new/g", "f y"}}));
  EXPECT_EQ(times_["d"], 1000);
  EXPECT_EQ(times_["d/e"], 2000);
  EXPECT_EQ(size_.inodes, 2U);
  EXPECT_EQ(size_.bytes, 8192U);
}

TEST_F(AdaptationTest, ALaterLayerIsAdaptedToTheAdaptedOnes) {
  Add(TarBuilder().Directory("d", 0700).Finish());
  Add(TarBuilder().File("d/a", "1").Finish());
  Add(TarBuilder().Directory("d", 0711).Finish());
  Add(TarBuilder().File("d/b", "2").Finish());
  EXPECT_EQ(Seen()["d"], "d 0711 0");
}

TEST_F(AdaptationTest, ExtendedAttributesOfALowerDirectoryStay) {
  Add(TarBuilder()
          .Directory("d", 0755, [](archive_entry* entry) { archive_entry_xattr_add_entry(entry, "user.x", "1", 1); })
          .Finish());
  Add(TarBuilder().File("d/a", "1").Finish());
  ASSERT_TRUE(adapted_);
  char value = 0;
  EXPECT_EQ(::getxattr((layers_.back() + "/d").c_str(), "user.x", &value, 1), 1);
  EXPECT_EQ(value, '1');
}

TEST_F(AdaptationTest, TheRootIsThatOfTheLowerLayer) {
  Add(TarBuilder().Directory("./", 0711, Owned(3, 1000)).Finish());
  Add(TarBuilder().File("a", "1").Finish());
  EXPECT_TRUE(adapted_);
  EXPECT_EQ(Seen()["."], "d 0711 3");
  Add(TarBuilder().Directory("./", 0750).Finish());
  EXPECT_FALSE(adapted_);
  EXPECT_EQ(Seen()["."], "d 0750 0");
}

TEST_F(AdaptationTest, ARootThatDiffersInItsTimeAloneNeedsNone) {
  Add(TarBuilder().Directory("./", 0755, Owned(0, 1000)).Finish());
  Add(TarBuilder().File("a", "1").Finish());
  EXPECT_FALSE(adapted_);
}

TEST_F(AdaptationTest, EntriesBelowALowerLinkGoWhereItPoints) {
  Add(TarBuilder()
          .Symlink("lib", "usr/lib")
          .Directory("usr", 0711)
          .Directory("usr/lib", 0700, Owned(4, 3000))
          .File("usr/lib/old", "1")
          .File("usr/lib/gone", "2")
          .File("usr/lib/replaced", "3")
          .Directory("usr/lib/sub", 0711)
          .File("usr/lib/sub/stays", "4")
          .Finish());
  Add(TarBuilder()
          .File("lib/new", "5")
          .HardLink("lib/same", "lib/new")
          .File("lib/.wh.gone", "")
          .File("lib/.wh.never", "")
          .File("lib/replaced", "6")
          .File("lib/sub/deep", "7")
          .Directory("lib/own", 0500)
          .File("lib/own/x", "8")
          .Finish());
  EXPECT_EQ(Seen(), (View{{".", "d 0755 0"},
                          {"lib", "l usr/lib"},
                          {"usr", "d 0711 0"},
                          {"usr/lib", "d 0700 4"},
                          {"usr/lib/old", "f 1"},
                          {"usr/lib/replaced", "f 6"},
                          {"usr/lib/sub", "d 0711 0"},
                          {"usr/lib/sub/stays", "f 4"},
                          {"usr/lib/sub/deep", "f 7"},
                          {"usr/lib/new", "f 5"},
                          {"usr/lib/same", "f 5"},
                          {"usr/lib/own", "d 0500 0"},
                          {"usr/lib/own/x", "f 8"}}));
  EXPECT_EQ(times_["usr/lib"], 3000);
  struct stat one {};
  struct stat other {};
  ASSERT_EQ(::stat((layers_.back() + "/usr/lib/new").c_str(), &one), 0);
  ASSERT_EQ(::stat((layers_.back() + "/usr/lib/same").c_str(), &other), 0);
  EXPECT_EQ(one.st_ino, other.st_ino);
  // Links cost nothing: usr, lib, sub, own and the whiteout.
  EXPECT_EQ(size_.inodes, 5U);
}

TEST_F(AdaptationTest, LinksAreFollowedThroughSeveralLayers) {
  Add(TarBuilder().Symlink("a", "b/c").Symlink("b", "/real/").Finish());
  Add(TarBuilder().Directory("real").Symlink("real/c", "../real/./d").Directory("real/d", 0711).Finish());
  Add(TarBuilder().File("a/x", "1").Finish());
  EXPECT_EQ(Seen(), (View{{".", "d 0755 0"},
                          {"a", "l b/c"},
                          {"b", "l /real/"},
                          {"real", "d 0755 0"},
                          {"real/c", "l ../real/./d"},
                          {"real/d", "d 0711 0"},
                          {"real/d/x", "f 1"}}));
}

TEST_F(AdaptationTest, ALinkBelowALinkIsFollowedAsWell) {
  Add(TarBuilder()
          .Symlink("lib", "usr/lib")
          .Directory("usr")
          .Directory("usr/lib")
          .Symlink("usr/lib/x", "../share")
          .Directory("usr/share", 0711)
          .Finish());
  Add(TarBuilder().File("lib/x/y", "1").Finish());
  const View view = Seen();
  EXPECT_THAT(view, Contains(Pair("usr/lib/x", "l ../share")));
  EXPECT_THAT(view, Contains(Pair("usr/share", "d 0711 0")));
  EXPECT_THAT(view, Contains(Pair("usr/share/y", "f 1")));
}

TEST_F(AdaptationTest, LinksThatLeadOutStayInside) {
  const std::string host = top_ + "/host";
  ASSERT_TRUE(base::MakeDirectories(host).ok());
  Add(TarBuilder()
          .Symlink("absolute", host)
          .Symlink("up", "../../../../../../.." + host)
          .Symlink("root", "/")
          .Finish());
  Add(TarBuilder().File("absolute/a", "1").File("up/b", "2").File("root/c", "3").Finish());
  EXPECT_THAT(*base::ListDirectory(host), IsEmpty());
  const View view = Seen();
  EXPECT_THAT(view, Contains(Pair("absolute", "l " + host)));
  EXPECT_THAT(view, Contains(Pair(host.substr(1) + "/a", "f 1")));
  EXPECT_THAT(view, Contains(Pair(host.substr(1) + "/b", "f 2")));
  EXPECT_THAT(view, Contains(Pair("c", "f 3")));
}

TEST_F(AdaptationTest, LinksThatCannotBeFollowedAreReplaced) {
  Add(TarBuilder()
          .Symlink("loop", "loop")
          .Symlink("one", "other")
          .Symlink("other", "one/x")
          .File("file", "f")
          .Symlink("to-file", "file")
          .File("gate", "g")
          .Symlink("below-file", "gate/x")
          .Symlink("long-name", std::string(300, 'n'))
          .Finish());
  Add(TarBuilder()
          .File("loop/a", "1")
          .File("one/a", "2")
          .File("to-file/a", "3")
          .File("below-file/a", "4")
          .File("long-name/a", "5")
          .File("file/a", "6")
          .Finish());
  const View view = Seen();
  for (const char* name : {"loop", "one", "below-file", "long-name", "file"}) {
    EXPECT_THAT(view, Contains(Pair(name, "d 0755 0"))) << name;
    EXPECT_THAT(view, Contains(Key(std::string(name) + "/a"))) << name;
  }
}

TEST_F(AdaptationTest, ADanglingLinkGetsItsDirectory) {
  Add(TarBuilder().Symlink("run", "/data/run").Finish());
  Add(TarBuilder().File("run/pid", "1").Finish());
  EXPECT_EQ(Seen(), (View{{".", "d 0755 0"},
                          {"run", "l /data/run"},
                          {"data", "d 0755 0"},
                          {"data/run", "d 0755 0"},
                          {"data/run/pid", "f 1"}}));
}

TEST_F(AdaptationTest, AWhiteoutOfTheLinkMakesItsPlaceFree) {
  for (const bool before : {true, false}) {
    layers_.clear();
    std::filesystem::remove_all(top_);
    ASSERT_TRUE(base::MakeDirectories(top_ + "/view").ok());
    ASSERT_TRUE(base::MakeDirectories(top_ + "/empty").ok());
    Add(TarBuilder().Symlink("lib", "usr").Directory("usr", 0700).Finish());
    if (before) {
      Add(TarBuilder().File(".wh.lib", "").File("lib/a", "1").Finish());
    } else {
      Add(TarBuilder().File("lib/a", "1").File(".wh.lib", "").Finish());
    }
    EXPECT_EQ(Seen(), (View{{".", "d 0755 0"}, {"lib", "d 0755 0"}, {"lib/a", "f 1"}, {"usr", "d 0700 0"}}));
  }
}

TEST_F(AdaptationTest, ADirectoryWithAnEntryReplacesTheLink) {
  Add(TarBuilder().Symlink("lib", "usr").Directory("usr", 0700).Finish());
  Add(TarBuilder().Directory("lib", 0711).File("lib/a/b", "1").Finish());
  EXPECT_EQ(
      Seen(),
      (View{{".", "d 0755 0"}, {"lib", "d 0711 0"}, {"lib/a", "d 0755 0"}, {"lib/a/b", "f 1"}, {"usr", "d 0700 0"}}));
}

TEST_F(AdaptationTest, AnOpaqueDirectoryBelowALinkHidesWhatIsWhereItPoints) {
  Add(TarBuilder()
          .Symlink("lib", "usr")
          .Directory("usr", 0700)
          .File("usr/old", "1")
          .Directory("usr/sub")
          .File("usr/sub/old", "2")
          .Finish());
  // What the layer itself has there stays.
  Add(TarBuilder()
          .File("lib/.wh..wh..opq", "")
          .File("lib/new", "3")
          .Directory("usr/sub", 0711)
          .File("usr/sub/own", "4")
          .File("usr/other/own", "5")
          .Finish());
  EXPECT_EQ(Seen(), (View{{".", "d 0755 0"},
                          {"lib", "l usr"},
                          {"usr", "d 0700 0"},
                          {"usr/new", "f 3"},
                          {"usr/sub", "d 0711 0"},
                          {"usr/sub/own", "f 4"},
                          {"usr/other", "d 0755 0"},
                          {"usr/other/own", "f 5"}}));
}

TEST_F(AdaptationTest, AnOpaqueDirectoryIsMadeAnewBeneath) {
  Add(TarBuilder().Directory("d", 0700).Directory("d/e", 0711).Symlink("d/link", "/").File("d/old", "1").Finish());
  Add(TarBuilder().File("d/.wh..wh..opq", "").File("d/e/f", "2").File("d/link/g", "3").Finish());
  EXPECT_EQ(Seen(), (View{{".", "d 0755 0"},
                          {"d", "d 0700 0"},
                          {"d/e", "d 0755 0"},
                          {"d/e/f", "f 2"},
                          {"d/link", "d 0755 0"},
                          {"d/link/g", "f 3"}}));
}

TEST_F(AdaptationTest, WhiteoutsWithoutALowerDirectoryAreNotListed) {
  Add(TarBuilder().Directory("d").File("d/.wh.x", "").File("d/e/.wh.y", "").File(".wh.z", "").Finish());
  EXPECT_EQ(Seen(), (View{{".", "d 0755 0"}, {"d", "d 0755 0"}, {"d/e", "d 0755 0"}}));
  Add(TarBuilder().Directory("new", 0700).File("new/.wh.x", "").File("d/.wh.e", "").Finish());
  EXPECT_EQ(Seen(), (View{{".", "d 0755 0"}, {"d", "d 0755 0"}, {"new", "d 0700 0"}}));
}

TEST_F(AdaptationTest, OfTwoEntriesOfOnePathTheLaterOneWins) {
  Add(TarBuilder().Symlink("lib", "usr").Directory("usr").Finish());
  Add(TarBuilder().File("lib/a", "moved").File("usr/a", "own").File("usr/b", "own").File("lib/b", "moved").Finish());
  const View view = Seen();
  EXPECT_THAT(view, Contains(Pair("usr/a", "f own")));
  EXPECT_THAT(view, Contains(Pair("usr/b", "f moved")));
}

TEST_F(AdaptationTest, AFileInPlaceOfAMovedDirectorysParentGivesWay) {
  Add(TarBuilder().Symlink("lib", "usr").Directory("usr").File("usr/a", "file").Finish());
  Add(TarBuilder().File("lib/a/b", "1").Finish());
  const View view = Seen();
  EXPECT_THAT(view, Contains(Pair("usr/a", "d 0755 0")));
  EXPECT_THAT(view, Contains(Pair("usr/a/b", "f 1")));
}

TEST_F(AdaptationTest, MuchWorkForLinksIsRefused) {
  std::string target;
  while (target.size() < 4000) target += "a/../";
  TarBuilder lower;
  TarBuilder upper;
  lower.Directory("a");
  for (int i = 0; i < 250; ++i) {
    // Each leads through all after it.
    lower.Symlink("l" + std::to_string(i), target + "l" + std::to_string(i + 1));
    upper.File("l" + std::to_string(i) + "/x", "");
  }
  Add(lower.Finish());
  const std::string directory = top_ + "/upper";
  ASSERT_EQ(::mkdir(directory.c_str(), 0755), 0);
  auto recorder = TreeRecorder::Create(directory + ".tree");
  TextReader reader(upper.Finish());
  ASSERT_TRUE(UnpackTar(reader, directory, {uint64_t{64} << 20, 10'000}, recorder->get()).ok());
  ASSERT_TRUE((*recorder)->Finish().ok());
  const auto adaptation = Adaptation::Plan(layers_, directory, directory + ".tree", {});
  ASSERT_FALSE(adaptation.ok());
  EXPECT_EQ(adaptation.error().code(), base::Code::kResourceExhausted);
  std::stop_source stop;
  stop.request_stop();
  EXPECT_EQ(Adaptation::Plan(layers_, directory, directory + ".tree", stop.get_token()).error().code(),
            base::Code::kCancelled);
}

// In the store.
class AdaptedStore : public StoreFixture {
 protected:
  Image Pull(const std::string& tag, const std::string& lower) {
    return **store_->Find(PullLayers(tag, {lower, TarBuilder().File("lib/x", "moved").Finish()}));
  }
  static std::string Linked() { return TarBuilder().Symlink("lib", "usr").Directory("usr", 0711).Finish(); }
};

TEST_F(AdaptedStore, ALayerIsAdaptedForEachImageAndSharedItself) {
  const Image linked = Pull("linked", Linked());
  const Image plain = Pull("plain", TarBuilder().Directory("lib", 0700).Finish());
  ASSERT_THAT(linked.layer_directories, SizeIs(3));
  ASSERT_THAT(plain.layer_directories, SizeIs(3));
  EXPECT_EQ(linked.layer_directories[1], plain.layer_directories[1]);
  EXPECT_EQ(*base::ReadFile(linked.layer_directories[2] + "/usr/x", 10), "moved");
  EXPECT_EQ(Describe(plain.layer_directories[2] + "/lib"), "d 0700 0");
  EXPECT_EQ(Count("l"), 5U);
  EXPECT_EQ(Count("staging"), 0U);
  // Found again, and gone with its image.
  Reopen();
  EXPECT_EQ((*store_->Find(linked.id))->layer_directories, linked.layer_directories);
  EXPECT_EQ(Pull("linked", Linked()).layer_directories, linked.layer_directories);
  ASSERT_TRUE(store_->Remove(plain.id).ok());
  EXPECT_EQ(Count("l"), 3U);
  ASSERT_TRUE(store_->Remove(linked.id).ok());
  EXPECT_EQ(Count("l"), 0U);
  EXPECT_EQ(store_->Usage()->used_bytes, 0U);
  EXPECT_EQ(store_->Usage()->inodes_used, 0U);
}

TEST_F(AdaptedStore, AnImageThatIsHeldKeepsItsAdaptation) {
  const Image image = Pull("x", Linked());
  ASSERT_TRUE(store_->Hold(image.id, "container").ok());
  ASSERT_TRUE(store_->Remove(image.id).ok());
  EXPECT_EQ(Count("l"), 3U);
  EXPECT_EQ(Pull("x", Linked()).layer_directories, image.layer_directories);
  ASSERT_TRUE(store_->Remove(image.id).ok());
  store_->Release("container");
  ASSERT_TRUE(store_->RemoveUnused().ok());
  EXPECT_EQ(Count("l"), 0U);
}

TEST_F(AdaptedStore, AMissingAdaptationTakesItsImageAlong) {
  const Image image = Pull("x", Linked());
  store_.reset();
  const std::string name = image.layer_directories[2].substr(image.layer_directories[2].rfind('/') + 1);
  std::filesystem::remove(root_ + "/images/layers/" + name + ".json");
  store_ = Open("images");
  EXPECT_THAT(store_->List(), IsEmpty());
  EXPECT_EQ(Count("l"), 0U);
  EXPECT_THAT(Pull("x", Linked()).layer_directories, SizeIs(3));
}

TEST_F(AdaptedStore, ACheckMakesItAnew) {
  const Image image = Pull("x", Linked());
  const auto check = [&](bool repair) {
    std::vector<CheckedLayer> layers;
    EXPECT_TRUE(store_->Check(repair, [&](const CheckedLayer& layer) { layers.push_back(layer); }, {}).ok());
    return layers;
  };
  for (const CheckedLayer& layer : check(false)) EXPECT_EQ(layer.state, CheckedLayer::State::kGood);
  // The file is one in both.
  ASSERT_TRUE(base::WriteFileAtomic(root_ + "/bad", "damage").ok());
  std::filesystem::copy_file(root_ + "/bad", image.layer_directories[2] + "/usr/x",
                             std::filesystem::copy_options::overwrite_existing);
  ASSERT_EQ(::chmod((image.layer_directories[2] + "/usr").c_str(), 0777), 0);
  const auto repaired = check(true);
  ASSERT_THAT(repaired, SizeIs(3));
  EXPECT_EQ(repaired[2].state, CheckedLayer::State::kRepaired) << repaired[2].error;
  EXPECT_TRUE(repaired[2].adaptation);
  EXPECT_EQ(repaired[2].diff_id,
            repaired[0].state == CheckedLayer::State::kRepaired ? repaired[0].diff_id : repaired[1].diff_id);
  EXPECT_EQ(*base::ReadFile(image.layer_directories[2] + "/usr/x", 10), "moved");
  EXPECT_EQ(Describe(image.layer_directories[2] + "/usr"), "d 0711 0");
  for (const CheckedLayer& layer : check(false)) EXPECT_EQ(layer.state, CheckedLayer::State::kGood);
  EXPECT_EQ(Count("staging"), 0U);
}

TEST_F(AdaptedStore, AnExportedLayerImpliesWhatItImplied) {
  const Image image = Pull("x", Linked());
  ASSERT_TRUE(store_->Export(image.id, root_ + "/layout", {}).ok());
  const auto other = Open("other");
  const auto imported = other->Import(root_ + "/layout", {});
  ASSERT_TRUE(imported.ok()) << imported.error().message();
  const Image copy = **other->Find(Name("x"));
  ASSERT_THAT(copy.layer_directories, SizeIs(3));
  EXPECT_EQ(*base::ReadFile(copy.layer_directories[2] + "/usr/x", 10), "moved");
  EXPECT_EQ(Describe(copy.layer_directories[2] + "/usr"), "d 0711 0");
}

TEST_F(AdaptedStore, LayersBelowAnOpaqueRootAreNotMounted) {
  registry_.Push("app", "x",
                 MakeImage({TarBuilder().File("a", "1").Finish(),
                            TarBuilder().Directory("./").File(".wh..wh..opq", "").File("b", "2").Finish()}));
  ASSERT_TRUE(store_->Pull(Name("x"), {}, {}).ok());
  const Image image = **store_->Find(Name("x"));
  ASSERT_THAT(image.layer_directories, SizeIs(1));
  EXPECT_EQ(*base::ReadFile(image.layer_directories[0] + "/b", 10), "2");
}

}  // namespace
}  // namespace image
