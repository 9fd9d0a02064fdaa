#include "cri/selinux.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "base/files.h"
#include "fakes.h"

namespace cri {
namespace {

using testing::HasSubstr;
using testing::MatchesRegex;

constexpr char kContexts[] =
    "process = \"system_u:system_r:container_t:s0\"\n"
    "content = \"system_u:object_r:virt_var_lib_t:s0\"\n"
    "file = \"system_u:object_r:container_file_t:s0\"\n";

TEST(Selinux, EachPodHasCategoriesOfItsOwn) {
  const auto labels = MakeSelinuxLabels(kContexts, {}, "pod-1");
  ASSERT_TRUE(labels.ok()) << labels.error().message();
  EXPECT_THAT(labels->process, MatchesRegex("system_u:system_r:container_t:s0:c[0-9]+,c[0-9]+"));
  EXPECT_THAT(labels->mount, MatchesRegex("system_u:object_r:container_file_t:s0:c[0-9]+,c[0-9]+"));
  EXPECT_EQ(MakeSelinuxLabels(kContexts, {}, "pod-1")->process, labels->process);
  EXPECT_NE(MakeSelinuxLabels(kContexts, {}, "pod-2")->process, labels->process);
}

TEST(Selinux, OptionsReplaceTheDefaults) {
  v1::SELinuxOption options;
  options.set_user("user_u");
  options.set_role("user_r");
  options.set_type("spc_t");
  options.set_level("s0:c1,c2");
  const auto labels = MakeSelinuxLabels(kContexts, options, "pod");
  ASSERT_TRUE(labels.ok());
  EXPECT_EQ(labels->process, "user_u:user_r:spc_t:s0:c1,c2");
  EXPECT_EQ(labels->mount, "user_u:object_r:container_file_t:s0:c1,c2");
}

TEST(Selinux, HostileOptionsAreRefused) {
  for (const std::string& type : {std::string("a:b"), std::string("a b"), std::string("a\nb"), std::string("a\0b", 3),
                                  std::string("\""), std::string(300, 'a')}) {
    v1::SELinuxOption options;
    options.set_type(type);
    const auto labels = MakeSelinuxLabels(kContexts, options, "pod");
    ASSERT_FALSE(labels.ok()) << type;
    EXPECT_EQ(labels.error().code(), base::Code::kInvalidArgument);
  }
  v1::SELinuxOption options;
  options.set_level("s0\",upperdir=/");
  EXPECT_FALSE(MakeSelinuxLabels(kContexts, options, "pod").ok());
}

TEST(Selinux, APolicyWithoutLabelsForContainersIsAnError) {
  EXPECT_FALSE(MakeSelinuxLabels("", {}, "pod").ok());
  EXPECT_FALSE(MakeSelinuxLabels("process = x\nfile = \"a:b:c\"", {}, "pod").ok());
}

// A kernel without SELinux keeps the attribute for whoever may set it.
TEST(Relabel, ReachesAllBelowButNothingBehindLinks) {
  TemporaryDirectory directory;
  const std::string volume = directory.path() + "/volume";
  const std::string outside = directory.path() + "/outside";
  ASSERT_TRUE(base::MakeDirectories(volume + "/deep").ok());
  ASSERT_TRUE(base::WriteFileAtomic(volume + "/deep/file", "").ok());
  ASSERT_TRUE(base::WriteFileAtomic(outside, "").ok());
  std::filesystem::create_symlink(outside, volume + "/link");
  if (::setxattr(outside.c_str(), "security.selinux", "before", 7, 0) != 0) {
    GTEST_SKIP() << "no label can be set here: " << std::strerror(errno);
  }
  const base::Status labelled = Relabel(volume, "u:r:t:s0");
  ASSERT_TRUE(labelled.ok()) << labelled.error().message();
  const auto label = [](const std::string& path) {
    char value[100] = {};
    return ::lgetxattr(path.c_str(), "security.selinux", value, sizeof value - 1) < 0 ? "none" : std::string(value);
  };
  EXPECT_EQ(label(volume), "u:r:t:s0");
  EXPECT_EQ(label(volume + "/deep"), "u:r:t:s0");
  EXPECT_EQ(label(volume + "/deep/file"), "u:r:t:s0");
  EXPECT_EQ(label(outside), "before");
}

TEST(Relabel, DirectoriesOfTheSystemAreRefused) {
  for (const char* path : {"/", "/etc", "/usr/", "/var//lib", "/tmp/.", "/home/../etc"}) {
    const base::Status labelled = Relabel(path, "u:r:t:s0");
    ASSERT_FALSE(labelled.ok()) << path;
    EXPECT_THAT(labelled.error().message(), HasSubstr("directory of the system"));
  }
}

}  // namespace
}  // namespace cri
