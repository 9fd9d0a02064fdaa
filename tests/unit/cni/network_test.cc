#include "cni/network.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <thread>

#include "cni/attachment_cache.h"
#include "tests/unit/cni/scripted_runner.h"
#include "tests/unit/cni/temporary_directory.h"

namespace cni {
namespace {

using base::Code;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::Pair;
using testing::UnorderedElementsAre;
using Call = ScriptedRunner::Call;

constexpr char kNamespace[] = "/proc/self/ns/net";
constexpr char kConfiguration[] = R"({"cniVersion":"1.0.0","name":"pods","plugins":[
    {"type":"first","mtu":1400,"prevResult":{"stale":true}},
    {"type":"second","capabilities":{"portMappings":true,"dns":false}},
    {"type":"third","capabilities":{"dns":true,"bandwidth":true},"runtimeConfig":{"fixed":1}}]})";

// Each plugin adds its name to what the one before gave.
base::Json ResultOf(const Call& call) {
  base::Json result = call.input.value("prevResult", base::Json::object());
  result["cniVersion"] = "1.0.0";
  result["ips"] = base::Json::array({{{"address", "10.1.2.3/16"}}, {{"address", "fd00::3/64"}}});
  result["seen"].push_back(call.plugin);
  return result;
}

PluginOutput Success(const Call& call) {
  return {0, call.verb == "ADD" ? ResultOf(call).dump() : "", ""};
}

PluginOutput Failure(int code, const std::string& message) {
  return {1, base::Json{{"cniVersion", "1.0.0"}, {"code", code}, {"msg", message}}.dump(), "noise"};
}

class NetworkTest : public testing::Test {
 protected:
  void SetUp() override {
    for (const char* plugin : {"first", "second", "third"}) InstallPlugin(plugin);
    root_.Write("net.d/10.conflist", kConfiguration);
    runner_.AnswerBy(Success);
    network_ = NetworkOn(root_ / "cache");
  }

  void InstallPlugin(const std::string& name) {
    root_.Write("bin/" + name, "");
    std::filesystem::permissions(root_ / ("bin/" + name), std::filesystem::perms::owner_all);
  }

  std::unique_ptr<Network> NetworkOn(const std::string& cache) {
    NetworkOptions options = options_;
    options.configuration_directory = root_ / "net.d";
    options.plugin_directories = {root_ / "absent", root_ / "bin"};
    options.cache_directory = cache;
    options.plugin_timeout = std::chrono::seconds(7);
    return Network::Create(options, runner_);
  }

  // Puts another configuration in force.
  void Configure(const std::string& text) {
    root_.Write("net.d/10.conflist", text);
    network_ = NetworkOn(root_ / "cache");
  }

  static Attachment Pod(const std::string& id = "pod1") {
    Attachment attachment;
    attachment.container_id = id;
    attachment.namespace_path = kNamespace;
    return attachment;
  }

  std::vector<std::string> Ids() { return *AttachmentCache(root_ / "cache").Ids(); }

  base::Json CacheEntry(const std::string& id = "pod1") {
    std::ifstream file(root_ / ("cache/" + id + ".json"));
    return file ? base::Json::parse(file) : base::Json();
  }

  // The message of the error that an Attach ends in when `plugin` answers its ADD with `output`.
  std::string AttachError(const std::string& plugin, const base::Result<PluginOutput>& output) {
    runner_.AnswerBy([&](const Call& call) -> base::Result<PluginOutput> {
      if (call.verb == "ADD" && call.plugin == plugin) return output;
      return Success(call);
    });
    const auto result = network_->Attach(Pod());
    return result.ok() ? "no error" : result.error().message();
  }

  TemporaryDirectory root_;
  ScriptedRunner runner_;
  NetworkOptions options_;
  std::unique_ptr<Network> network_;
};

TEST_F(NetworkTest, PluginsAreCalledInOrderWithTheirPredecessorsResult) {
  Attachment pod = Pod();
  pod.arguments = {{"K8S_POD_NAMESPACE", "default"}, {"K8S_POD_NAME", "web"}};
  const auto result = network_->Attach(pod);
  ASSERT_TRUE(result.ok()) << result.error().message();
  EXPECT_THAT(result->addresses, ElementsAre("10.1.2.3", "fd00::3"));
  EXPECT_EQ(base::Json::parse(result->json)["seen"], base::Json({"first", "second", "third"}));

  const auto calls = runner_.TakeCalls();
  ASSERT_EQ(calls.size(), 3u);
  for (const Call& call : calls) {
    EXPECT_EQ(call.program, root_ / ("bin/" + call.plugin));
    EXPECT_EQ(call.timeout, std::chrono::seconds(7));
    EXPECT_THAT(call.environment,
                UnorderedElementsAre(Pair("CNI_COMMAND", "ADD"), Pair("CNI_CONTAINERID", "pod1"),
                                     Pair("CNI_NETNS", kNamespace), Pair("CNI_IFNAME", "eth0"),
                                     Pair("CNI_ARGS", "IgnoreUnknown=1;K8S_POD_NAMESPACE=default;K8S_POD_NAME=web"),
                                     Pair("CNI_PATH", (root_ / "absent") + ":" + (root_ / "bin")),
                                     Pair("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")));
  }
  EXPECT_EQ(calls[0].input, base::Json({{"type", "first"}, {"mtu", 1400}, {"name", "pods"}, {"cniVersion", "1.0.0"}}));
  EXPECT_EQ(
      calls[1].input,
      base::Json({{"type", "second"}, {"name", "pods"}, {"cniVersion", "1.0.0"}, {"prevResult", ResultOf(calls[0])}}));
  EXPECT_EQ(calls[2].input, base::Json({{"type", "third"},
                                        {"name", "pods"},
                                        {"cniVersion", "1.0.0"},
                                        {"runtimeConfig", {{"fixed", 1}}},
                                        {"prevResult", ResultOf(calls[1])}}));
}

