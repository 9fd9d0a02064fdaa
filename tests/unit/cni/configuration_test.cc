#include "cni/configuration.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "tests/unit/cni/temporary_directory.h"

namespace cni {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr char kValid[] = R"({"cniVersion":"1.0.0","name":"n","plugins":[{"type":"bridge"}]})";

base::Result<Configuration> Parse(const std::string& text) {
  auto document = base::ParseJsonObject(text);
  if (!document.ok()) return std::move(document).error();
  return ParseConfiguration(*std::move(document));
}

std::string VersionOf(const std::string& versions) {
  const auto configuration = Parse(R"({"name":"n","plugins":[{"type":"a"}])" + versions + "}");
  return configuration.ok() ? configuration->version : configuration.error().message();
}

TEST(Configuration, AListIsReadWithItsPluginsAndTheirCapabilities) {
  const auto configuration = Parse(R"({"cniVersion":"0.4.0","name":"pod-net_1.x","disableCheck":true,"plugins":[
      {"type":"bridge","ipam":{"type":"host-local"}},
      {"type":"portmap","capabilities":{"portMappings":true,"dns":false}}]})");
  ASSERT_TRUE(configuration.ok()) << configuration.error().message();
  EXPECT_EQ(configuration->name, "pod-net_1.x");
  EXPECT_EQ(configuration->version, "0.4.0");
  ASSERT_EQ(configuration->plugins.size(), 2u);
  EXPECT_EQ(configuration->plugins[0].type, "bridge");
  EXPECT_THAT(configuration->plugins[0].capabilities, IsEmpty());
  EXPECT_EQ(configuration->plugins[0].object["ipam"]["type"], "host-local");
  EXPECT_THAT(configuration->plugins[1].capabilities, ElementsAre("portMappings"));
}

TEST(Configuration, TheDocumentMakesTheSameConfigurationAgain) {
  const auto first = Parse(R"({"name":"n","cniVersions":["1.0.0"],"plugins":[{"type":"a","x":[1]}]})");
  ASSERT_TRUE(first.ok());
  const auto second = ParseConfiguration(first->document);
  ASSERT_TRUE(second.ok());
  EXPECT_EQ(second->version, "1.0.0");
  EXPECT_EQ(second->document, first->document);
}

TEST(Configuration, TheVersionIsTheLatestThatBothSidesKnow) {
  EXPECT_EQ(VersionOf(""), "0.1.0");
  EXPECT_EQ(VersionOf(R"(,"cniVersion":"1.1.0")"), "1.1.0");
  EXPECT_EQ(VersionOf(R"(,"cniVersion":"0.3.1","cniVersions":["0.3.1","1.0.0","0.4.0"])"), "1.0.0");
  EXPECT_EQ(VersionOf(R"(,"cniVersions":["0.4.0","9.9.9"])"), "0.4.0");
  EXPECT_EQ(VersionOf(R"(,"cniVersion":"9.9.9","cniVersions":["1.1.0"])"), "1.1.0");
  EXPECT_EQ(VersionOf(R"(,"cniVersion":"1.0.0","cniVersions":["0.4.0"])"), "1.0.0");
  EXPECT_EQ(VersionOf(R"(,"cniVersion":"2.0.0")"),
            "cniVersion 2.0.0 is not supported; the latest supported one is 1.1.0");
  EXPECT_THAT(VersionOf(R"(,"cniVersion":"1.0.0\u0000")"), HasSubstr("is not supported"));
  EXPECT_EQ(VersionOf(R"(,"cniVersion":1)"), "\"cniVersion\" is not a string");
  EXPECT_EQ(VersionOf(R"(,"cniVersions":"1.0.0")"), "\"cniVersions\" is not a list");
  EXPECT_EQ(VersionOf(R"(,"cniVersions":[1])"), "\"cniVersions\" holds something else than strings");
}

struct Refused {
  const char* text;
  const char* why;
};

TEST(Configuration, WhatIsWrongIsSaid) {
  for (const auto& [text, why] : std::initializer_list<Refused>{
           {R"({"plugins":[{"type":"a"}]})", "it has no \"name\""},
           {R"({"name":7,"plugins":[{"type":"a"}]})", "\"name\" is not a string"},
           {R"({"name":"a/b","plugins":[{"type":"a"}]})", "its name \"a/b\" has other characters"},
           {R"({"name":"../x","plugins":[{"type":"a"}]})", "its name \"../x\" has other characters"},
           {R"({"name":"a\u0000","plugins":[{"type":"a"}]})", "its name \"a\\x00\" has other characters"},
           {R"({"name":"n"})", "it has no \"plugins\""},
           {R"({"name":"n","plugins":{}})", "its \"plugins\" are not a list"},
           {R"({"name":"n","plugins":[]})", "its list of plugins is empty"},
           {R"({"name":"n","plugins":[{"type":"a"},5]})", "plugin 2: it is not a JSON object"},
           {R"({"name":"n","plugins":[{"type":"a"},{}]})", "plugin 2: it has no \"type\""},
           {R"({"name":"n","plugins":[{"type":["a"]}]})", "plugin 1: \"type\" is not a string"},
           {R"({"name":"n","plugins":[{"type":"../sh"}]})", "plugin 1: its type \"../sh\" is not a plain file name"},
           {R"({"name":"n","plugins":[{"type":"/bin/sh"}]})", "plugin 1: its type \"/bin/sh\" is not a plain"},
           {R"({"name":"n","plugins":[{"type":".."}]})", "plugin 1: its type \"..\" is not a plain file name"},
           {R"({"name":"n","plugins":[{"type":"a\u0000b"}]})", "plugin 1: its type \"a\\x00b\" is not a plain"},
           {R"({"name":"n","plugins":[{"type":"a","capabilities":[]}]})", "its \"capabilities\" are not a JSON object"},
           {R"({"name":"n","plugins":[{"type":"a","capabilities":{"x":"true"}}]})",
            "its capability \"x\" is neither true nor false"},
       }) {
    const auto configuration = Parse(text);
    ASSERT_FALSE(configuration.ok()) << text;
    EXPECT_EQ(configuration.error().code(), base::Code::kInvalidArgument);
    EXPECT_THAT(configuration.error().message(), HasSubstr(why));
  }
}

