#include "nspawn/writable_layer.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "base/files.h"

namespace nspawn {
namespace {

class WritableLayer : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "owners need root";
    std::string pattern = testing::TempDir() + "/writable-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    top_ = pattern;
    for (const char* name : {"/lower", "/upmost"}) ASSERT_TRUE(base::MakeDirectories(top_ + name).ok());
    ASSERT_EQ(::chown((top_ + "/upmost").c_str(), 12, 34), 0);
    ASSERT_EQ(::chmod((top_ + "/upmost").c_str(), 01751), 0);
    spec_.layer_directories = {top_ + "/lower", top_ + "/upmost"};
    spec_.upper_directory = top_ + "/data/upper";
    spec_.work_directory = top_ + "/data/work";
  }
  void TearDown() override {
    if (!top_.empty()) std::filesystem::remove_all(top_);
  }
  struct stat Upper() const {
    struct stat info {};
    EXPECT_EQ(::stat(spec_.upper_directory.c_str(), &info), 0);
    return info;
  }

  std::string top_;
  ProcessSpec spec_;
};

TEST_F(WritableLayer, HasTheMetadataOfTheTopmostLayersRoot) {
  ASSERT_EQ(::setxattr((top_ + "/upmost").c_str(), "user.x", "1", 1, 0), 0);
  ASSERT_EQ(::setxattr((top_ + "/upmost").c_str(), "trusted.overlay.opaque", "y", 1, 0), 0);
  ASSERT_EQ(::setxattr((top_ + "/upmost").c_str(), "user.overlay.opaque", "y", 1, 0), 0);
  const base::Status made = MakeWritableLayer(spec_);
  ASSERT_TRUE(made.ok()) << made.error().message();
  EXPECT_EQ(Upper().st_mode & 07777, 01751U);
  EXPECT_EQ(Upper().st_uid, 12U);
  EXPECT_EQ(Upper().st_gid, 34U);
  char value = 0;
  EXPECT_EQ(::getxattr(spec_.upper_directory.c_str(), "user.x", &value, 1), 1);
  EXPECT_LT(::getxattr(spec_.upper_directory.c_str(), "trusted.overlay.opaque", &value, 1), 0);
  EXPECT_LT(::getxattr(spec_.upper_directory.c_str(), "user.overlay.opaque", &value, 1), 0);
  ASSERT_TRUE(RemoveWritableLayer(spec_).ok());
  EXPECT_FALSE(std::filesystem::exists(spec_.upper_directory));
}

TEST_F(WritableLayer, BelongsToTheIdsOfTheContainersUserNamespace) {
  spec_.user_namespace.kind = NamespaceTarget::Kind::kJoin;
  spec_.uid_mappings = {{.host_id = 100'000, .container_id = 0, .length = 65'536}};
  spec_.gid_mappings = {{.host_id = 200'000, .container_id = 0, .length = 10}};
  ASSERT_TRUE(MakeWritableLayer(spec_).ok());
  EXPECT_EQ(Upper().st_uid, 100'012U);
  // Not mapped.
  EXPECT_EQ(Upper().st_gid, 200'000U);
}

TEST_F(WritableLayer, OneThatIsThereStaysAsItIs) {
  ASSERT_TRUE(base::MakeDirectories(spec_.upper_directory, 0700).ok());
  ASSERT_TRUE(MakeWritableLayer(spec_).ok());
  EXPECT_EQ(Upper().st_mode & 07777, 0700U);
  EXPECT_EQ(Upper().st_uid, 0U);
}

}  // namespace
}  // namespace nspawn