TEST_F(NetworkTest, CapabilitiesReachOnlyThePluginsThatDeclareThem) {
  Attachment pod = Pod();
  pod.port_mappings = {{"tcp", 80, 8080, ""}, {"udp", 53, 5353, "127.0.0.1"}, {"tcp", 90, 0, ""}};
  pod.capabilities = {{"dns", R"({"servers":["10.0.0.1"]})"}, {"unused", "1"}};
  ASSERT_TRUE(network_->Attach(pod).ok());
  ASSERT_TRUE(network_->Detach(Pod()).ok());
  const auto calls = runner_.TakeCalls();
  ASSERT_EQ(calls.size(), 6u);
  const base::Json mappings = {
      {{"hostPort", 8080}, {"containerPort", 80}, {"protocol", "tcp"}},
      {{"hostPort", 5353}, {"containerPort", 53}, {"protocol", "udp"}, {"hostIP", "127.0.0.1"}}};
  for (const Call& call : calls) {
    EXPECT_FALSE(call.input.contains("capabilities"));
    if (call.plugin == "first") {
      EXPECT_FALSE(call.input.contains("runtimeConfig"));
    }
    if (call.plugin == "second") {
      EXPECT_EQ(call.input["runtimeConfig"], base::Json({{"portMappings", mappings}}));
    }
    if (call.plugin == "third") {
      EXPECT_EQ(call.input["runtimeConfig"], base::Json({{"fixed", 1}, {"dns", {{"servers", {"10.0.0.1"}}}}}));
    }
  }
}

TEST_F(NetworkTest, DetachCallsThePluginsInReverseOrderWithTheFinalResult) {
  Attachment pod = Pod();
  pod.arguments = {{"K8S_POD_NAME", "web"}};
  ASSERT_TRUE(network_->Attach(pod).ok());
  const auto adds = runner_.TakeCalls();
  EXPECT_THAT(Ids(), ElementsAre("pod1"));

  // By what is cached: not by what is configured or passed now.
  Configure(R"({"cniVersion":"0.4.0","name":"other","plugins":[{"type":"absent"}]})");
  ASSERT_TRUE(network_->Detach(Pod()).ok());
  const auto calls = runner_.TakeCalls();
  ASSERT_EQ(calls.size(), 3u);
  EXPECT_EQ(calls[0].plugin, "third");
  EXPECT_EQ(calls[1].plugin, "second");
  EXPECT_EQ(calls[2].plugin, "first");
  for (const Call& call : calls) {
    EXPECT_EQ(call.environment.at("CNI_COMMAND"), "DEL");
    EXPECT_EQ(call.environment.at("CNI_ARGS"), "IgnoreUnknown=1;K8S_POD_NAME=web");
    EXPECT_EQ(call.environment.at("CNI_NETNS"), kNamespace);
    EXPECT_EQ(call.input["name"], "pods");
    EXPECT_EQ(call.input["prevResult"], ResultOf(adds[2]));
  }
  EXPECT_THAT(Ids(), IsEmpty());
  EXPECT_TRUE(network_->Detach(Pod()).ok());
  EXPECT_THAT(runner_.TakeCalls(), IsEmpty());
}

TEST_F(NetworkTest, BeforeVersion040ADelHasNoResult) {
  Configure(R"({"cniVersion":"0.3.1","name":"pods","plugins":[{"type":"first"},{"type":"second"}]})");
  ASSERT_TRUE(network_->Attach(Pod()).ok());
  ASSERT_TRUE(network_->Detach(Pod()).ok());
  const auto calls = runner_.TakeCalls();
  ASSERT_EQ(calls.size(), 4u);
  EXPECT_TRUE(calls[1].input.contains("prevResult"));
  EXPECT_FALSE(calls[2].input.contains("prevResult"));
  EXPECT_FALSE(calls[3].input.contains("prevResult"));
}

TEST_F(NetworkTest, TheIntentIsOnDiskBeforeTheFirstPluginAndTheResultAfterTheLast) {
  std::vector<base::Json> entries;
  runner_.AnswerBy([&](const Call& call) {
    entries.push_back(CacheEntry());
    return Success(call);
  });
  ASSERT_TRUE(network_->Attach(Pod()).ok());
  ASSERT_EQ(entries.size(), 3u);
  for (const base::Json& entry : entries) {
    EXPECT_EQ(entry["configuration"], base::Json::parse(kConfiguration));
    EXPECT_EQ(entry["containerId"], "pod1");
    EXPECT_EQ(entry["interface"], "eth0");
    EXPECT_TRUE(entry["result"].is_null());
  }
  EXPECT_EQ(CacheEntry()["result"]["seen"], base::Json({"first", "second", "third"}));

  ASSERT_TRUE(network_->Detach(Pod()).ok());
  ASSERT_EQ(entries.size(), 6u);
  for (size_t i = 3; i < 6; ++i) EXPECT_EQ(entries[i]["result"]["seen"], base::Json({"first", "second", "third"}));
  EXPECT_TRUE(CacheEntry().is_null());
}

