#include "cni/attachment_cache.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "base/files.h"
#include "tests/unit/cni/temporary_directory.h"

namespace cni {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

CachedAttachment Sample(const std::string& id) {
  CachedAttachment attachment;
  attachment.invocation = {
      id, "/run/netns/x", "eth0", "IgnoreUnknown=1;A=b", {{"portMappings", base::Json::array({1})}}, true};
  attachment.configuration = {{"name", "n"}};
  return attachment;
}

TEST(AttachmentCache, AnEntryIsReadAsItWasWritten) {
  const TemporaryDirectory directory;
  const AttachmentCache cache(directory / "cache");
  CachedAttachment attachment = Sample("pod1");
  ASSERT_TRUE(cache.Create(attachment).ok());
  auto read = cache.Read("pod1");
  ASSERT_TRUE(read.ok()) << read.error().message();
  EXPECT_EQ(read->invocation.container_id, "pod1");
  EXPECT_EQ(read->invocation.namespace_path, "/run/netns/x");
  EXPECT_EQ(read->invocation.interface, "eth0");
  EXPECT_EQ(read->invocation.arguments, "IgnoreUnknown=1;A=b");
  EXPECT_EQ(read->invocation.capabilities, attachment.invocation.capabilities);
  EXPECT_TRUE(read->invocation.masquerade);
  EXPECT_EQ(read->configuration, attachment.configuration);
  EXPECT_TRUE(read->result.is_null());

  attachment.result = {{"ips", base::Json::array()}};
  ASSERT_TRUE(cache.Update(attachment).ok());
  EXPECT_EQ(cache.Read("pod1")->result, attachment.result);
  EXPECT_THAT(*cache.Ids(), ElementsAre("pod1"));
}

TEST(AttachmentCache, OnlyRootReadsIt) {
  const TemporaryDirectory directory;
  const AttachmentCache cache(directory / "cache");
  ASSERT_TRUE(cache.Create(Sample("pod1")).ok());
  struct stat info {};
  ASSERT_EQ(::stat((directory / "cache").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0700u);
  ASSERT_EQ(::stat((directory / "cache/pod1.json").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0600u);
}

TEST(AttachmentCache, DocumentsAsDeepAsAllowedComeBack) {
  const TemporaryDirectory directory;
  const AttachmentCache cache(directory.path());
  const std::string text =
      R"({"a":)" + std::string(base::kMostJsonDepth - 1, '[') + std::string(base::kMostJsonDepth - 1, ']') + "}";
  CachedAttachment attachment = Sample("pod1");
  attachment.configuration = {{"plugins", base::Json::array({*base::ParseJsonObject(text)})}};
  attachment.result = *base::ParseJsonObject(text);
  attachment.invocation.capabilities["c"] = *base::ParseJsonObject(text);
  ASSERT_TRUE(cache.Create(attachment).ok());
  const auto read = cache.Read("pod1");
  ASSERT_TRUE(read.ok()) << read.error().message();
  EXPECT_EQ(read->configuration, attachment.configuration);
}

TEST(AttachmentCache, WhatIsNotThereIsNotFoundAndRemovedTwice) {
  const TemporaryDirectory directory;
  const AttachmentCache cache(directory / "absent");
  EXPECT_EQ(cache.Read("pod1").error().code(), base::Code::kNotFound);
  EXPECT_TRUE(cache.Remove("pod1").ok());
  EXPECT_THAT(*cache.Ids(), IsEmpty());
}

TEST(AttachmentCache, DamagedEntriesAreListedAndSaidToBeDamaged) {
  const TemporaryDirectory directory;
  const AttachmentCache cache(directory.path());
  ASSERT_TRUE(cache.Create(Sample("good")).ok());
  ASSERT_TRUE(cache.Create(Sample("bad")).ok());
  const std::string sound = *base::ReadFile(directory / "bad.json", 1 << 20);
  const auto changed = [&](const std::string& from, const std::string& to) {
    std::string text = sound;
    const size_t at = text.find(from);
    EXPECT_NE(at, std::string::npos) << from;
    return text.replace(at, from.size(), to);
  };
  for (const std::string& text :
       {std::string(), std::string("{"), std::string("[]"), std::string("{}"), sound.substr(0, sound.size() / 2),
        std::string(100, '\0'), changed("\"bad\"", "\"good\""), changed("\"format\":1", "\"format\":2"),
        changed("\"eth0\"", "7"), changed("\"eth0\"", "\"e/0\""), changed("\"eth0\"", "\"\""),
        changed("A=b", "A=\\u0000b"), changed("/run/netns/x", "run/netns/x"),
        changed("\"result\":null", "\"result\":[]"), changed("\"capabilities\":{", "\"capabilitie\":{"),
        std::string(1 << 20, '['), std::string((16 << 20) + 1, ' ')}) {
    directory.Write("bad.json", text);
    const auto read = cache.Read("bad");
    ASSERT_FALSE(read.ok()) << text.substr(0, 200);
    EXPECT_EQ(read.error().code(), base::Code::kDataLoss) << text.substr(0, 200);
    EXPECT_THAT(read.error().message(), HasSubstr("bad.json is damaged: "));
    EXPECT_THAT(*cache.Ids(), ElementsAre("bad", "good"));
  }
  EXPECT_TRUE(cache.Remove("bad").ok());
  EXPECT_THAT(*cache.Ids(), ElementsAre("good"));
}

TEST(AttachmentCache, NamesThatAreNoIdsAreNotListed) {
  const TemporaryDirectory directory;
  const AttachmentCache cache(directory.path());
  for (const char* name : {".json", "-x.json", "a b.json", "a", "a.json.tmp-1-2"}) directory.Write(name, "");
  EXPECT_THAT(*cache.Ids(), IsEmpty());
}

TEST(AttachmentCache, LeftoversOfInterruptedWritesAreRemoved) {
  const TemporaryDirectory directory;
  const AttachmentCache cache(directory.path());
  ASSERT_TRUE(cache.Create(Sample("pod1")).ok());
  directory.Write("pod1.json.tmp-12-3", "{");
  cache.RemoveLeftovers();
  EXPECT_FALSE(std::filesystem::exists(directory / "pod1.json.tmp-12-3"));
  EXPECT_TRUE(cache.Read("pod1").ok());
}

TEST(AttachmentCache, AFailedWriteSaysWhose) {
  const TemporaryDirectory directory;
  directory.Write("file", "");
  const auto status = AttachmentCache(directory / "file").Create(Sample("pod1"));
  ASSERT_FALSE(status.ok());
  EXPECT_THAT(status.error().message(), HasSubstr("record the network attachment of pod1: "));
}

}  // namespace
}  // namespace cni
