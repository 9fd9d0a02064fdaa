#include "cli/portable_records.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace cli {
namespace {

using base::Code;
using testing::ElementsAre;
using testing::IsEmpty;

class PortableRecords : public testing::Test {
 protected:
  PortableRecords() {
    std::string pattern = testing::TempDir() + "/records-XXXXXX";
    directory_ = std::string(::mkdtemp(pattern.data())) + "/records";
  }
  ~PortableRecords() override { std::filesystem::remove_all(std::filesystem::path(directory_).parent_path()); }

  std::string directory_;
};

PortableRecord Nginx() {
  PortableRecord record;
  record.name = "nginx";
  record.reference = "docker.io/library/nginx:1";
  record.image = "sha256:aa";
  record.previous = "sha256:bb";
  record.failed = "sha256:cc";
  record.auto_update = true;
  record.volumes = {"/srv:/srv:ro"};
  record.environment = {"A=b=c"};
  record.command = {"-g", "daemon off;"};
  return record;
}

TEST_F(PortableRecords, ARecordIsReadAsItWasWritten) {
  ASSERT_TRUE(WritePortableRecord(directory_, Nginx()).ok());
  const auto found = FindPortableRecord(directory_, "nginx");
  ASSERT_TRUE(found.ok() && found->has_value());
  EXPECT_EQ(Serialize(**found), Serialize(Nginx()));
  EXPECT_THAT((*found)->command, ElementsAre("-g", "daemon off;"));
  EXPECT_TRUE((*found)->auto_update);
  EXPECT_EQ(LoadPortableRecords(directory_)->size(), 1U);
  ASSERT_TRUE(RemovePortableRecord(directory_, "nginx").ok());
  EXPECT_FALSE(FindPortableRecord(directory_, "nginx")->has_value());
}

TEST_F(PortableRecords, WithoutADirectoryThereAreNone) {
  EXPECT_THAT(*LoadPortableRecords(directory_), IsEmpty());
  EXPECT_FALSE(FindPortableRecord(directory_, "nginx")->has_value());
}

TEST_F(PortableRecords, ABrokenRecordIsNamed) {
  std::filesystem::create_directories(directory_);
  for (const char* text : {"", "{", "{}", R"({"name":"x"})", R"({"name":1,"image":"sha256:aa"})"}) {
    std::ofstream(directory_ + "/x.json") << text;
    const auto found = FindPortableRecord(directory_, "x");
    ASSERT_FALSE(found.ok()) << text;
    EXPECT_EQ(found.error().code(), Code::kDataLoss);
    EXPECT_THAT(found.error().message(), testing::HasSubstr("x.json"));
  }
}

}  // namespace
}  // namespace cli
