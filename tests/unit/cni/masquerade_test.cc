#include "cni/masquerade.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "tests/unit/cni/scripted_runner.h"
#include "tests/unit/cni/temporary_directory.h"

namespace cni {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using Call = ScriptedRunner::Call;

// Of "pods" and "pod1", as sha512sum(1) has it.
constexpr char kChain[] = "CNI-83739f19b878602ed721855d";
constexpr char kComment[] = R"( -m comment --comment "name: \"pods\" id: \"pod1\"")";

base::Json ResultWith(const std::vector<std::string>& addresses) {
  base::Json result = {{"interfaces", {{{"name", "cni0"}}, {{"name", "eth0"}, {"sandbox", "/run/netns/x"}}}}};
  for (const std::string& address : addresses) result["ips"].push_back({{"interface", 1}, {"address", address}});
  return result;
}

class MasqueradeTest : public testing::Test {
 protected:
  void SetUp() override {
    for (const char* name : {"iptables", "iptables-restore", "ip6tables", "ip6tables-restore"}) Install(name);
    runner_.AnswerBy([](const Call&) { return PluginOutput{}; });
  }
  void Install(const std::string& name) {
    root_.Write(name, "");
    std::filesystem::permissions(root_ / name, std::filesystem::perms::owner_all);
  }
  // What iptables-restore was given, each time with its name.
  std::vector<std::string> Transactions() {
    std::vector<std::string> all;
    for (const Call& call : runner_.TakeCalls()) {
      if (!call.text.empty()) all.push_back(call.plugin + " " + call.text);
    }
    return all;
  }
  static std::string C(const std::string& rule) { return rule + kComment + "\n"; }

  const std::string chain_ = kChain;
  TemporaryDirectory root_;
  ScriptedRunner runner_;
  Masquerade masquerade_{runner_, {root_ / "absent", root_.path()}, std::chrono::seconds(7)};
};

Plugin PluginOf(base::Json object) {
  return {object["type"].get<std::string>(), {}, std::move(object)};
}

TEST(Masquerade, CoversThePluginsThatMakeSuchRules) {
  EXPECT_TRUE(Masquerade::Covers(PluginOf({{"type", "bridge"}, {"ipMasq", true}})));
  EXPECT_TRUE(Masquerade::Covers(PluginOf({{"type", "ptp"}, {"ipMasq", true}})));
  EXPECT_TRUE(Masquerade::Covers(PluginOf({{"type", "ptp"}, {"ipMasq", true}, {"ipMasqBackend", "iptables"}})));
  EXPECT_TRUE(Masquerade::Covers(PluginOf({{"type", "ptp"}, {"ipMasq", true}, {"ipMasqBackend", nullptr}})));
  EXPECT_FALSE(Masquerade::Covers(PluginOf({{"type", "bridge"}})));
  EXPECT_FALSE(Masquerade::Covers(PluginOf({{"type", "bridge"}, {"ipMasq", false}})));
  EXPECT_FALSE(Masquerade::Covers(PluginOf({{"type", "bridge"}, {"ipMasq", "yes"}})));
  EXPECT_FALSE(Masquerade::Covers(PluginOf({{"type", "bridge"}, {"ipMasq", true}, {"ipMasqBackend", "nftables"}})));
  EXPECT_FALSE(Masquerade::Covers(PluginOf({{"type", "other"}, {"ipMasq", true}})));
}

TEST_F(MasqueradeTest, IsAvailableWhereAllProgramsAreOfOneInstallation) {
  EXPECT_TRUE(masquerade_.IsAvailable());
  Install("absent/iptables");
  EXPECT_FALSE(masquerade_.IsAvailable()) << "plugins would call another one than iptables-restore belongs to";
  Install("absent/iptables-restore");
  EXPECT_TRUE(masquerade_.IsAvailable());
  std::filesystem::remove(root_ / "ip6tables-restore");
  EXPECT_FALSE(masquerade_.IsAvailable());
}

