// Our definition of the CRI against the published one.

#include <google/protobuf/descriptor.pb.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <regex>
#include <string>

#include "base/files.h"
#include "descriptors.h"
#include "proto/runtime.pb.h"

namespace {

using google::protobuf::DescriptorPool;
using google::protobuf::FileDescriptor;

struct CommandOutput {
  int status = 0;
  std::string text;
};

CommandOutput RunCommand(const std::string& command) {
  CommandOutput output;
  std::FILE* pipe = ::popen(command.c_str(), "r");
  if (pipe == nullptr) return {-1, "popen failed"};
  std::array<char, 4096> buffer{};
  while (const size_t got = std::fread(buffer.data(), 1, buffer.size(), pipe)) output.text.append(buffer.data(), got);
  output.status = ::pclose(pipe);
  while (!output.text.empty() && output.text.back() == '\n') output.text.pop_back();
  return output;
}

class PublishedProtocol : public testing::Test {
 protected:
  void SetUp() override {
    const CommandOutput script = RunCommand(PUBLISHED_CRI_API " 2>&1");
    if (script.status != 0) {
      // Continuous integration sets CI; a comparison that never runs there would be none.
      ASSERT_EQ(std::getenv("CI"), nullptr) << script.text;
      GTEST_SKIP() << "the published definition is not to be had: " << script.text;
    }
    base::Result<std::string> text = base::ReadFile(script.text, size_t{4} << 20);
    ASSERT_TRUE(text.ok()) << text.error().message();
    // An option that protoc 3.21 does not know yet; it changes nothing on the wire.
    *text = std::regex_replace(*text, std::regex(R"(\[debug_redact = true\])"), "");

    const std::string directory = testing::TempDir() + "published_cri_api-" + std::to_string(::getpid());
    ASSERT_TRUE(base::MakeDirectories(directory).ok());
    ASSERT_TRUE(base::WriteFileAtomic(directory + "/api.proto", *text).ok());
    const CommandOutput protoc =
        RunCommand(PROTOC " -I" + directory + " --descriptor_set_out=" + directory + "/api.pb api.proto 2>&1");
    const base::Result<std::string> compiled = base::ReadFile(directory + "/api.pb", size_t{4} << 20);
    EXPECT_TRUE(base::RemoveTree(directory).ok());
    ASSERT_EQ(protoc.status, 0) << protoc.text;
    ASSERT_TRUE(compiled.ok()) << compiled.error().message();

    google::protobuf::FileDescriptorSet files;
    ASSERT_TRUE(files.ParseFromString(*compiled));
    ASSERT_EQ(files.file_size(), 1);
    published_ = pool_.BuildFile(files.file(0));
    ASSERT_NE(published_, nullptr);
  }

  const FileDescriptor& published() const { return *published_; }
  static const FileDescriptor& ours() { return *runtime::v1::VersionRequest::descriptor()->file(); }

 private:
  DescriptorPool pool_;
  const FileDescriptor* published_ = nullptr;
};

TEST_F(PublishedProtocol, HasNothingThatOursLacks) {
  EXPECT_EQ(Missing(published(), ours()), "");
}

TEST_F(PublishedProtocol, LacksNothingThatOursHas) {
  EXPECT_EQ(Missing(ours(), published()), "");
}

}  // namespace
