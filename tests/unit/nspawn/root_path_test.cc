#include "nspawn/process/root_path.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <string>

#include "temporary_directory.h"

namespace nspawn {
namespace {

namespace fs = std::filesystem;

class RootPath : public testing::Test {
 protected:
  void SetUp() override {
    fs::create_directories(image_.path() + "/root/etc");
    fs::create_directories(image_.path() + "/outside");
    root_.reset(::open((image_.path() + "/root").c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  }
  std::string In(const std::string& name) const { return image_.path() + "/root/" + name; }
  void Link(const std::string& target, const std::string& name) const { fs::create_symlink(target, In(name)); }
  // Whether what was opened is the same file as `name` in the root.
  bool OpensAs(const std::string& path, PathKind kind, const std::string& name) const {
    const auto opened = OpenOrCreateInRoot(root_.get(), path, kind);
    if (!opened.ok()) {
      ADD_FAILURE() << opened.error().message();
      return false;
    }
    struct stat a {};
    struct stat b {};
    return ::fstat(opened->get(), &a) == 0 && ::lstat(In(name).c_str(), &b) == 0 && a.st_ino == b.st_ino;
  }
  bool OutsideIsEmpty() const { return fs::is_empty(image_.path() + "/outside"); }

  TemporaryDirectory image_;
  base::UniqueFd root_;
};

TEST_F(RootPath, OpensWhatIsThere) {
  EXPECT_TRUE(OpensAs("/etc", PathKind::kDirectory, "etc"));
  EXPECT_TRUE(OpensAs("/", PathKind::kDirectory, ""));
  EXPECT_TRUE(OpensAs("../../etc/./", PathKind::kDirectory, "etc"));
}

TEST_F(RootPath, MakesDirectoriesAndFilesThatAreMissing) {
  EXPECT_TRUE(OpensAs("/a/b/c", PathKind::kDirectory, "a/b/c"));
  EXPECT_TRUE(fs::is_directory(In("a/b/c")));
  EXPECT_EQ(fs::status(In("a")).permissions(), static_cast<fs::perms>(0755));
  EXPECT_TRUE(OpensAs("x/y/file", PathKind::kFile, "x/y/file"));
  EXPECT_TRUE(fs::is_regular_file(In("x/y/file")));
  EXPECT_EQ(fs::file_size(In("x/y/file")), 0U);
}

TEST_F(RootPath, AnAbsoluteLinkStaysInside) {
  Link("/etc", "link");
  EXPECT_TRUE(OpensAs("/link/new", PathKind::kFile, "etc/new"));
}

TEST_F(RootPath, ALinkThatClimbsStaysInside) {
  Link("../../../../outside", "climb");
  EXPECT_TRUE(OpensAs("/climb/new", PathKind::kDirectory, "outside/new"));
  EXPECT_TRUE(OutsideIsEmpty());
}

TEST_F(RootPath, ALinkToTheHostsPathStaysInside) {
  Link(image_.path() + "/outside", "escape");
  EXPECT_TRUE(OpensAs("/escape/new", PathKind::kFile, image_.path() + "/outside/new"));
  EXPECT_TRUE(OutsideIsEmpty());
}

TEST_F(RootPath, ADanglingLinkGetsItsTarget) {
  Link("../run/systemd/resolve/stub-resolv.conf", "etc/resolv.conf");
  EXPECT_TRUE(OpensAs("/etc/resolv.conf", PathKind::kFile, "run/systemd/resolve/stub-resolv.conf"));
  EXPECT_TRUE(fs::is_symlink(In("etc/resolv.conf")));
}

TEST_F(RootPath, DotsAfterALinkAreThoseOfItsTarget) {
  fs::create_directories(In("deep/er"));
  Link("/deep/er", "link");
  EXPECT_TRUE(OpensAs("/link/../beside", PathKind::kDirectory, "deep/beside"));
}

TEST_F(RootPath, LinksInACircleAreAnError) {
  Link("b", "a");
  Link("a", "b");
  EXPECT_FALSE(OpenOrCreateInRoot(root_.get(), "/a/x", PathKind::kDirectory).ok());
  Link("self/missing", "self");
  const auto opened = OpenOrCreateInRoot(root_.get(), "/self", PathKind::kDirectory);
  ASSERT_FALSE(opened.ok());
  EXPECT_EQ(opened.error().number(), ELOOP);
}

TEST_F(RootPath, AFileOnTheWayIsAnError) {
  image_.Write("root/file", "");
  const auto opened = OpenOrCreateInRoot(root_.get(), "/file/below", PathKind::kDirectory);
  ASSERT_FALSE(opened.ok());
  EXPECT_EQ(opened.error().number(), ENOTDIR);
}

TEST_F(RootPath, MagicLinksAreNotFollowed) {
  Link("/proc/self/root/etc", "magic");
  EXPECT_TRUE(OpensAs("/magic", PathKind::kDirectory, "proc/self/root/etc"));
}

TEST(CleanPath, ResolvesDotsByText) {
  EXPECT_EQ(CleanPath(""), "");
  EXPECT_EQ(CleanPath("/"), "");
  EXPECT_EQ(CleanPath("//a/./b/"), "a/b");
  EXPECT_EQ(CleanPath("/a/../../b"), "b");
  EXPECT_EQ(CleanPath("/proc/../sys"), "sys");
}

}  // namespace
}  // namespace nspawn