TEST_F(MasqueradeTest, AddsTheRulesOfAllAddressesOfAFamilyAtOnce) {
  const auto added = masquerade_.Add("pods", "pod1", "eth0", ResultWith({"10.1.2.3/20", "fd00::1:2/64"}));
  ASSERT_TRUE(added.ok()) << added.error().message();
  const auto calls = runner_.TakeCalls();
  ASSERT_EQ(calls.size(), 2u);
  EXPECT_EQ(calls[0].program, root_ / "iptables-restore");
  EXPECT_EQ(calls[1].program, root_ / "ip6tables-restore");
  for (const Call& call : calls) {
    EXPECT_THAT(call.arguments, ElementsAre("--wait", "--noflush"));
    EXPECT_EQ(call.timeout, std::chrono::seconds(7));
  }
  EXPECT_EQ(calls[0].text, "*nat\n:" + chain_ + " - [0:0]\n" + C("-A " + chain_ + " -d 10.1.0.0/20 -j ACCEPT") +
                               C("-A " + chain_ + " ! -d 224.0.0.0/4 -j MASQUERADE") +
                               C("-A POSTROUTING -s 10.1.2.3 -j " + chain_) + "COMMIT\n");
  EXPECT_EQ(calls[1].text, "*nat\n:" + chain_ + " - [0:0]\n" + C("-A " + chain_ + " -d fd00::/64 -j ACCEPT") +
                               C("-A " + chain_ + " ! -d ff00::/8 -j MASQUERADE") +
                               C("-A POSTROUTING -s fd00::1:2 -j " + chain_) + "COMMIT\n");
}

TEST_F(MasqueradeTest, ARuleThatIsThereIsNotAddedAgain) {
  ASSERT_TRUE(
      masquerade_.Add("pods", "pod1", "eth0", ResultWith({"10.1.2.3/25", "10.1.2.4/25", "10.1.2.129/25"})).ok());
  EXPECT_THAT(
      Transactions(),
      ElementsAre("iptables-restore *nat\n:" + chain_ + " - [0:0]\n" + C("-A " + chain_ + " -d 10.1.2.0/25 -j ACCEPT") +
                  C("-A " + chain_ + " ! -d 224.0.0.0/4 -j MASQUERADE") + C("-A POSTROUTING -s 10.1.2.3 -j " + chain_) +
                  C("-A POSTROUTING -s 10.1.2.4 -j " + chain_) + C("-A " + chain_ + " -d 10.1.2.128/25 -j ACCEPT") +
                  C("-A POSTROUTING -s 10.1.2.129 -j " + chain_) + "COMMIT\n"));
}

TEST_F(MasqueradeTest, AFailureIsGivenInTheProgramsWords) {
  runner_.AnswerBy([](const Call&) { return PluginOutput{1, "", "iptables-restore: line 3 failed\n"}; });
  EXPECT_EQ(masquerade_.Add("pods", "pod1", "eth0", ResultWith({"10.1.2.3/16"})).error().message(),
            "masquerade the pod's addresses: iptables-restore exited with status 1: iptables-restore: line 3 failed");
  std::filesystem::remove(root_ / "iptables-restore");
  EXPECT_THAT(masquerade_.Add("pods", "pod1", "eth0", ResultWith({"10.1.2.3/16"})).error().message(),
              HasSubstr("iptables-restore is not installed"));
}

TEST_F(MasqueradeTest, ResultsThatMakeNoSenseAreRefused) {
  for (const char* address : {"10.1.2.3", "10.1.2.3/33", "10.1.2.3/24 -j DROP", "fd00::/129", "\n"}) {
    EXPECT_FALSE(masquerade_.Add("pods", "pod1", "eth0", ResultWith({address})).ok()) << address;
  }
  EXPECT_THAT(runner_.TakeCalls(), IsEmpty());
}