TEST_F(NetworkTest, ACrashBetweenAnyTwoCallsIsUndoneByTheNextInstance) {
  int crashes = 0;
  const auto crash_here = [&](const Call& call) {
    std::filesystem::copy(root_ / "cache", root_ / ("crash" + std::to_string(crashes++)));
    return Success(call);
  };
  runner_.AnswerBy(crash_here);
  ASSERT_TRUE(network_->Attach(Pod()).ok());
  ASSERT_TRUE(network_->Detach(Pod()).ok());
  ASSERT_EQ(crashes, 6);
  runner_.TakeCalls();
  runner_.AnswerBy(Success);
  root_.Write("net.d/10.conflist", R"({"name":"changed","plugins":[{"type":"first"}]})");
  for (int i = 0; i < crashes; ++i) {
    const auto next = NetworkOn(root_ / ("crash" + std::to_string(i)));
    EXPECT_THAT(*AttachmentCache(root_ / ("crash" + std::to_string(i))).Ids(), ElementsAre("pod1"));
    ASSERT_TRUE(next->Detach(Pod()).ok());
    const auto calls = runner_.TakeCalls();
    ASSERT_EQ(calls.size(), 3u) << i;
    EXPECT_EQ(calls[0].plugin, "third");
    EXPECT_EQ(calls[2].plugin, "first");
    for (const Call& call : calls) {
      EXPECT_EQ(call.verb, "DEL");
      EXPECT_EQ(call.input["name"], "pods");
      EXPECT_EQ(call.input.contains("prevResult"), i >= 3) << i;
    }
    EXPECT_THAT(*AttachmentCache(root_ / ("crash" + std::to_string(i))).Ids(), IsEmpty());
  }
}

TEST_F(NetworkTest, AFailedAddIsUndoneAndExplained) {
  runner_.AnswerBy([](const Call& call) {
    if (call.verb == "ADD" && call.plugin == "second") {
      return PluginOutput{1, R"({"cniVersion":"1.0.0","code":7,"msg":"no more addresses","details":"pool 10.1/16"})",
                          ""};
    }
    return Success(call);
  });
  const auto result = network_->Attach(Pod());
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().code(), Code::kUnknown);
  EXPECT_EQ(result.error().message(),
            "set up the network of pod1: plugin type=\"second\" failed (add): no more addresses; pool 10.1/16 "
            "(error code 7)");
  const auto calls = runner_.TakeCalls();
  ASSERT_EQ(calls.size(), 5u);
  EXPECT_EQ(calls[2].verb + " " + calls[2].plugin, "DEL third");
  EXPECT_EQ(calls[3].verb + " " + calls[3].plugin, "DEL second");
  EXPECT_EQ(calls[4].verb + " " + calls[4].plugin, "DEL first");
  // What the first plugin gave: it may need that to find its traces.
  EXPECT_EQ(calls[4].input["prevResult"]["seen"], base::Json({"first"}));
  EXPECT_THAT(Ids(), IsEmpty());
}

TEST_F(NetworkTest, AnAddThatCannotBeUndoneKeepsItsEntry) {
  runner_.AnswerBy([](const Call& call) {
    if (call.plugin == "second") return Failure(11, call.verb == "ADD" ? "busy" : "still busy");
    return Success(call);
  });
  const auto result = network_->Attach(Pod());
  ASSERT_FALSE(result.ok());
  EXPECT_THAT(result.error().message(), HasSubstr("failed (add): busy"));
  EXPECT_THAT(result.error().message(), HasSubstr("undoing it failed too"));
  EXPECT_THAT(result.error().message(), HasSubstr("failed (del): still busy"));
  EXPECT_THAT(Ids(), ElementsAre("pod1"));
  EXPECT_EQ(network_->Attach(Pod()).error().code(), Code::kAlreadyExists);

  runner_.TakeCalls();
  runner_.AnswerBy(Success);
  ASSERT_TRUE(network_->Detach(Pod()).ok());
  EXPECT_THAT(runner_.TakeCallNames(), ElementsAre("DEL third", "DEL second", "DEL first"));
  EXPECT_THAT(Ids(), IsEmpty());
  EXPECT_TRUE(network_->Attach(Pod()).ok());
}

TEST_F(NetworkTest, ASecondAttachLeavesTheFirstAlone) {
  ASSERT_TRUE(network_->Attach(Pod()).ok());
  runner_.TakeCalls();
  const auto again = network_->Attach(Pod());
  ASSERT_FALSE(again.ok());
  EXPECT_EQ(again.error().code(), Code::kAlreadyExists);
  EXPECT_THAT(runner_.TakeCalls(), IsEmpty());
  EXPECT_FALSE(CacheEntry()["result"].is_null());
}

TEST_F(NetworkTest, AFailedDetachStopsAndCanBeRepeated) {
  ASSERT_TRUE(network_->Attach(Pod()).ok());
  runner_.TakeCalls();
  runner_.AnswerBy([](const Call& call) { return call.plugin == "second" ? Failure(5, "disk full") : Success(call); });
  const auto status = network_->Detach(Pod());
  ASSERT_FALSE(status.ok());
  EXPECT_EQ(status.error().message(),
            "tear down the network of pod1: plugin type=\"second\" failed (del): disk full (error code 5)");
  EXPECT_THAT(runner_.TakeCallNames(), ElementsAre("DEL third", "DEL second", "DEL second"));
  EXPECT_THAT(Ids(), ElementsAre("pod1"));
  runner_.AnswerBy(Success);
  EXPECT_TRUE(network_->Detach(Pod()).ok());
  EXPECT_THAT(runner_.TakeCallNames(), ElementsAre("DEL third", "DEL second", "DEL first"));
  EXPECT_THAT(Ids(), IsEmpty());
}

// With "plugin_shortcuts".
class ShortcutsTest : public NetworkTest {
 protected:
  void SetUp() override {
    NetworkTest::SetUp();
    InstallPlugin("bridge");
    for (const char* program : {"iptables", "iptables-restore", "ip6tables", "ip6tables-restore"}) {
      InstallPlugin(program);
    }
    options_.plugin_shortcuts = true;
    options_.program_directories = {root_ / "bin"};
    Configure(R"({"cniVersion":"1.0.0","name":"pods","plugins":[{"type":"bridge","ipMasq":true},{"type":"second"}]})");
    runner_.AnswerBy([](const Call& call) { return call.verb.empty() ? PluginOutput() : Success(call); });
  }
};

