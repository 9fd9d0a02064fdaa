#include "image/pack.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stop_token>

#include "base/files.h"
#include "image/archive.h"

namespace image {
namespace {

namespace fs = std::filesystem;

class Pack : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "whiteouts and owners need root";
    std::string pattern = testing::TempDir() + "/pack-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    top_ = pattern;
    fs::create_directories(Upper());
    fs::create_directories(Copy());
  }
  void TearDown() override {
    if (!top_.empty()) fs::remove_all(top_);
  }

  std::string Upper(const std::string& name = "") const { return top_ + "/upper" + (name.empty() ? "" : "/" + name); }
  std::string Copy(const std::string& name = "") const { return top_ + "/copy" + (name.empty() ? "" : "/" + name); }

  void Write(const std::string& name, const std::string& content) const { std::ofstream(Upper(name)) << content; }

  // Packs the layer and unpacks it as every layer is.
  void RoundTrip() const {
    const base::Status packed = PackLayer(Upper(), top_ + "/layer.tar");
    ASSERT_TRUE(packed.ok()) << packed.error().message();
    const base::Status unpacked = UnpackArchive(top_ + "/layer.tar", Copy(), {1 << 20, 1000}, std::stop_token());
    ASSERT_TRUE(unpacked.ok()) << unpacked.error().message();
  }

  std::string top_;
};

TEST_F(Pack, FilesDirectoriesAndLinksComeBackAsTheyWere) {
  fs::create_directories(Upper("a/b"));
  Write("a/b/file", std::string(300'000, 'x'));
  Write("a/\xff\xfe n\xc3\xa4me", "odd");
  fs::create_symlink("../elsewhere", Upper("a/link"));
  fs::create_hard_link(Upper("a/b/file"), Upper("second"));
  ASSERT_EQ(::chown(Upper("a/b").c_str(), 1234, 70000), 0);
  ASSERT_EQ(::chmod(Upper("a/b").c_str(), 02751), 0);
  ASSERT_EQ(::chmod(Upper("a/b/file").c_str(), 04711), 0);
  ASSERT_EQ(::mkfifo(Upper("fifo").c_str(), 0600), 0);
  ASSERT_EQ(::mknod(Upper("null").c_str(), S_IFCHR | 0666, makedev(1, 3)), 0);
  ASSERT_EQ(::lsetxattr(Upper("a/b/file").c_str(), "user.note", "kept", 4, 0), 0);
  RoundTrip();

  EXPECT_EQ(*base::ReadFile(Copy("a/b/file"), 1 << 20), std::string(300'000, 'x'));
  EXPECT_EQ(*base::ReadFile(Copy("a/\xff\xfe n\xc3\xa4me"), 100), "odd");
  EXPECT_EQ(fs::read_symlink(Copy("a/link")), "../elsewhere");
  EXPECT_TRUE(fs::equivalent(Copy("second"), Copy("a/b/file")));
  struct stat info {};
  ASSERT_EQ(::stat(Copy("a/b").c_str(), &info), 0);
  EXPECT_EQ(info.st_uid, 1234U);
  EXPECT_EQ(info.st_gid, 70000U);
  EXPECT_EQ(info.st_mode & 07777U, 02751U);
  ASSERT_EQ(::stat(Copy("a/b/file").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777U, 04711U);
  ASSERT_EQ(::stat(Copy("fifo").c_str(), &info), 0);
  EXPECT_TRUE(S_ISFIFO(info.st_mode));
  ASSERT_EQ(::stat(Copy("null").c_str(), &info), 0);
  EXPECT_EQ(info.st_rdev, makedev(1, 3));
  char value[5] = {};
  EXPECT_EQ(::lgetxattr(Copy("a/b/file").c_str(), "user.note", value, 4), 4);
}

TEST_F(Pack, WhiteoutsOfOverlayfsAreThoseOfTheLayerFormat) {
  fs::create_directories(Upper("etc"));
  ASSERT_EQ(::mknod(Upper("etc/gone").c_str(), S_IFCHR, makedev(0, 0)), 0);
  fs::create_directories(Upper("opaque"));
  if (::setxattr(Upper("opaque").c_str(), "trusted.overlay.opaque", "y", 1, 0) != 0) GTEST_SKIP() << "no trusted.*";
  Write("opaque/new", "new");
  RoundTrip();
  struct stat info {};
  ASSERT_EQ(::lstat(Copy("etc/gone").c_str(), &info), 0);
  EXPECT_TRUE(S_ISCHR(info.st_mode));
  EXPECT_EQ(info.st_rdev, makedev(0, 0));
  char value = 0;
  EXPECT_EQ(::getxattr(Copy("opaque").c_str(), "trusted.overlay.opaque", &value, 1), 1);
  EXPECT_EQ(value, 'y');
  EXPECT_TRUE(fs::exists(Copy("opaque/new")));
}

TEST_F(Pack, SocketsAreLeftOut) {
  Write("file", "there");
  const base::UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM, 0));
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  ASSERT_LT(Upper("socket").size(), sizeof address.sun_path);
  Upper("socket").copy(address.sun_path, sizeof address.sun_path - 1);
  ASSERT_EQ(::bind(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  RoundTrip();
  EXPECT_TRUE(fs::exists(Copy("file")));
  EXPECT_FALSE(fs::exists(Copy("socket")));
}

TEST_F(Pack, AnArchiveIsNeverWrittenOverAndIsForRootAlone) {
  RoundTrip();
  struct stat info {};
  ASSERT_EQ(::stat((top_ + "/layer.tar").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777U, 0600U);
  const base::Status again = PackLayer(Upper(), top_ + "/layer.tar");
  ASSERT_FALSE(again.ok());
  EXPECT_EQ(again.error().code(), base::Code::kAlreadyExists);
}

TEST_F(Pack, ALayerThatIsALinkIsNotFollowed) {
  fs::create_directory_symlink(Upper(), top_ + "/link");
  EXPECT_FALSE(PackLayer(top_ + "/link", top_ + "/other.tar").ok());
}

}  // namespace
}  // namespace image