TEST_F(MasqueradeTest, DeletesTheRulesOfAFamilyAtOnce) {
  ASSERT_TRUE(masquerade_.Delete("pods", "pod1", {"10.1.2.3", "fd00::1:2", "10.1.2.4"}).ok());
  EXPECT_THAT(
      Transactions(),
      ElementsAre("iptables-restore *nat\n:" + chain_ + " - [0:0]\n" + C("-D POSTROUTING -s 10.1.2.3 -j " + chain_) +
                      C("-D POSTROUTING -s 10.1.2.4 -j " + chain_) + "-X " + chain_ + "\nCOMMIT\n",
                  "ip6tables-restore *nat\n:" + chain_ + " - [0:0]\n" + C("-D POSTROUTING -s fd00::1:2 -j " + chain_) +
                      "-X " + chain_ + "\nCOMMIT\n"));
}

constexpr char kOthers[] = "-P POSTROUTING ACCEPT\n-A POSTROUTING -s 10.9.9.9/32 -j CNI-other\n";

// An iptables in which there is what `rules_` says, and which refuses a transaction that deletes more or less than what
// leads to the chain.
class MasqueradeRulesTest : public MasqueradeTest {
 protected:
  void SetUp() override {
    MasqueradeTest::SetUp();
    runner_.AnswerBy([this](const Call& call) -> PluginOutput {
      if (call.plugin.ends_with("-restore")) {
        std::string left = kOthers;
        for (const std::string_view line : base::Split(call.text, '\n')) {
          if (line.starts_with("-D ")) left += "-A " + std::string(line.substr(3)) + "\n";
        }
        if (rules_ != left) return {1, "", "iptables-restore: line 3 failed"};
        rules_ = kOthers;
        chain_there_ = false;
        return {};
      }
      const std::string& listed = call.arguments.back();
      EXPECT_THAT(call.arguments, ElementsAre("--wait", "-t", "nat", "-S", listed));
      if (listed == "POSTROUTING") return {0, rules_, ""};
      EXPECT_EQ(listed, kChain);
      return chain_there_ ? PluginOutput{} : PluginOutput{no_chain_, "", "No chain/target/match by that name."};
    });
  }

  std::string rules_ = kOthers;
  bool chain_there_ = true;
  int no_chain_ = 1;
};

TEST_F(MasqueradeRulesTest, RulesOfUnknownAddressesAreFound) {
  rules_ += "-A POSTROUTING -s 10.1.2.3/32 -m comment --comment x -j " + chain_ + "\n";
  ASSERT_TRUE(masquerade_.Delete("pods", "pod1", {}).ok());
  EXPECT_EQ(rules_, kOthers);
  EXPECT_FALSE(chain_there_);
}

TEST_F(MasqueradeRulesTest, RulesThatAreNotAsKnownAreFound) {
  rules_ += "-A POSTROUTING -s 10.1.2.3/32 -j " + chain_ + "\n-A POSTROUTING -s 10.1.2.4/32 -j " + chain_ + "\n";
  ASSERT_TRUE(masquerade_.Delete("pods", "pod1", {"10.1.2.3"}).ok());
  EXPECT_EQ(rules_, kOthers);
}

TEST_F(MasqueradeRulesTest, WhatIsGoneIsNoFailure) {
  chain_there_ = false;
  for (const int code : {1, 3}) {
    no_chain_ = code;
    EXPECT_TRUE(masquerade_.Delete("pods", "pod1", {"10.1.2.3"}).ok()) << code;
    EXPECT_TRUE(masquerade_.Delete("pods", "pod1", {}).ok()) << code;
  }
}

TEST_F(MasqueradeRulesTest, RulesThatCannotBeListedAreAFailure) {
  chain_there_ = false;
  no_chain_ = 4;
  EXPECT_THAT(masquerade_.Delete("pods", "pod1", {}).error().message(),
              HasSubstr("remove the masquerading of the pod's addresses: iptables exited with status 4"));
}

TEST_F(MasqueradeRulesTest, RulesThatKeepChangingAreAFailureInTheEnd) {
  rules_ = "-A POSTROUTING -s 10.1.2.3/32 -j " + chain_ + "\n";
  EXPECT_THAT(masquerade_.Delete("pods", "pod1", {"10.1.2.3"}).error().message(), HasSubstr("line 3 failed"));
  EXPECT_EQ(Transactions().size(), 4u);
}

}  // namespace
}  // namespace cni