TEST_F(ShortcutsTest, TheRulesComeAndGoBesideThePlugin) {
  ASSERT_TRUE(network_->Attach(Pod()).ok());
  EXPECT_EQ(CacheEntry()["masquerade"], true);
  auto calls = runner_.TakeCalls();
  ASSERT_EQ(calls.size(), 4u);
  EXPECT_EQ(calls[0].plugin, "bridge");
  EXPECT_EQ(calls[0].input["ipMasq"], false);
  EXPECT_EQ(calls[1].plugin, "iptables-restore");
  EXPECT_THAT(calls[1].text, HasSubstr("-A POSTROUTING -s 10.1.2.3 -j CNI-"));
  EXPECT_EQ(calls[2].plugin, "ip6tables-restore");
  EXPECT_THAT(calls[2].text, HasSubstr("-A POSTROUTING -s fd00::3 -j CNI-"));
  EXPECT_EQ(calls[3].plugin, "second");

  // As they were made, whatever is configured by now.
  options_.plugin_shortcuts = false;
  network_ = NetworkOn(root_ / "cache");
  ASSERT_TRUE(network_->Detach(Pod()).ok());
  calls = runner_.TakeCalls();
  std::vector<std::string> names;
  for (const Call& call : calls) {
    names.push_back(call.plugin);
    if (call.plugin == "bridge") {
      EXPECT_EQ(call.input["ipMasq"], false);
    }
    if (call.plugin == "iptables-restore") {
      EXPECT_THAT(call.text, HasSubstr("-D POSTROUTING -s 10.1.2.3 -j CNI-"));
    }
  }
  EXPECT_THAT(names, UnorderedElementsAre("second", "bridge", "iptables-restore", "ip6tables-restore"));
  EXPECT_THAT(Ids(), IsEmpty());
}

TEST_F(ShortcutsTest, RulesThatCannotBeMadeFailTheAttach) {
  runner_.AnswerBy([](const Call& call) {
    return call.plugin == "ip6tables-restore" && call.text.find("-A ") != std::string::npos
               ? PluginOutput{1, "", "no such table"}
           : call.verb.empty() ? PluginOutput()
                               : Success(call);
  });
  const auto result = network_->Attach(Pod());
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(
      result.error().message(),
      "set up the network of pod1: masquerade the pod's addresses: ip6tables-restore exited with status 1: no such "
      "table");
  EXPECT_THAT(Ids(), IsEmpty());
}

TEST_F(ShortcutsTest, RulesThatStayFailTheDetach) {
  ASSERT_TRUE(network_->Attach(Pod()).ok());
  runner_.AnswerBy([](const Call& call) {
    return call.verb.empty() ? PluginOutput{4, "", "out of memory"} : Success(call);
  });
  const auto detached = network_->Detach(Pod());
  ASSERT_FALSE(detached.ok());
  EXPECT_THAT(detached.error().message(), HasSubstr("iptables exited with status 4: out of memory"));
  EXPECT_THAT(Ids(), ElementsAre("pod1"));
}

TEST_F(ShortcutsTest, ThePluginMakesThemWhereTheProgramIsMissing) {
  std::filesystem::remove(root_ / "bin/ip6tables-restore");
  ASSERT_TRUE(network_->Attach(Pod()).ok());
  EXPECT_EQ(CacheEntry()["masquerade"], false);
  const auto calls = runner_.TakeCalls();
  ASSERT_EQ(calls.size(), 2u);
  EXPECT_EQ(calls[0].input["ipMasq"], true);
}

TEST_F(ShortcutsTest, PortmapIsNotCalledWithoutPortMappings) {
  InstallPlugin("portmap");
  Configure(R"({"cniVersion":"1.0.0","name":"pods","plugins":[{"type":"first"},
      {"type":"portmap","capabilities":{"portMappings":true}},{"type":"second"}]})");
  ASSERT_TRUE(network_->Attach(Pod()).ok());
  ASSERT_TRUE(network_->Check("pod1").ok());
  ASSERT_TRUE(network_->Detach(Pod()).ok());
  EXPECT_THAT(runner_.TakeCallNames(), ElementsAre("ADD first", "ADD second", "CHECK first", "CHECK portmap",
                                                   "CHECK second", "DEL second", "DEL first"));
  Attachment pod = Pod();
  pod.port_mappings = {{"tcp", 80, 8080, ""}};
  ASSERT_TRUE(network_->Attach(pod).ok());
  ASSERT_TRUE(network_->Detach(Pod()).ok());
  EXPECT_THAT(runner_.TakeCallNames(),
              ElementsAre("ADD first", "ADD portmap", "ADD second", "DEL second", "DEL portmap", "DEL first"));
}

TEST_F(ShortcutsTest, PortmapIsCalledWhereItHasSomethingToSay) {
  InstallPlugin("portmap");
  for (const char* plugins : {R"([{"type":"portmap","capabilities":{"portMappings":true}}])",
                              R"([{"type":"first"},{"type":"portmap","runtimeConfig":{"portMappings":[]}}])"}) {
    Configure(R"({"cniVersion":"1.0.0","name":"pods","plugins":)" + std::string(plugins) + "}");
    ASSERT_TRUE(network_->Attach(Pod()).ok());
    EXPECT_THAT(runner_.TakeCallNames(), testing::Contains("ADD portmap"));
    ASSERT_TRUE(network_->Detach(Pod()).ok());
    runner_.TakeCalls();
  }
}

