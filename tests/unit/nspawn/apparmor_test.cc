#include "nspawn/apparmor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "base/files.h"
#include "temporary_directory.h"

namespace nspawn {
namespace {

using testing::HasSubstr;

class RecordingSpawner final : public Spawner {
 public:
  base::Result<ProcessOutput> Exec(const ExecRequest&, std::stop_token) override { return base::Internal("unused"); }
  base::Result<std::unique_ptr<Stream>> ExecStream(const ExecRequest&, const StreamOptions&) override {
    return base::Internal("unused");
  }
  base::Result<ProcessOutput> Run(const ProgramRequest& request) override {
    requests.push_back(request);
    return output;
  }
  int DeathFd() const override { return -1; }

  ProcessOutput output;
  std::vector<ProgramRequest> requests;
};

class AppArmorTest : public testing::Test {
 protected:
  AppArmorTest() {
    std::filesystem::create_directories(directory_.path() + "/parameters");
    Write("parameters/enabled", "Y\n");
    Write("profiles", "a name (enforce)\nother (complain)\n");
    Write("default", "profile");
  }
  void Write(const std::string& name, const std::string& text) {
    ASSERT_TRUE(base::WriteFileAtomic(directory_.path() + "/" + name, text).ok());
  }

  TemporaryDirectory directory_;
  RecordingSpawner spawner_;
  AppArmor apparmor_{spawner_, {directory_.path(), directory_.path(), "/parser", directory_.path() + "/default"}};
};

TEST_F(AppArmorTest, IsOnWhereTheKernelSaysSo) {
  EXPECT_TRUE(apparmor_.IsEnabled());
  Write("parameters/enabled", "N\n");
  EXPECT_FALSE(apparmor_.IsEnabled());
  Write("parameters/enabled", "Y\n");
  std::filesystem::remove(directory_.path() + "/profiles");
  EXPECT_FALSE(apparmor_.IsEnabled());
}

TEST_F(AppArmorTest, FindsLoadedProfilesByTheirWholeName) {
  EXPECT_TRUE(*apparmor_.IsLoaded("a name"));
  EXPECT_TRUE(*apparmor_.IsLoaded("other"));
  EXPECT_FALSE(*apparmor_.IsLoaded("a"));
  EXPECT_FALSE(*apparmor_.IsLoaded("a name (enforce)"));
}

TEST_F(AppArmorTest, LoadsTheDefaultProfileOnce) {
  EXPECT_TRUE(apparmor_.LoadDefault().ok());
  ASSERT_EQ(spawner_.requests.size(), 1U);
  EXPECT_EQ(spawner_.requests[0].program, "/parser");
  EXPECT_EQ(spawner_.requests[0].arguments.back(), directory_.path() + "/default");
  Write("profiles", "cri-nspawn-default (enforce)\n");
  EXPECT_TRUE(apparmor_.LoadDefault().ok());
  EXPECT_EQ(spawner_.requests.size(), 1U);
}

TEST_F(AppArmorTest, SaysWhyTheDefaultProfileCannotBeLoaded) {
  spawner_.output = {1, "", "syntax error\n"};
  const auto failed = apparmor_.LoadDefault();
  ASSERT_FALSE(failed.ok());
  EXPECT_EQ(failed.error().code(), base::Code::kFailedPrecondition);
  EXPECT_THAT(failed.error().message(), HasSubstr("syntax error"));
  std::filesystem::remove(directory_.path() + "/default");
  EXPECT_EQ(apparmor_.LoadDefault().error().code(), base::Code::kFailedPrecondition);
}

}  // namespace
}  // namespace nspawn
