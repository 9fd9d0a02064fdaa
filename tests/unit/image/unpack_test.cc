#include "image/unpack.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <clocale>
#include <cstdlib>
#include <filesystem>
#include <optional>
#include <thread>

#include "base/files.h"
#include "tar_builder.h"
#include "text_reader.h"

namespace image {
namespace {

using base::Code;
using testing::ElementsAre;
using testing::HasSubstr;

class Unpack : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "whiteouts and owners need root";
    std::string pattern = testing::TempDir() + "/unpack-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    top_ = pattern;
    root_ = top_ + "/layer";
    ASSERT_TRUE(base::MakeDirectories(root_, 0755).ok());
  }
  void TearDown() override {
    if (!top_.empty()) std::filesystem::remove_all(top_);
  }

  base::Result<UnpackedSize> Run(const std::string& tar, const UnpackBounds& bounds = {uint64_t{64} << 20, 10'000}) {
    TextReader reader(tar);
    return UnpackTar(reader, root_, bounds);
  }
  void ExpectGood(const std::string& tar) {
    const auto size = Run(tar);
    ASSERT_TRUE(size.ok()) << size.error().message();
  }
  void ExpectBad(const std::string& tar, const std::string& why, Code code = Code::kDataLoss) {
    const auto size = Run(tar);
    ASSERT_FALSE(size.ok());
    EXPECT_EQ(size.error().code(), code) << size.error().message();
    EXPECT_THAT(size.error().message(), HasSubstr(why));
    // Nothing beside the layer's own directory was touched.
    EXPECT_THAT(*base::ListDirectory(top_), ElementsAre("layer"));
  }

  std::string Path(const std::string& name) const { return root_ + "/" + name; }
  struct stat Stat(const std::string& name) const {
    struct stat info {};
    EXPECT_EQ(::lstat(Path(name).c_str(), &info), 0) << name;
    return info;
  }
  std::string Content(const std::string& name) const {
    const auto content = base::ReadFile(Path(name), 64 << 20);
    return content.ok() ? *content : "(" + content.error().message() + ")";
  }
  std::optional<std::string> Xattr(const std::string& name, const char* attribute) const {
    char value[256];
    const ssize_t size = ::lgetxattr(Path(name).c_str(), attribute, value, sizeof value);
    if (size < 0) return std::nullopt;
    return std::string(value, static_cast<size_t>(size));
  }
  bool IsWhiteout(const std::string& name) const {
    const struct stat info = Stat(name);
    return S_ISCHR(info.st_mode) && info.st_rdev == makedev(0, 0);
  }

  std::string top_;
  std::string root_;
};

TarBuilder::Change Owner(int uid, int gid) {
  return [=](archive_entry* entry) {
    archive_entry_set_uid(entry, uid);
    archive_entry_set_gid(entry, gid);
  };
}

TEST_F(Unpack, KeepsContentOwnersModesAndTimes) {
  const auto file = [](archive_entry* entry) {
    Owner(1000, 2000)(entry);
    archive_entry_set_mtime(entry, 1'500'000'000, 123'456'789);
  };
  const auto size = Run(TarBuilder()
                            .Directory("./", 0750, Owner(3, 4))
                            .Directory("./bin", 01777, Owner(5, 6))
                            .File("./bin/su", "program", 04755, file)
                            .Symlink("./bin/sh", "/usr/bin/dash", file)
                            .Finish());
  ASSERT_TRUE(size.ok()) << size.error().message();
  EXPECT_EQ(Stat("").st_mode & 07777, 0750u);
  EXPECT_EQ(Stat("").st_uid, 3u);
  const struct stat bin = Stat("bin");
  EXPECT_EQ(bin.st_mode & 07777, 01777u);
  EXPECT_EQ(bin.st_uid, 5u);
  EXPECT_EQ(bin.st_gid, 6u);
  EXPECT_EQ(bin.st_mtim.tv_sec, 1'600'000'000) << "the time of a directory is set after its entries are made";
  const struct stat su = Stat("bin/su");
  EXPECT_EQ(su.st_mode, S_IFREG | 04755u) << "a change of owner after that of the mode would clear the setuid bit";
  EXPECT_EQ(su.st_uid, 1000u);
  EXPECT_EQ(su.st_gid, 2000u);
  EXPECT_EQ(su.st_mtim.tv_sec, 1'500'000'000);
  EXPECT_EQ(su.st_mtim.tv_nsec, 123'456'789);
  EXPECT_EQ(Content("bin/su"), "program");
  const struct stat link = Stat("bin/sh");
  EXPECT_TRUE(S_ISLNK(link.st_mode));
  EXPECT_EQ(link.st_uid, 1000u);
  EXPECT_EQ(link.st_mtim.tv_nsec, 123'456'789);
  EXPECT_EQ(std::filesystem::read_symlink(Path("bin/sh")), "/usr/bin/dash");
  EXPECT_EQ(size->inodes, 3u);
  EXPECT_EQ(size->bytes, 2u * 4096);
}

TEST_F(Unpack, MakesMissingParentsForRoot) {
  ExpectGood(TarBuilder().File("a/b/c", "x").Finish());
  EXPECT_EQ(Stat("a/b").st_mode, S_IFDIR | 0755u);
  EXPECT_EQ(Stat("a").st_uid, 0u);
  EXPECT_EQ(Content("a/b/c"), "x");
}

TEST_F(Unpack, AnAbsoluteNameIsRelativeToTheLayer) {
  ExpectGood(TarBuilder().File("/etc/unpack-test", "x").Finish());
  EXPECT_EQ(Content("etc/unpack-test"), "x");
  EXPECT_FALSE(std::filesystem::exists("/etc/unpack-test"));
}

TEST_F(Unpack, WhiteoutsBecomeThoseOfOverlayfs) {
  ExpectGood(TarBuilder()
                 .Directory("dir")
                 .File("dir/.wh.gone", "")
                 .File(".wh.top", "")
                 .Directory("hidden")
                 .File("hidden/.wh..wh..opq", "")
                 .File("hidden/new", "x")
                 .File(".wh..wh.plnk", "")
                 .Finish());
  EXPECT_TRUE(IsWhiteout("dir/gone"));
  EXPECT_TRUE(IsWhiteout("top"));
  EXPECT_EQ(Xattr("hidden", "trusted.overlay.opaque"), "y");
  EXPECT_EQ(Xattr("dir", "trusted.overlay.opaque"), std::nullopt);
  EXPECT_THAT(*base::ListDirectory(root_), ElementsAre("dir", "hidden", "top"));
  EXPECT_THAT(*base::ListDirectory(Path("hidden")), ElementsAre("new"));
}

TEST_F(Unpack, OverlayfsShowsTheLayersAsTheImageMeansThem) {
  ExpectGood(TarBuilder()
                 .File("kept", "1")
                 .File("gone", "1")
                 .File("dir/old", "1")
                 .File("merged/old", "1")
                 .File("changed", "old")
                 .Finish());
  const std::string lower = root_;
  root_ = top_ + "/upper";
  ASSERT_TRUE(base::MakeDirectories(root_, 0755).ok());
  ExpectGood(TarBuilder()
                 .File(".wh.gone", "")
                 .Directory("dir")
                 .File("dir/.wh..wh..opq", "")
                 .File("dir/new", "2")
                 .File("merged/new", "2")
                 .File("changed", "new")
                 .Finish());
  bool mounted = false;
  // In a mount namespace that ends with its thread.
  std::thread mounter([&] {
    const std::string options = "lowerdir=" + root_ + ":" + lower;
    mounted = ::unshare(CLONE_NEWNS) == 0 && ::mount(nullptr, "/", nullptr, MS_PRIVATE | MS_REC, nullptr) == 0 &&
              ::mkdir((top_ + "/view").c_str(), 0755) == 0 &&
              ::mount("overlay", (top_ + "/view").c_str(), "overlay", MS_RDONLY, options.c_str()) == 0;
    if (!mounted) return;
    root_ = top_ + "/view";
    EXPECT_THAT(*base::ListDirectory(root_), ElementsAre("changed", "dir", "kept", "merged"));
    EXPECT_THAT(*base::ListDirectory(Path("dir")), ElementsAre("new"));
    EXPECT_THAT(*base::ListDirectory(Path("merged")), ElementsAre("new", "old"));
    EXPECT_EQ(Content("changed"), "new");
  });
  mounter.join();
  if (!mounted) GTEST_SKIP() << "this machine does not let us mount an overlay";
}

TEST_F(Unpack, AWhiteoutHidesTheLowerLayersAlone) {
  // In either order, what the layer itself has under the name stays, and a directory of it shows nothing from below.
  ExpectGood(TarBuilder()
                 .File(".wh.early", "")
                 .File("early", "x")
                 .File("late", "x")
                 .File(".wh.late", "")
                 .File(".wh.dir1", "")
                 .Directory("dir1")
                 .Directory("dir2")
                 .File(".wh.dir2", "")
                 .File(".wh.dir3", "")
                 .File("dir3/implied", "x")
                 .Finish());
  EXPECT_EQ(Content("early"), "x");
  EXPECT_EQ(Content("late"), "x");
  EXPECT_EQ(Xattr("dir1", "trusted.overlay.opaque"), "y");
  EXPECT_EQ(Xattr("dir2", "trusted.overlay.opaque"), "y");
  EXPECT_EQ(Xattr("dir3", "trusted.overlay.opaque"), "y");
  EXPECT_EQ(Content("dir3/implied"), "x");
}

TEST_F(Unpack, WhiteoutsOfNoNameAreRefused) {
  ExpectBad(TarBuilder().File(".wh.", "").Finish(), "hides no valid name");
  ExpectBad(TarBuilder().File(".wh...", "").Finish(), "hides no valid name");
}

TEST_F(Unpack, HardLinksShareTheFile) {
  ExpectGood(TarBuilder()
                 .File("a/file", "x")
                 .HardLink("b/link", "a/file")
                 .HardLink("c", "/a/file")
                 .Symlink("d", "nowhere")
                 .HardLink("e", "d")
                 .Finish());
  EXPECT_EQ(Stat("a/file").st_ino, Stat("b/link").st_ino);
  EXPECT_EQ(Stat("a/file").st_nlink, 3u);
  EXPECT_EQ(Stat("d").st_ino, Stat("e").st_ino) << "a link to a symbolic link is one to the link itself";
}

TEST_F(Unpack, HardLinksDoNotLeadOut) {
  ASSERT_TRUE(base::WriteFileAtomic("/tmp/unpack-target", "secret").ok());
  ExpectBad(TarBuilder().HardLink("x", "../../unpack-target").Finish(), "\"..\"");
  ExpectBad(TarBuilder().Symlink("t", "/tmp").HardLink("x", "t/unpack-target").Finish(),
            "leads out of the layer through a symbolic link");
  ExpectBad(TarBuilder().HardLink("x", "/tmp/unpack-target").Finish(), "not in the layer");
  ExpectBad(TarBuilder().Directory("d").HardLink("x", "d").Finish(), "is a directory");
  ExpectBad(TarBuilder().File(".wh.w", "").HardLink("x", "w").Finish(), "not in the layer");
  ::unlink("/tmp/unpack-target");
}

TEST_F(Unpack, NamesThatLeadOutAreRefused) {
  ExpectBad(TarBuilder().File("../x", "1").Finish(), "leads out of the layer with \"..\"");
  ExpectBad(TarBuilder().File("a/../../x", "1").Finish(), "leads out of the layer with \"..\"");
  ExpectBad(TarBuilder().Directory("..").Finish(), "leads out of the layer with \"..\"");
}

TEST_F(Unpack, NamesThroughSymbolicLinksThatLeadOutAreRefused) {
  const std::string why = "leads out of the layer through a symbolic link";
  ExpectBad(TarBuilder().Symlink("link1", "/").File("link1/tmp/unpack-escape", "1").Finish(), why);
  ExpectBad(TarBuilder().Symlink("link2", "..").File("link2/x", "1").Finish(), why);
  ExpectBad(TarBuilder().Symlink("link3", "..").Directory("link3/x/y").Finish(), why);
  ExpectBad(TarBuilder().Symlink("link4", "..").File("link4/.wh.layer", "").Finish(), why);
  ExpectBad(TarBuilder().Symlink("link5", "..").File("link5/.wh..wh..opq", "").Finish(), why);
  ExpectBad(TarBuilder().Symlink("link6", "..").Symlink("link6/x", "y").Finish(), why);
  ExpectBad(TarBuilder().Symlink("link7", "/tmp").Special("link7/x", AE_IFCHR, 1, 3).Finish(), why);
  ExpectBad(TarBuilder().Symlink("a", "b").Symlink("b", "a").File("a/x", "1").Finish(), "loop of symbolic links");
  EXPECT_FALSE(std::filesystem::exists("/tmp/unpack-escape"));
}

TEST_F(Unpack, ALinkIsReplacedAndNotWrittenThrough) {
  ASSERT_TRUE(base::WriteFileAtomic("/tmp/unpack-victim", "old", 0644).ok());
  ExpectGood(TarBuilder()
                 .Symlink("file", "/tmp/unpack-victim")
                 .File("file", "new", 04777)
                 .Symlink("dir", "/tmp")
                 .Directory("dir", 0700)
                 .File("dir/unpack-inside", "x")
                 .Finish());
  EXPECT_EQ(Content("file"), "new");
  EXPECT_EQ(*base::ReadFile("/tmp/unpack-victim", 10), "old");
  EXPECT_TRUE(S_ISDIR(Stat("dir").st_mode));
  EXPECT_EQ(Content("dir/unpack-inside"), "x");
  EXPECT_FALSE(std::filesystem::exists("/tmp/unpack-inside"));
  ::unlink("/tmp/unpack-victim");
}

TEST_F(Unpack, NamesThroughALinkThatStaysInsideAreFollowed) {
  ExpectGood(TarBuilder()
                 .Directory("usr/lib")
                 .Symlink("lib", "usr/lib")
                 .File("lib/a", "x")
                 .Symlink("lib", "usr/lib64")
                 .Directory("usr/lib64")
                 .File("lib/b", "y")
                 .Finish());
  EXPECT_EQ(Content("usr/lib/a"), "x");
  EXPECT_EQ(Content("usr/lib64/b"), "y") << "the link was replaced";
}

TEST_F(Unpack, TheLastEntryOfANameWins) {
  ExpectGood(TarBuilder()
                 .File("file", "first, and longer")
                 .File("file", "second")
                 .Directory("dir")
                 .File("dir/inside", "x")
                 .File("dir", "now a file")
                 .File("tree", "a file")
                 .Directory("tree", 0711)
                 .File("tree/inside", "y")
                 .Directory("merged", 0700)
                 .File("merged/kept", "z")
                 .Directory("merged", 0755)
                 .File("parent", "in the way")
                 .File("parent/child", "c")
                 .Finish());
  EXPECT_EQ(Content("file"), "second");
  EXPECT_EQ(Content("dir"), "now a file");
  EXPECT_EQ(Content("tree/inside"), "y");
  EXPECT_EQ(Stat("tree").st_mode & 07777, 0711u);
  EXPECT_EQ(Content("merged/kept"), "z");
  EXPECT_EQ(Stat("merged").st_mode & 07777, 0755u);
  EXPECT_EQ(Content("parent/child"), "c");
}

TEST_F(Unpack, KeepsDevicesAndPipes) {
  ExpectGood(TarBuilder()
                 .Special("null", AE_IFCHR, 1, 3, 0666)
                 .Special("disk", AE_IFBLK, 7, 300, 0660)
                 .Special("pipe", AE_IFIFO, 0, 0, 0622)
                 .Finish());
  EXPECT_EQ(Stat("null").st_mode, S_IFCHR | 0666u);
  EXPECT_EQ(Stat("null").st_rdev, makedev(1, 3));
  EXPECT_EQ(Stat("disk").st_mode, S_IFBLK | 0660u);
  EXPECT_EQ(Stat("disk").st_rdev, makedev(7, 300));
  EXPECT_EQ(Stat("pipe").st_mode, S_IFIFO | 0622u);
  ExpectBad(TarBuilder().Special("fake", AE_IFCHR, 0, 0).Finish(), "device 0/0");
}

TEST_F(Unpack, KeepsCapabilitiesAndUserAttributesAndNoOthers) {
  // VFS_CAP_REVISION_2 with CAP_NET_RAW, which holds bytes of zero.
  const std::string capability("\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", 20);
  const auto attributes = [&](archive_entry* entry) {
    archive_entry_xattr_add_entry(entry, "security.capability", capability.data(), capability.size());
    archive_entry_xattr_add_entry(entry, "user.note", "text", 4);
    archive_entry_xattr_add_entry(entry, "user.overlay.opaque", "y", 1);
    archive_entry_xattr_add_entry(entry, "trusted.overlay.opaque", "y", 1);
    archive_entry_xattr_add_entry(entry, "trusted.overlay.redirect", "/etc", 4);
    archive_entry_set_uid(entry, 1000);
  };
  const auto trusted = [&](archive_entry* entry) {
    archive_entry_xattr_add_entry(entry, "trusted.overlay.opaque", "y", 1);
    archive_entry_xattr_add_entry(entry, "user.note", "text", 4);
  };
  ExpectGood(TarBuilder().File("ping", "x", 0755, attributes).Directory("dir", 0755, trusted).Finish());
  EXPECT_EQ(Xattr("ping", "security.capability"), capability);
  EXPECT_EQ(Xattr("ping", "user.note"), "text");
  EXPECT_EQ(Xattr("dir", "user.note"), "text");
  for (const char* name : {"ping", "dir"}) {
    EXPECT_EQ(Xattr(name, "trusted.overlay.opaque"), std::nullopt);
    EXPECT_EQ(Xattr(name, "trusted.overlay.redirect"), std::nullopt);
    EXPECT_EQ(Xattr(name, "user.overlay.opaque"), std::nullopt);
  }
}

TEST_F(Unpack, KeepsLongNamesInEveryTarFormat) {
  const std::string name = std::string(120, 'd') + "/" + std::string(200, 'f');
  const std::string target(300, 't');
  for (const char* format : {"pax", "gnutar"}) {
    ExpectGood(TarBuilder(Compression::kNone, format).File(name, format).Symlink("link", target).Finish());
    EXPECT_EQ(Content(name), format);
    EXPECT_EQ(std::filesystem::read_symlink(Path("link")), target);
  }
}

TEST_F(Unpack, KeepsNamesOfEveryCharacterSetAsTheyAre) {
  const std::string composed = "caf\xC3\xA9";
  const std::string decomposed = "cafe\xCC\x81";
  const std::string latin1 = "caf\xE9";
  const std::string tar =
      TarBuilder(Compression::kNone, "gnutar").File(composed, "1").File(decomposed, "2").File(latin1, "3").Finish();
  // The locale of the process must not matter.
  for (const char* locale : {"C", "C.UTF-8"}) {
    ASSERT_NE(std::setlocale(LC_ALL, locale), nullptr);
    ExpectGood(tar);
    std::setlocale(LC_ALL, "C");
    EXPECT_THAT(*base::ListDirectory(root_), ElementsAre(decomposed, composed, latin1));
  }
  // In pax archives names are UTF-8, which libarchive would normalize in such a locale.
  ASSERT_NE(std::setlocale(LC_ALL, "C.UTF-8"), nullptr);
  const std::string pax = TarBuilder().File("pax-" + decomposed, "4").Symlink("pax-link", decomposed).Finish();
  ExpectGood(pax);
  std::setlocale(LC_ALL, "C");
  EXPECT_EQ(Content("pax-" + decomposed), "4");
  EXPECT_EQ(std::filesystem::read_symlink(Path("pax-link")), decomposed);
  ExpectGood(pax);
}

TEST_F(Unpack, KeepsHolesOfSparseFiles) {
  const std::string data(4096, 'x');
  const auto sparse = [&](archive_entry* entry) {
    archive_entry_set_size(entry, 10 << 20);
    archive_entry_sparse_add_entry(entry, 5 << 20, static_cast<la_int64_t>(data.size()));
  };
  // libarchive's writer takes the whole content and leaves the holes out.
  std::string content(10 << 20, '\0');
  content.replace(5 << 20, data.size(), data);
  const auto size = Run(TarBuilder().File("sparse", content, 0644, sparse).Finish());
  ASSERT_TRUE(size.ok()) << size.error().message();
  EXPECT_EQ(Stat("sparse").st_size, 10 << 20);
  EXPECT_LT(Stat("sparse").st_blocks * 512, 1 << 20);
  EXPECT_TRUE(Content("sparse") == content);
  EXPECT_LE(size->bytes, 2u * 4096);
}

TEST_F(Unpack, BoundsAreKept) {
  EXPECT_EQ(Run(TarBuilder().File("a", "").File("b", "").File("c", "").Finish(), {1 << 20, 2}).error().code(),
            Code::kResourceExhausted);
  EXPECT_EQ(Run(TarBuilder().File("x/y/z", "").Finish(), {1 << 20, 2}).error().code(), Code::kResourceExhausted)
      << "directories that an entry implies count as well";
  EXPECT_EQ(Run(TarBuilder().File("big", std::string(5000, 'x')).Finish(), {4096, 100}).error().code(),
            Code::kResourceExhausted);
  std::string deep;
  for (int i = 0; i < 600; ++i) deep += "d/";
  ExpectBad(TarBuilder().File(deep + "x", "").Finish(), "nested too deep");
  // The same depth by way of links.
  std::string half;
  for (int i = 0; i < 400; ++i) half += "d/";
  ExpectBad(TarBuilder().Directory(half + "d").Symlink("s", half + "d").File("s/" + half + "x", "").Finish(),
            "nested too deep");
}

TEST_F(Unpack, OwnersOutOfRangeAreRefused) {
  const auto owner = [](archive_entry* entry) { archive_entry_set_uid(entry, 4'294'967'295); };
  ExpectBad(TarBuilder().File("x", "1", 0644, owner).Finish(), "out of range");
}

TEST_F(Unpack, WhatIsNoTarIsRefused) {
  ExpectBad(std::string(2000, 'x'), "no valid tar archive");
  const std::string tar = TarBuilder().File("a", std::string(5000, 'x')).Finish();
  ExpectBad(tar.substr(0, 3000), "\"a\"");
}

TEST_F(Unpack, AnArchiveMayEndWithItsLastFilesContent) {
  const std::string content(700, 'x');
  const std::string tar = TarBuilder().File("a", "first").File("b", content).Finish();
  const size_t end = tar.rfind('x') + 1;
  ExpectGood(tar.substr(0, end));
  EXPECT_EQ(Content("a"), "first");
  EXPECT_EQ(Content("b"), content);
  // But not before that.
  ExpectBad(tar.substr(0, end - 1), "middle of a file");
  ExpectBad(tar.substr(0, end - 100), "middle of a file");
  ExpectBad(tar.substr(0, end - 600), "\"b\"");
}

TEST_F(Unpack, AnEmptyArchiveIsAnEmptyLayer) {
  ExpectGood(TarBuilder().Finish());
  ExpectGood(std::string(1024, '\0'));
  ExpectGood("");
  EXPECT_THAT(*base::ListDirectory(root_), ElementsAre());
}

TEST_F(Unpack, TheRootCanOnlyBeADirectory) {
  ExpectBad(TarBuilder().File(".", "").Finish(), "only be a directory");
  ExpectBad(TarBuilder().Symlink(".", "/").Finish(), "only be a directory");
}

}  // namespace
}  // namespace image