TEST_F(NetworkTest, APluginThatFailsOverAHalfDoneAddIsAskedOnceMore) {
  ASSERT_TRUE(network_->Attach(Pod()).ok());
  runner_.TakeCalls();
  int failures = 0;
  runner_.AnswerBy([&](const Call& call) {
    return call.plugin == "second" && failures++ == 0 ? Failure(999, "Chain does not exist") : Success(call);
  });
  EXPECT_TRUE(network_->Detach(Pod()).ok());
  EXPECT_THAT(runner_.TakeCallNames(), ElementsAre("DEL third", "DEL second", "DEL second", "DEL first"));
  EXPECT_THAT(Ids(), IsEmpty());
}

TEST_F(NetworkTest, APluginThatHangsIsNotAskedOnceMore) {
  ASSERT_TRUE(network_->Attach(Pod()).ok());
  runner_.TakeCalls();
  runner_.AnswerBy([](const Call&) { return base::Error(Code::kDeadlineExceeded, "killed after 120 s"); });
  EXPECT_EQ(network_->Detach(Pod()).error().code(), Code::kDeadlineExceeded);
  EXPECT_THAT(runner_.TakeCallNames(), ElementsAre("DEL third"));
}

TEST_F(NetworkTest, APluginThatKnowsNothingOfTheContainerHasNothingToDelete) {
  ASSERT_TRUE(network_->Attach(Pod()).ok());
  runner_.AnswerBy([](const Call&) { return Failure(3, "unknown container"); });
  EXPECT_TRUE(network_->Detach(Pod()).ok());
  EXPECT_THAT(Ids(), IsEmpty());
}

TEST_F(NetworkTest, ANamespaceThatIsGoneIsDetachedWithoutPath) {
  for (const std::string& path : {std::string(), root_ / "absent", root_ / "net.d/10.conflist"}) {
    ASSERT_TRUE(network_->Attach(Pod()).ok());
    runner_.TakeCalls();
    Attachment pod = Pod();
    pod.namespace_path = path;
    ASSERT_TRUE(network_->Detach(pod).ok());
    const auto calls = runner_.TakeCalls();
    ASSERT_EQ(calls.size(), 3u);
    for (const Call& call : calls) EXPECT_EQ(call.environment.at("CNI_NETNS"), "") << path;
  }
}

TEST_F(NetworkTest, PluginsThatFailWithoutAnErrorObjectAreQuotedBoundedAndPrintable) {
  EXPECT_THAT(AttachError("first", PluginOutput{2, "", ""}),
              HasSubstr("plugin type=\"first\" failed (add): it exited with status 2 and gave no reason"));
  EXPECT_THAT(AttachError("first", PluginOutput{2, "out", "panic: \x1b[31mbad\n"}),
              HasSubstr("it exited with status 2 and printed: panic: \\x1b[31mbad"));
  EXPECT_THAT(AttachError("first", PluginOutput{2, "{\"not\":\"an error\"}", ""}), HasSubstr("printed: {\"not\""));
  EXPECT_THAT(AttachError("first", PluginOutput{139, "", ""}), HasSubstr("it was ended by signal 11"));
  EXPECT_LT(AttachError("first", PluginOutput{1, "", std::string(1 << 20, '\0')}).size(), 2000u);
  EXPECT_LT(AttachError("first", Failure(1, std::string(1 << 20, 'x'))).size(), 2000u);
  EXPECT_THAT(AttachError("first", PluginOutput{1, std::string(1 << 20, '['), ""}), HasSubstr("printed: [[["));
  EXPECT_THAT(AttachError("first", PluginOutput{1, R"({"code":"x","msg":["y"]})", ""}), HasSubstr("it gave no reason"));
  EXPECT_THAT(AttachError("first", PluginOutput{1, R"({"code":-5,"msg":"m\u0000n"})", ""}), HasSubstr("m\\x00n"));
  EXPECT_THAT(Ids(), IsEmpty());
}

TEST_F(NetworkTest, AnErrorOfTheRunnerKeepsItsCode) {
  runner_.AnswerBy([](const Call& call) -> base::Result<PluginOutput> {
    if (call.verb == "ADD") return base::Error(Code::kDeadlineExceeded, "killed after 7 s");
    return Success(call);
  });
  const auto result = network_->Attach(Pod());
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().code(), Code::kDeadlineExceeded);
  EXPECT_EQ(result.error().message(),
            "set up the network of pod1: plugin type=\"first\" failed (add): killed after 7 s");
  EXPECT_THAT(runner_.TakeCallNames(), ElementsAre("ADD first", "DEL third", "DEL second", "DEL first"));
}

TEST_F(NetworkTest, ResultsThatCannotBeUsedAreUndone) {
  for (const std::string& output :
       {std::string(), std::string("garbage"), std::string("[]"), std::string("{}\0", 3), std::string(1 << 20, '{'),
        std::string(R"({"cniVersion":"9.0.0"})"), std::string(R"({"cniVersion":1})"),
        std::string(R"({"ips":[{"address":"nonsense"}]})"), std::string(R"({"ips":5})"), std::string("{}"),
        std::string(R"({"interfaces":[{"name":"net1"}],"ips":[{"address":"10.0.0.1/8","interface":0}]})")}) {
    const std::string message = AttachError("third", PluginOutput{0, output, ""});
    EXPECT_THAT(message, Not(HasSubstr("no error"))) << output.substr(0, 100);
    EXPECT_THAT(message, HasSubstr("gave ")) << output.substr(0, 100);
    EXPECT_THAT(runner_.TakeCallNames(),
                ElementsAre("ADD first", "ADD second", "ADD third", "DEL third", "DEL second", "DEL first"));
    EXPECT_THAT(Ids(), IsEmpty());
  }
}