TEST(Configuration, TheNumberOfPluginsIsBounded) {
  base::Json document = {{"name", "n"}, {"plugins", base::Json::array()}};
  for (int i = 0; i < 65; ++i) document["plugins"].push_back({{"type", "a"}});
  EXPECT_FALSE(ParseConfiguration(document).ok());
  document["plugins"].erase(0);
  EXPECT_TRUE(ParseConfiguration(document).ok());
}

TEST(Selection, TheFirstValidFileByNameIsInForce) {
  const TemporaryDirectory directory;
  directory.Write("20-b.conflist", R"({"name":"b","plugins":[{"type":"x"}]})");
  directory.Write("10-a.conf", R"({"name":"a","type":"x"})");
  directory.Write("05-readme.txt", "not a configuration");
  directory.Write("01-b.conflist.bak", "not a configuration");
  const Selection selection = SelectConfiguration(directory.path());
  ASSERT_TRUE(selection.configuration);
  EXPECT_EQ(selection.configuration->name, "a");
  EXPECT_EQ(selection.file, "10-a.conf");
  EXPECT_THAT(selection.complaints, IsEmpty());
}

TEST(Selection, ASinglePluginCountsAsAListOfOne) {
  const TemporaryDirectory directory;
  directory.Write("a.json", R"({"cniVersion":"0.3.1","name":"a","type":"bridge","capabilities":{"dns":true}})");
  const Selection selection = SelectConfiguration(directory.path());
  ASSERT_TRUE(selection.configuration);
  EXPECT_EQ(selection.configuration->version, "0.3.1");
  ASSERT_EQ(selection.configuration->plugins.size(), 1u);
  EXPECT_EQ(selection.configuration->plugins[0].type, "bridge");
  EXPECT_THAT(selection.configuration->plugins[0].capabilities, ElementsAre("dns"));
  EXPECT_TRUE(ParseConfiguration(selection.configuration->document).ok());
}

TEST(Selection, InvalidFilesArePassedOverAndReported) {
  const TemporaryDirectory directory;
  directory.Write("1.conflist", "{");
  directory.Write("2.conf", R"({"name":"a"})");
  directory.Write("3.conf", kValid);
  directory.Write("4.conflist", "");
  ASSERT_EQ(::mkfifo((directory / "5.conf").c_str(), 0600), 0);
  std::filesystem::create_directory(directory / "6.conflist");
  std::filesystem::create_symlink("absent", directory / "7.conf");
  directory.Write("8.conf", R"({"name":"a","type":"x","pad":")" + std::string(1 << 20, 'x') + "\"}");
  directory.Write("9.conflist", kValid);
  const Selection selection = SelectConfiguration(directory.path());
  ASSERT_TRUE(selection.configuration);
  EXPECT_EQ(selection.file, "9.conflist");
  EXPECT_THAT(
      selection.complaints,
      ElementsAre(HasSubstr("1.conflist: it is not JSON"), "2.conf: it has no \"type\"",
                  "3.conf: it has no \"type\"; the name of a file with \"plugins\" must end in .conflist",
                  "4.conflist: it is empty", "5.conf: it is not a regular file", "6.conflist: it is not a regular file",
                  "7.conf: open it: No such file or directory", HasSubstr("8.conf: read it: longer than")));
}

TEST(Selection, AnAbsentOrEmptyDirectoryHasNone) {
  const TemporaryDirectory directory;
  for (const std::string& path : {directory.path(), directory / "absent"}) {
    const Selection selection = SelectConfiguration(path);
    EXPECT_FALSE(selection.configuration);
    EXPECT_THAT(selection.complaints, IsEmpty());
  }
}

TEST(Selection, ADirectoryThatCannotBeReadIsReported) {
  const TemporaryDirectory directory;
  directory.Write("file", "");
  EXPECT_THAT(SelectConfiguration(directory / "file").complaints, ElementsAre(HasSubstr("Not a directory")));
}

}  // namespace
}  // namespace cni
