#include "nspawn/process/user.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <random>
#include <string>
#include <vector>

#include "base/fd.h"
#include "temporary_directory.h"

namespace nspawn {
namespace {

using namespace std::string_literals;
using testing::ElementsAre;

constexpr char kPasswd[] =
    "root:x:0:0:root:/root:/bin/sh\n"
    "# a comment\n"
    "broken\n"
    "minus:x:-1:5::/:\n"
    "web:x:1000:1001:Web:/home/web:/bin/sh\n"
    "1001:x:2000:2001::/number:/bin/sh\n"
    "last:x:3000:3001::/last:/bin/sh";  // without an end of line
constexpr char kGroup[] =
    "root:x:0:\n"
    "www:x:33:web,other\n"
    "data:x:44:other,web\n"
    "webmasters:x:55:webmaster,we\n"
    "broken:x:web\n";

class ResolveUserTest : public testing::Test {
 protected:
  void SetUp() override {
    image_.Write("etc/passwd", kPasswd);
    image_.Write("etc/group", kGroup);
    root_.reset(::open(image_.path().c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  }
  base::Result<Identity> Resolve(const User& user) const { return ResolveUser(root_.get(), user); }
  TemporaryDirectory image_;
  base::UniqueFd root_;
};

User Named(const std::string& name, const std::string& group = "") {
  User user;
  user.name = name;
  user.group = group;
  return user;
}

TEST_F(ResolveUserTest, NobodyNamedIsRoot) {
  const auto identity = Resolve({});
  ASSERT_TRUE(identity.ok());
  EXPECT_EQ(identity->uid, 0U);
  EXPECT_EQ(identity->gid, 0U);
  EXPECT_EQ(identity->home, "/root");
  EXPECT_THAT(identity->groups, ElementsAre(0U));
}

TEST_F(ResolveUserTest, ANameBringsItsGroupsAndHome) {
  const auto identity = Resolve(Named("web"));
  ASSERT_TRUE(identity.ok());
  EXPECT_EQ(identity->uid, 1000U);
  EXPECT_EQ(identity->gid, 1001U);
  EXPECT_EQ(identity->home, "/home/web");
  EXPECT_THAT(identity->groups, ElementsAre(1001U, 33U, 44U));
}

TEST_F(ResolveUserTest, ANumberBringsTheGroupsOfItsEntry) {
  User user;
  user.uid = 1000;
  const auto identity = Resolve(user);
  ASSERT_TRUE(identity.ok());
  EXPECT_EQ(identity->gid, 1001U);
  EXPECT_THAT(identity->groups, ElementsAre(1001U, 33U, 44U));
}

TEST_F(ResolveUserTest, ANumberNeedsNoEntry) {
  const auto identity = Resolve(Named("4242"));
  ASSERT_TRUE(identity.ok());
  EXPECT_EQ(identity->uid, 4242U);
  EXPECT_EQ(identity->gid, 0U);
  EXPECT_EQ(identity->home, "/");
}

TEST_F(ResolveUserTest, ANameOfDigitsIsANameFirst) {
  const auto identity = Resolve(Named("1001"));
  ASSERT_TRUE(identity.ok());
  EXPECT_EQ(identity->uid, 2000U);
  EXPECT_EQ(identity->home, "/number");
}

TEST_F(ResolveUserTest, TheLastLineNeedsNoEnd) {
  const auto identity = Resolve(Named("last"));
  ASSERT_TRUE(identity.ok());
  EXPECT_EQ(identity->uid, 3000U);
}

TEST_F(ResolveUserTest, AGroupIsANameOrANumber) {
  EXPECT_EQ(Resolve(Named("web", "data"))->gid, 44U);
  EXPECT_EQ(Resolve(Named("web", "77"))->gid, 77U);
  User user = Named("web", "data");
  user.gid = 99;
  EXPECT_EQ(Resolve(user)->gid, 99U);
}

TEST_F(ResolveUserTest, MergeAddsTheImagesGroupsAndStrictDoesNot) {
  User user = Named("web");
  user.supplementary_groups = {7, 44, 7};
  EXPECT_THAT(Resolve(user)->groups, ElementsAre(1001U, 33U, 44U, 7U));
  user.strict_groups = true;
  EXPECT_THAT(Resolve(user)->groups, ElementsAre(1001U, 7U, 44U));
}

TEST_F(ResolveUserTest, ANameWithoutAnEntryIsAnError) {
  auto missing = Resolve(Named("ghost"));
  ASSERT_FALSE(missing.ok());
  EXPECT_EQ(missing.error().code(), base::Code::kInvalidArgument);
  EXPECT_EQ(missing.error().message(), "unable to find user ghost: no matching entries in passwd file");
  missing = Resolve(Named("web", "ghosts"));
  ASSERT_FALSE(missing.ok());
  EXPECT_EQ(missing.error().message(), "unable to find group ghosts: no matching entries in group file");
  EXPECT_FALSE(Resolve(Named("minus")).ok());
  EXPECT_FALSE(Resolve(Named("-1")).ok());
  EXPECT_FALSE(Resolve(Named("4294967295")).ok());
}

TEST_F(ResolveUserTest, AnImageWithoutTheFilesHasNumbersOnly) {
  const TemporaryDirectory empty;
  const base::UniqueFd root(::open(empty.path().c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  EXPECT_TRUE(ResolveUser(root.get(), {}).ok());
  EXPECT_EQ(ResolveUser(root.get(), Named("5"))->uid, 5U);
  EXPECT_FALSE(ResolveUser(root.get(), Named("web")).ok());
}

TEST_F(ResolveUserTest, AFileThatLeadsOutOrWouldBlockIsNotRead) {
  const TemporaryDirectory outside;
  outside.Write("passwd", "web:x:1:1::/:\n");
  std::filesystem::remove(image_.path() + "/etc/passwd");
  std::filesystem::create_symlink(outside.path() + "/passwd", image_.path() + "/etc/passwd");
  EXPECT_FALSE(Resolve(Named("web")).ok());
  std::filesystem::remove(image_.path() + "/etc/passwd");
  ASSERT_EQ(::mkfifo((image_.path() + "/etc/passwd").c_str(), 0600), 0);
  EXPECT_FALSE(Resolve(Named("web")).ok());
}

TEST(PasswdLine, TakesOnlyWellFormedOnes) {
  EXPECT_TRUE(ParsePasswdLine("a:x:1:2:gecos:/home"));
  EXPECT_TRUE(ParsePasswdLine("a:x:1:2:::"));
  for (const char* line : {"", ":x:1:2:::", "a:x:1:2:", "a:x::2:::", "a:x:1::::", "a:x:+1:2:::", "a:x: 1:2:::",
                           "a:x:0x1:2:::", "a:x:4294967295:2:::", "a:x:99999999999999999999:2:::"}) {
    EXPECT_FALSE(ParsePasswdLine(line)) << line;
  }
}

TEST(GroupLine, TakesOnlyWellFormedOnes) {
  EXPECT_TRUE(ParseGroupLine("g:x:1:"));
  for (const char* line : {"", "g:x:1", ":x:1:", "g:x::", "g:x:-1:", "g:x:1x:"}) {
    EXPECT_FALSE(ParseGroupLine(line)) << line;
  }
}

TEST(GroupLine, AMemberIsAWholeName) {
  const GroupEntry group{"g", 1, "web,other"};
  EXPECT_TRUE(group.HasMember("web"));
  EXPECT_TRUE(group.HasMember("other"));
  EXPECT_FALSE(group.HasMember("we"));
  EXPECT_FALSE(group.HasMember("webs"));
  EXPECT_FALSE((GroupEntry{"g", 1, ""}.HasMember("web")));
}

std::vector<std::string> LinesOf(const std::string& content) {
  const TemporaryDirectory directory;
  directory.Write("file", content);
  const base::UniqueFd file(::open((directory.path() + "/file").c_str(), O_RDONLY | O_CLOEXEC));
  std::vector<std::string> lines;
  EXPECT_TRUE(ForEachLine(file.get(), [&](std::string_view line) {
                lines.emplace_back(line);
                return true;
              }).ok());
  return lines;
}

TEST(ForEachLine, GivesEveryLineAlsoAcrossReads) {
  EXPECT_THAT(LinesOf(""), ElementsAre());
  EXPECT_THAT(LinesOf("\n\na"), ElementsAre("", "", "a"));
  std::string content;
  for (int i = 0; i < 40000; ++i) content += "line " + std::to_string(i) + "\n";
  const std::vector<std::string> lines = LinesOf(content);
  ASSERT_EQ(lines.size(), 40000U);
  EXPECT_EQ(lines.back(), "line 39999");
  EXPECT_EQ(lines[20000], "line 20000");
}

TEST(ForEachLine, LeavesOutALineThatIsTooLong) {
  EXPECT_THAT(LinesOf("first\n" + std::string(200000, 'x') + "\nlast\n"), ElementsAre("first", "last"));
  EXPECT_THAT(LinesOf(std::string(300000, 'x')), ElementsAre());
}

TEST(ForEachLine, EndsOnAnyInput) {
  std::mt19937 random(1);  // NOLINT: the same input in every run
  const std::string alphabet = "\n\n::::,,x0123456789\0\xff ab"s;
  for (int round = 0; round < 300; ++round) {
    std::string content(random() % 3000, '\0');
    for (char& c : content) c = alphabet[random() % alphabet.size()];
    for (const std::string& line : LinesOf(content)) {
      if (const auto entry = ParsePasswdLine(line)) {
        EXPECT_FALSE(entry->name.empty());
      }
      if (const auto entry = ParseGroupLine(line)) (void)entry->HasMember("ab");
    }
  }
}

TEST(IdentityText, ReadsBack) {
  EXPECT_EQ(FormatIdentity({1000, 1001, {1001, 50}, "/home"}), "1000 1001 1001 50\n");
  const auto identity = ParseIdentity("1000 1001 1001 50\n");
  ASSERT_TRUE(identity);
  EXPECT_EQ(identity->uid, 1000U);
  EXPECT_EQ(identity->gid, 1001U);
  EXPECT_THAT(identity->groups, ElementsAre(1001, 50));
}

TEST(IdentityText, HalfALineIsNone) {
  for (const char* line : {"", "\n", "1000\n", "1000 1001 10", "1000  1001\n", "a b\n", "-1 0\n"}) {
    EXPECT_FALSE(ParseIdentity(line)) << line;
  }
}

}  // namespace
}  // namespace nspawn