TEST_F(NetworkTest, AResultWithoutVersionIsOfTheVersionAskedFor) {
  runner_.AnswerBy([](const Call& call) {
    return PluginOutput{0, call.verb == "ADD" ? R"({"ips":[{"address":"10.0.0.1/8"}]})" : "", ""};
  });
  ASSERT_TRUE(network_->Attach(Pod()).ok());
  EXPECT_EQ(runner_.TakeCalls()[1].input["prevResult"]["cniVersion"], "1.0.0");
}

TEST_F(NetworkTest, AResultThatCannotBeRecordedIsUndone) {
  runner_.AnswerBy([&](const Call& call) {
    if (call.verb == "ADD" && call.plugin == "third") {
      std::filesystem::remove(root_ / "cache/pod1.json");
      std::filesystem::create_directory(root_ / "cache/pod1.json");
    } else if (call.verb == "DEL") {
      std::filesystem::remove(root_ / "cache/pod1.json");
    }
    return Success(call);
  });
  const auto result = network_->Attach(Pod());
  ASSERT_FALSE(result.ok());
  EXPECT_THAT(result.error().message(), HasSubstr("record the network attachment of pod1"));
  const auto calls = runner_.TakeCalls();
  ASSERT_EQ(calls.size(), 6u);
  EXPECT_EQ(calls[3].input["prevResult"]["seen"], base::Json({"first", "second", "third"}));
  EXPECT_THAT(Ids(), IsEmpty());
}

TEST_F(NetworkTest, NothingRunsWhenTheIntentCannotBeRecorded) {
  root_.Write("cache", "");
  EXPECT_FALSE(network_->Attach(Pod()).ok());
  EXPECT_THAT(runner_.TakeCalls(), IsEmpty());
}

TEST_F(NetworkTest, NothingRunsWhenAPluginIsMissing) {
  std::filesystem::remove(root_ / "bin/third");
  const auto result = network_->Attach(Pod());
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().code(), Code::kFailedPrecondition);
  EXPECT_EQ(result.error().message(), "set up the network of pod1: the CNI plugin third is not installed in " +
                                          (root_ / "absent") + " or " + (root_ / "bin"));
  EXPECT_THAT(runner_.TakeCalls(), IsEmpty());
  EXPECT_THAT(Ids(), IsEmpty());
}

TEST_F(NetworkTest, ParametersThatWouldBeMisreadAreRefused) {
  std::vector<Attachment> refused;
  const auto with = [&](auto change) {
    refused.push_back(Pod());
    change(refused.back());
  };
  for (const std::string& id : {std::string(), std::string("../pod"), std::string("-pod"), std::string("a/b"),
                                std::string("a\0b", 3), std::string(129, 'a'), std::string("a b")}) {
    with([&](Attachment& pod) { pod.container_id = id; });
  }
  for (const std::string& name : {std::string(), std::string("sixteencharacter"), std::string("."), std::string(".."),
                                  std::string("a/b"), std::string("a b"), std::string("a:1"), std::string("a\0", 2)}) {
    with([&](Attachment& pod) { pod.interface = name; });
  }
  for (const std::string& path : {std::string(), std::string("run/netns/x"), std::string("/run\0x", 6)}) {
    with([&](Attachment& pod) { pod.namespace_path = path; });
  }
  with([](Attachment& pod) { pod.arguments = {{"A", "x;CNI=y"}}; });
  with([](Attachment& pod) { pod.arguments = {{"A", "x=y"}}; });
  with([](Attachment& pod) { pod.arguments = {{"A;B", "x"}}; });
  with([](Attachment& pod) { pod.arguments = {{"", "x"}}; });
  with([](Attachment& pod) { pod.arguments = {{"A", std::string("x\0", 2)}}; });
  with([](Attachment& pod) { pod.capabilities = {{"dns", "{"}}; });
  with([](Attachment& pod) { pod.capabilities = {{"dns", std::string(100000, '[')}}; });
  with([](Attachment& pod) { pod.port_mappings = {{"icmp", 1, 1, ""}}; });
  with([](Attachment& pod) { pod.port_mappings = {{"tcp", 0, 1, ""}}; });
  with([](Attachment& pod) { pod.port_mappings = {{"tcp", 1, 1, "localhost"}}; });
  for (const Attachment& pod : refused) {
    const auto result = network_->Attach(pod);
    ASSERT_FALSE(result.ok()) << &pod - refused.data();
    EXPECT_EQ(result.error().code(), Code::kInvalidArgument) << result.error().message();
  }
  EXPECT_EQ(network_->Detach(refused[1]).error().code(), Code::kInvalidArgument);
  EXPECT_THAT(runner_.TakeCalls(), IsEmpty());
  EXPECT_THAT(Ids(), IsEmpty());
}

TEST_F(NetworkTest, ADamagedEntryIsDetachedByTheConfigurationInForce) {
  for (const char* text : {"", "{\"format\":1}", "garbage"}) {
    root_.Write("cache/pod1.json", text);
    EXPECT_EQ(network_->Attach(Pod()).error().code(), Code::kAlreadyExists);
    EXPECT_THAT(Ids(), ElementsAre("pod1"));
    ASSERT_TRUE(network_->Detach(Pod()).ok());
    EXPECT_THAT(runner_.TakeCallNames(), ElementsAre("DEL third", "DEL second", "DEL first"));
    EXPECT_THAT(Ids(), IsEmpty());
  }
}

TEST_F(NetworkTest, ACachedConfigurationIsCheckedLikeAnyOther) {
  ASSERT_TRUE(network_->Attach(Pod()).ok());
  runner_.TakeCalls();
  base::Json entry = CacheEntry();
  entry["configuration"]["plugins"][0]["type"] = "../../bin/sh";
  root_.Write("cache/pod1.json", entry.dump());
  ASSERT_TRUE(network_->Detach(Pod()).ok());
  for (const Call& call : runner_.TakeCalls()) EXPECT_EQ(call.program, root_ / ("bin/" + call.plugin));
}

TEST_F(NetworkTest, ADamagedEntryWithoutConfigurationInForceIsExplainedAndKept) {
  Configure("{");
  root_.Write("cache/pod1.json", "garbage");
  const auto status = network_->Detach(Pod());
  ASSERT_FALSE(status.ok());
  EXPECT_THAT(status.error().message(), HasSubstr("pod1.json is damaged: it is not JSON"));
  EXPECT_THAT(status.error().message(), HasSubstr("there is no valid CNI configuration file in"));
  EXPECT_THAT(Ids(), ElementsAre("pod1"));
}

TEST_F(NetworkTest, ReadinessSaysWhatIsMissing) {
  EXPECT_TRUE(network_->Ready().ok());
  EXPECT_EQ(base::Json::parse(network_->ConfigurationJson()), base::Json::parse(kConfiguration));

  std::filesystem::remove(root_ / "bin/second");
  EXPECT_THAT(network_->Ready().error().message(), HasSubstr("the CNI plugin second is not installed in "));
  InstallPlugin("second");
  EXPECT_TRUE(network_->Ready().ok());

  for (int i = 0; i < 4; ++i) root_.Write("net.d/" + std::to_string(i) + ".conf", "{}");
  Configure(R"({"name":"pods"})");
  EXPECT_EQ(network_->Ready().error().message(),
            "there is no valid CNI configuration file in " + (root_ / "net.d") +
                ": 0.conf: it has no \"type\"; 1.conf: it has no \"type\"; 10.conflist: it has no \"plugins\"; "
                "and 2 more");
  EXPECT_EQ(network_->ConfigurationJson(), "");

  std::filesystem::remove_all(root_ / "net.d");
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  const std::string expected = "there is no CNI configuration file in " + (root_ / "net.d") +
                               "; a network provider puts one there when it starts";
  while (network_->Ready().error().message() != expected && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  EXPECT_EQ(network_->Ready().error().message(), expected);
  EXPECT_EQ(network_->Attach(Pod()).error().code(), Code::kFailedPrecondition);
  EXPECT_EQ(network_->Attach(Pod()).error().message(), "set up the network of pod1: " + expected);
}

TEST_F(NetworkTest, ACheckHandsEveryPluginTheFinalResult) {
  ASSERT_TRUE(network_->Attach(Pod()).ok());
  const base::Json result = CacheEntry()["result"];
  runner_.TakeCalls();
  ASSERT_TRUE(network_->Check("pod1").ok());
  const auto calls = runner_.TakeCalls();
  ASSERT_EQ(calls.size(), 3u);
  for (const Call& call : calls) {
    EXPECT_EQ(call.verb, "CHECK");
    EXPECT_EQ(call.environment.at("CNI_CONTAINERID"), "pod1");
    EXPECT_EQ(call.input["prevResult"], result);
  }
  EXPECT_EQ(calls[0].plugin, "first");
  EXPECT_EQ(network_->Check("pod2").error().code(), Code::kNotFound);

  runner_.AnswerBy([](const Call& call) { return call.plugin == "second" ? Failure(11, "no route") : Success(call); });
  EXPECT_THAT(network_->Check("pod1").error().message(), HasSubstr("plugin type=\"second\" failed (check): no route"));
}

TEST_F(NetworkTest, ChecksAreLeftOutWhereTheConfigurationOrItsVersionHasNone) {
  for (const char* start : {R"("cniVersion":"1.0.0","disableCheck":true)",
                            R"("cniVersion":"1.0.0","disableCheck":"true")", R"("cniVersion":"0.3.1")"}) {
    Configure("{" + std::string(start) + R"(,"name":"pods","plugins":[{"type":"first"}]})");
    ASSERT_TRUE(network_->Attach(Pod()).ok());
    runner_.TakeCalls();
    EXPECT_TRUE(network_->Check("pod1").ok());
    EXPECT_THAT(runner_.TakeCalls(), IsEmpty()) << start;
    ASSERT_TRUE(network_->Detach(Pod()).ok());
  }
}

TEST_F(NetworkTest, GarbageIsWhatBelongsToNoPod) {
  Configure(R"({"cniVersion":"1.1.0","name":"pods","plugins":[{"type":"first"},{"type":"second"}]})");
  for (const char* id : {"pod1", "pod2", "pod3"}) ASSERT_TRUE(network_->Attach(Pod(id)).ok());
  runner_.TakeCalls();
  ASSERT_TRUE(network_->CollectGarbage([](const std::string& id) { return id != "pod2"; }).ok());
  EXPECT_THAT(Ids(), ElementsAre("pod1", "pod3"));
  const auto calls = runner_.TakeCalls();
  ASSERT_EQ(calls.size(), 4u);
  EXPECT_EQ(calls[0].verb + " " + calls[0].environment.at("CNI_CONTAINERID"), "DEL pod2");
  EXPECT_EQ(calls[2].verb + " " + calls[2].plugin, "GC first");
  EXPECT_EQ(calls[3].verb + " " + calls[3].plugin, "GC second");
  EXPECT_EQ(calls[3].environment.count("CNI_CONTAINERID"), 0u);
  EXPECT_EQ(calls[3].input["cni.dev/valid-attachments"],
            base::Json::parse(R"([{"containerID":"pod1","ifname":"eth0"},{"containerID":"pod3","ifname":"eth0"}])"));
}

TEST_F(NetworkTest, AttachmentsOfAnotherNetworkAreNotToldInGarbageCollection) {
  ASSERT_TRUE(network_->Attach(Pod()).ok());
  Configure(R"({"cniVersion":"1.1.0","name":"other","plugins":[{"type":"first"}]})");
  runner_.TakeCalls();
  ASSERT_TRUE(network_->CollectGarbage([](const std::string&) { return true; }).ok());
  const auto calls = runner_.TakeCalls();
  ASSERT_EQ(calls.size(), 1u);
  EXPECT_EQ(calls[0].input["cni.dev/valid-attachments"], base::Json::array());
}

TEST_F(NetworkTest, GarbageCollectionIsLeftToTheCacheWhereTheConfigurationOrItsVersionHasNone) {
  for (const char* start : {R"("cniVersion":"1.1.0","disableGC":true)", R"("cniVersion":"1.0.0")"}) {
    Configure("{" + std::string(start) + R"(,"name":"pods","plugins":[{"type":"first"}]})");
    ASSERT_TRUE(network_->Attach(Pod()).ok());
    runner_.TakeCalls();
    ASSERT_TRUE(network_->CollectGarbage([](const std::string&) { return false; }).ok());
    EXPECT_THAT(runner_.TakeCallNames(), ElementsAre("DEL first")) << start;
    EXPECT_THAT(Ids(), IsEmpty());
  }
}

TEST_F(NetworkTest, APluginThatCannotCollectDoesNotKeepTheOthersFromIt) {
  Configure(R"({"cniVersion":"1.1.0","name":"pods","plugins":[{"type":"first"},{"type":"second"}]})");
  runner_.AnswerBy([](const Call& call) { return call.plugin == "first" ? Failure(11, "busy") : Success(call); });
  EXPECT_THAT(network_->CollectGarbage([](const std::string&) { return true; }).error().message(), HasSubstr("busy"));
  EXPECT_THAT(runner_.TakeCallNames(), ElementsAre("GC first", "GC second"));
}

TEST_F(NetworkTest, NothingIsAttachedWhileGarbageIsCollected) {
  Configure(R"({"cniVersion":"1.1.0","name":"pods","plugins":[{"type":"first"}]})");
  std::promise<void> collecting;
  std::promise<void> go_on;
  runner_.AnswerBy([&](const Call& call) {
    if (call.verb == "GC") {
      collecting.set_value();
      go_on.get_future().wait();
    }
    return Success(call);
  });
  std::thread collect([&] { EXPECT_TRUE(network_->CollectGarbage([](const std::string&) { return true; }).ok()); });
  collecting.get_future().wait();
  std::thread attach([&] { EXPECT_TRUE(network_->Attach(Pod()).ok()); });
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  EXPECT_THAT(runner_.TakeCallNames(), ElementsAre("GC first"));
  go_on.set_value();
  collect.join();
  attach.join();
  EXPECT_THAT(runner_.TakeCallNames(), ElementsAre("ADD first"));
}

TEST_F(NetworkTest, ReadinessIsThePluginsToTellFromVersion110On) {
  Configure(R"({"cniVersion":"1.1.0","name":"pods","plugins":[{"type":"first"},{"type":"second"}]})");
  EXPECT_TRUE(network_->Ready().ok());
  EXPECT_THAT(runner_.TakeCallNames(), ElementsAre("STATUS first", "STATUS second"));
  // "The plugin is not available" (section 5).
  runner_.AnswerBy([](const Call& call) { return call.plugin == "second" ? Failure(50, "no agent") : Success(call); });
  EXPECT_THAT(network_->Ready().error().message(), HasSubstr("plugin type=\"second\" failed (status): no agent"));
  Configure(kConfiguration);
  runner_.TakeCalls();
  EXPECT_TRUE(network_->Ready().ok());
  EXPECT_THAT(runner_.TakeCalls(), IsEmpty());
}

TEST_F(NetworkTest, PodsAreAttachedSideBySide) {
  std::atomic<int> inside{0};
  std::promise<void> both;
  const std::shared_future<void> both_are_inside = both.get_future().share();
  runner_.AnswerBy([&](const Call& call) {
    if (call.verb == "ADD" && call.plugin == "first") {
      if (++inside == 2) both.set_value();
      EXPECT_EQ(both_are_inside.wait_for(std::chrono::seconds(10)), std::future_status::ready);
    }
    return Success(call);
  });
  std::thread other([&] { EXPECT_TRUE(network_->Attach(Pod("pod2")).ok()); });
  EXPECT_TRUE(network_->Attach(Pod("pod1")).ok());
  other.join();
  EXPECT_THAT(Ids(), ElementsAre("pod1", "pod2"));
}

TEST_F(NetworkTest, ADetachWaitsForTheAttachOfTheSamePod) {
  std::promise<void> started;
  std::promise<void> go_on;
  std::shared_future<void> may_go_on = go_on.get_future().share();
  std::atomic<bool> first = true;
  runner_.AnswerBy([&](const Call& call) {
    if (first.exchange(false)) {
      started.set_value();
      may_go_on.wait();
    }
    return Success(call);
  });
  std::thread attach([&] { EXPECT_TRUE(network_->Attach(Pod()).ok()); });
  started.get_future().wait();
  std::thread detach([&] { EXPECT_TRUE(network_->Detach(Pod()).ok()); });
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  go_on.set_value();
  attach.join();
  detach.join();
  EXPECT_THAT(runner_.TakeCallNames(),
              ElementsAre("ADD first", "ADD second", "ADD third", "DEL third", "DEL second", "DEL first"));
  EXPECT_THAT(Ids(), IsEmpty());
}

}  // namespace
}  // namespace cni
