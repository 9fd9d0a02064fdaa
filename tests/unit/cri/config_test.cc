#include "cri/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <regex>
#include <sstream>
#include <string>
#include <vector>

#include "base/files.h"

namespace {

using cri::Config;
using cri::ConfigJson;
using cri::LoadConfig;
using cri::ParseConfig;
using cri::RuntimeHandler;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

Config Parsed(const std::string& text) {
  base::Result<Config> config = ParseConfig(text, "config.toml");
  if (config.ok()) return *std::move(config);
  ADD_FAILURE() << config.error().message();
  return {};
}

// The message with which `text` is refused.
std::string Refusal(const std::string& text) {
  const base::Result<Config> config = ParseConfig(text, "config.toml");
  if (config.ok()) return "not refused";
  EXPECT_EQ(config.error().code(), base::Code::kInvalidArgument);
  return config.error().message();
}

std::string Content(const std::string& path) {
  base::Result<std::string> content = base::ReadFile(path, 1 << 20);
  if (content.ok()) return *std::move(content);
  ADD_FAILURE() << content.error().message();
  return "";
}

std::vector<std::string> Keys() {
  std::vector<std::string> keys;
  const auto json = nlohmann::ordered_json::parse(ConfigJson(Config()));
  for (const auto& [key, value] : json.items()) keys.push_back(key);
  return keys;
}

TEST(Config, OfAnEmptyFileIsTheDefaults) {
  EXPECT_EQ(ConfigJson(Parsed("")), ConfigJson(Config()));
}

TEST(Config, OfAMissingFileIsTheDefaults) {
  const base::Result<Config> config = LoadConfig("/nonexistent/config.toml");
  ASSERT_TRUE(config.ok()) << config.error().message();
  EXPECT_EQ(ConfigJson(*config), ConfigJson(Config()));
}

TEST(Config, OfAnUnreadableFileIsAnError) {
  const base::Result<Config> config = LoadConfig("/");
  ASSERT_FALSE(config.ok());
  EXPECT_THAT(config.error().message(), StartsWith("read the configuration: "));
}

TEST(Config, DefaultsAreThoseOfThePathsThatUsersKnow) {
  const Config config;
  EXPECT_EQ(config.socket, "/run/cri-nspawn/cri-nspawn.sock");
  EXPECT_EQ(config.group, "");
  EXPECT_EQ(config.state_directory, "/var/lib/cri-nspawn");
  EXPECT_EQ(config.runtime_directory, "/run/cri-nspawn");
  EXPECT_EQ(config.images.root, "/var/lib/cri-nspawn/images");
  EXPECT_EQ(config.images.hosts_directory, "/etc/cri-nspawn/certs.d");
  EXPECT_EQ(config.network.configuration_directory, "/etc/cni/net.d");
  EXPECT_THAT(config.network.plugin_directories, ElementsAre("/opt/cni/bin", "/usr/lib/cni"));
  EXPECT_EQ(config.network.cache_directory, "/var/lib/cri-nspawn/cni");
}

TEST(Config, TakesEveryKey) {
  const Config config = Parsed(R"(
state_directory = "/srv/state"
runtime_directory = "/run/other"
log_level = "debug"
[server]
socket = "/run/other.sock"
group = "operators"
[streaming]
address = "::1"
port = 10010
idle_timeout = "1h"
creation_timeout = "10s"
tls_certificate = "/srv/tls/server.crt"
tls_key = "/srv/tls/server.key"
tls_client_ca = "/srv/tls/clients.crt"
[image]
hosts_directory = ""
signature_policy = "/etc/containers/policy.json"
import_directory = "/srv/import"
pinned = ["registry.example/base/*"]
parallel_layers = 8
parallel_layers_per_image = 5
parallel_layers_per_registry = 7
most_layer_bytes = "2G"
most_layer_entries = 1000
idle_timeout = "2min"
[cni]
configuration_directory = "/srv/net.d"
plugin_directories = ["/srv/bin"]
plugin_timeout = "1500ms"
plugin_shortcuts = true
network_namespace_directory = "/run/other-netns"
[journal]
container_output = true
container_lines = 100
all_lines = 300
[tracing]
endpoint = "unix:///run/collector.sock"
sampling_rate_per_million = 20
)");
  EXPECT_EQ(config.state_directory, "/srv/state");
  EXPECT_EQ(config.runtime_directory, "/run/other");
  EXPECT_EQ(config.log_level, base::LogLevel::kDebug);
  EXPECT_EQ(config.socket, "/run/other.sock");
  EXPECT_EQ(config.group, "operators");
  EXPECT_EQ(config.streaming.address, "::1");
  EXPECT_EQ(config.streaming.port, 10010);
  EXPECT_EQ(config.streaming.idle_timeout, std::chrono::hours(1));
  EXPECT_EQ(config.streaming.creation_timeout, std::chrono::seconds(10));
  EXPECT_EQ(config.streaming.tls.certificate, "/srv/tls/server.crt");
  EXPECT_EQ(config.streaming.tls.key, "/srv/tls/server.key");
  EXPECT_EQ(config.streaming.tls.client_ca, "/srv/tls/clients.crt");
  EXPECT_EQ(config.images.root, "/srv/state/images");
  EXPECT_EQ(config.images.hosts_directory, "");
  EXPECT_EQ(config.images.signature_policy, "/etc/containers/policy.json");
  EXPECT_EQ(config.images.import_directory, "/srv/import");
  EXPECT_THAT(config.pinned_images, ElementsAre("registry.example/base/*"));
  EXPECT_EQ(config.images.parallel_layers, 8U);
  EXPECT_EQ(config.images.parallel_layers_per_image, 5U);
  EXPECT_EQ(config.images.parallel_layers_per_registry, 7U);
  EXPECT_EQ(config.images.most_layer_bytes, uint64_t{2} << 30);
  EXPECT_EQ(config.images.most_layer_entries, 1000U);
  EXPECT_EQ(config.images.idle_timeout, std::chrono::seconds(120));
  EXPECT_EQ(config.network.configuration_directory, "/srv/net.d");
  EXPECT_THAT(config.network.plugin_directories, ElementsAre("/srv/bin"));
  EXPECT_EQ(config.network.plugin_timeout, std::chrono::milliseconds(1500));
  EXPECT_TRUE(config.network.plugin_shortcuts);
  EXPECT_EQ(config.network.cache_directory, "/srv/state/cni");
  EXPECT_EQ(config.network_namespace_directory, "/run/other-netns");
  EXPECT_TRUE(config.journal.enabled);
  EXPECT_EQ(config.journal.container_lines, 100U);
  EXPECT_EQ(config.journal.all_lines, 300U);
  EXPECT_EQ(config.trace_endpoint, "unix:///run/collector.sock");
  EXPECT_EQ(config.trace_sampling_rate, 20U);
}

TEST(Config, TheStreamingServerListensOnLoopbackWithoutTls) {
  const Config config;
  EXPECT_EQ(config.streaming.address, "127.0.0.1");
  EXPECT_EQ(config.streaming.port, 0);
  EXPECT_EQ(config.streaming.tls.certificate, "");
  EXPECT_EQ(config.streaming.idle_timeout, std::chrono::hours(4));
}

TEST(Config, TheStreamingServersKeysGoTogether) {
  EXPECT_EQ(Refusal("streaming.address = \"localhost\""),
            "config.toml:1: streaming.address is \"localhost\"; it must be an IP address");
  EXPECT_EQ(Refusal("streaming.tls_certificate = \"/a\""),
            "config.toml: streaming.tls_certificate and streaming.tls_key need each other");
  EXPECT_EQ(Refusal("streaming.tls_key = \"/a\""),
            "config.toml: streaming.tls_certificate and streaming.tls_key need each other");
  EXPECT_EQ(Refusal("streaming.tls_client_ca = \"/a\""),
            "config.toml: streaming.tls_client_ca needs streaming.tls_certificate");
}

TEST(Config, NormalizesPaths) {
  EXPECT_EQ(Parsed(R"(state_directory = "/srv//a/./b/../c/")").state_directory, "/srv/a/c");
}

TEST(Config, TakesSizesInBytesAndUnits) {
  EXPECT_EQ(Parsed("image.most_layer_bytes = 1").images.most_layer_bytes, 1U);
  EXPECT_EQ(Parsed("image.most_layer_bytes = \"7\"").images.most_layer_bytes, 7U);
  EXPECT_EQ(Parsed("image.most_layer_bytes = \"512 M\"").images.most_layer_bytes, uint64_t{512} << 20);
  for (const char* wrong : {"0", "-1", "\"\"", "\"G\"", "\"1g\"", "\"1.5G\"", "\"0G\"", "\"99999999T\"", "\"-1G\""}) {
    EXPECT_THAT(Refusal(std::string("image.most_layer_bytes = ") + wrong),
                StartsWith("config.toml:1: image.most_layer_bytes must be a number of bytes above 0, or"))
        << wrong;
  }
}

TEST(Config, RefusesUnknownKeysAndSaysWhichIsMeant) {
  EXPECT_EQ(Refusal("log_level = \"info\"\n\n[image]\nparalel = 3\n"),
            "config.toml:4: unknown key \"image.paralel\"; did you mean \"image.parallel_layers\"?");
  EXPECT_EQ(Refusal("parallel_layers = 3"),
            "config.toml:1: unknown key \"parallel_layers\"; did you mean \"image.parallel_layers\"?");
  EXPECT_EQ(Refusal("[images]\nparallel_layers = 3"),
            "config.toml:1: unknown table \"images\"; did you mean \"image\"?");
  EXPECT_EQ(Refusal("loglevel = \"info\""), "config.toml:1: unknown key \"loglevel\"; did you mean \"log_level\"?");
}

TEST(Config, RefusesUnknownKeysThatResembleNone) {
  EXPECT_EQ(Refusal("x = 1"), "config.toml:1: unknown key \"x\"");
  EXPECT_EQ(Refusal("[plugins.\"io.containerd.grpc.v1.cri\"]"), "config.toml:1: unknown table \"plugins\"");
  EXPECT_EQ(Refusal("[image.sandbox_mode]"), "config.toml:1: unknown table \"image.sandbox_mode\"");
}

TEST(Config, RefusesValuesOfAnotherType) {
  EXPECT_EQ(Refusal("\nlog_level = 3"), "config.toml:2: log_level must be a string, not an integer");
  EXPECT_EQ(Refusal("image = true"), "config.toml:1: image must be a table, not a boolean");
  EXPECT_EQ(Refusal("[server.socket]"), "config.toml:1: server.socket must be a string, not a table");
  EXPECT_EQ(Refusal("image.parallel_layers = 2.5"),
            "config.toml:1: image.parallel_layers must be an integer, not a floating-point number");
  EXPECT_EQ(Refusal("cni.plugin_directories = \"/opt\""),
            "config.toml:1: cni.plugin_directories must be an array of paths, not a string");
  EXPECT_EQ(Refusal("cni.plugin_directories = [\"/opt\", 1]"),
            "config.toml:1: cni.plugin_directories must be a string, not an integer");
  EXPECT_EQ(Refusal("image.idle_timeout = 60"),
            "config.toml:1: image.idle_timeout must be a string with a duration like \"90s\", not an integer");
  EXPECT_EQ(Refusal("server.group = 2026-11-22"), "config.toml:1: server.group must be a string, not a date or time");
}

TEST(Config, RefusesValuesOutsideTheirRange) {
  EXPECT_EQ(Refusal("image.parallel_layers = 0"), "config.toml:1: image.parallel_layers is 0; it must be from 1 to 64");
  EXPECT_EQ(Refusal("image.parallel_layers = 65"),
            "config.toml:1: image.parallel_layers is 65; it must be from 1 to 64");
  EXPECT_EQ(Refusal("image.most_layer_entries = -1"),
            "config.toml:1: image.most_layer_entries is -1; it must be from 1 to 1000000000");
  EXPECT_EQ(Refusal("cni.plugin_timeout = \"2h\""),
            "config.toml:1: cni.plugin_timeout is 2h; it must be from 1s to 3600s");
  EXPECT_EQ(Refusal("image.idle_timeout = \"1500ms\""),
            "config.toml:1: image.idle_timeout is 1500ms; it must be whole seconds");
  EXPECT_THAT(Refusal("image.idle_timeout = \"sixty\""), HasSubstr("it must be a whole number with a unit"));
  EXPECT_EQ(Refusal("log_level = \"verbose\""),
            "config.toml:1: log_level is \"verbose\"; it must be \"error\", \"warning\", \"notice\", \"info\" or "
            "\"debug\"");
  EXPECT_EQ(Refusal("state_directory = \"state\""),
            "config.toml:1: state_directory is \"state\"; it must be an absolute path");
  EXPECT_EQ(Refusal("state_directory = \"\""), "config.toml:1: state_directory is \"\"; it must be an absolute path");
  EXPECT_EQ(Refusal("cni.plugin_directories = []"),
            "config.toml:1: cni.plugin_directories must name at least one directory");
  EXPECT_EQ(Refusal("server.socket = \"/" + std::string(107, 'x') + "\""),
            "config.toml:1: server.socket has 108 characters; a socket's path has at most 107");
  EXPECT_THAT(Refusal("state_directory = \"/" + std::string(5000, 'x') + "\""),
              HasSubstr("is longer than a path may be"));
  EXPECT_THAT(Refusal("state_directory = \"/a\\u0000b\""), HasSubstr("must not have a zero byte"));
}

TEST(Config, ReportsTheEarliestMistake) {
  EXPECT_THAT(Refusal("[server]\nsocket = 1\n[cni]\nplugin_timeout = 2\n"), StartsWith("config.toml:2: server.socket"));
}

TEST(Config, RefusesBrokenTomlWithItsLine) {
  EXPECT_THAT(Refusal("log_level = \"info\"\nlog_level = \"debug\""), StartsWith("config.toml:2: "));
  EXPECT_THAT(Refusal("log_level = \"info"), StartsWith("config.toml:1: "));
  EXPECT_THAT(Refusal("[image"), StartsWith("config.toml:1: "));
}

TEST(Config, EscapesWhatAMistakeQuotes) {
  EXPECT_THAT(Refusal("\"a\\u001b[31m\" = 1"), HasSubstr("\\x1b"));
}

TEST(RuntimeHandlers, AreTheDefaultOneAndThoseOfTheFile) {
  EXPECT_EQ(Config().runtime_handlers.size(), 1U);
  const Config config = Parsed(R"(
[runtime_handlers.strict]
seccomp = "/etc/strict.json"
capabilities = ["CHOWN", "cap_kill"]
user_namespaces = "required"
[runtime_handlers."vm-like2"]
[runtime_handlers.""]
seccomp = "unconfined"
privileged_without_host_devices = true
)");
  ASSERT_EQ(config.runtime_handlers.size(), 3U);
  const RuntimeHandler& strict = config.runtime_handlers.at("strict");
  EXPECT_EQ(strict.seccomp, "/etc/strict.json");
  EXPECT_EQ(strict.capabilities, (uint64_t{1} << 0) | (uint64_t{1} << 5));
  EXPECT_EQ(strict.user_namespaces, RuntimeHandler::UserNamespaces::kRequired);
  EXPECT_FALSE(strict.privileged_without_host_devices);
  EXPECT_EQ(config.runtime_handlers.at("vm-like2").seccomp, "default");
  EXPECT_EQ(config.runtime_handlers.at("").seccomp, "unconfined");
  EXPECT_TRUE(config.runtime_handlers.at("").privileged_without_host_devices);
}

TEST(RuntimeHandlers, RefuseWhatDoesNotFit) {
  EXPECT_THAT(Refusal("[runtime_handlers.Big]"), HasSubstr("a handler's name has only a-z"));
  EXPECT_THAT(Refusal("runtime_handlers.a = 1"), HasSubstr("runtime_handlers.a must be a table"));
  EXPECT_THAT(Refusal("[runtime_handlers.a]\nseccom = 1"), HasSubstr("unknown key \"runtime_handlers.a.seccom\""));
  EXPECT_THAT(Refusal("[runtime_handlers.a]\nseccomp = \"x\""), HasSubstr("\"default\", \"unconfined\" or"));
  EXPECT_THAT(Refusal("[runtime_handlers.a]\ncapabilities = [\"FLY\"]"), HasSubstr("\"FLY\", which is no capability"));
  EXPECT_THAT(Refusal("[runtime_handlers.a]\nuser_namespaces = \"yes\""), HasSubstr("\"allowed\", \"required\""));
  EXPECT_THAT(Refusal("[runtime_handlers.a]\nprivileged_without_host_devices = 1"), HasSubstr("true or false"));
}

TEST(Config, NoDirectoriesSwitchCdiOff) {
  EXPECT_THAT(Config().cdi_directories, ElementsAre("/etc/cdi", "/var/run/cdi"));
  EXPECT_TRUE(Parsed("cdi.directories = []").cdi_directories.empty());
}

TEST(ConfigJson, ShowsTheValuesInForce) {
  const auto json =
      nlohmann::json::parse(ConfigJson(Parsed("image.parallel_layers = 7\ncni.plugin_timeout = \"1500ms\"")));
  EXPECT_EQ(json.at("image.parallel_layers"), 7);
  EXPECT_EQ(json.at("cni.plugin_timeout"), "1500ms");
  EXPECT_EQ(json.at("image.idle_timeout"), "60s");
  EXPECT_EQ(json.at("log_level"), "info");
}

// The keys that the shipped file has, all of them commented out, and the file with these comments taken away.
struct ShippedFile {
  std::vector<std::string> keys;
  std::string uncommented;
};

ShippedFile ReadShippedFile() {
  ShippedFile shipped;
  const std::regex key_line("#([a-z_]+) = .*");
  const std::regex table_line(R"x(\[([a-z_."]+)\])x");
  std::istringstream lines(Content(PACKAGING "/config.toml"));
  std::string table;
  for (std::string line; std::getline(lines, line);) {
    std::smatch match;
    if (std::regex_match(line, match, key_line)) {
      shipped.keys.push_back(table + match[1].str());
      line.erase(0, 1);
    } else if (std::regex_match(line, match, table_line)) {
      table = match[1].str() + ".";
    } else {
      EXPECT_TRUE(line.empty() || line == "#" || line.substr(0, 2) == "# ") << line;
    }
    shipped.uncommented += line + "\n";
  }
  return shipped;
}

TEST(ShippedConfiguration, DocumentsEveryKeyInOrder) {
  EXPECT_EQ(ReadShippedFile().keys, Keys());
}

TEST(ShippedConfiguration, ShowsTheDefaults) {
  EXPECT_EQ(ConfigJson(Parsed(ReadShippedFile().uncommented)), ConfigJson(Config()));
}

TEST(ShippedConfiguration, ChangesNothingAsItIs) {
  EXPECT_EQ(ConfigJson(Parsed(Content(PACKAGING "/config.toml"))), ConfigJson(Config()));
}

TEST(ManualPage, DescribesEveryKeyWithItsDefault) {
  const std::string page =
      std::regex_replace(Content(PACKAGING "/cri-nspawn-config.toml.5"), std::regex(R"(\\-)"), "-");
  const std::string shipped = ReadShippedFile().uncommented;
  for (const std::string& key : Keys()) {
    const std::string name = key.substr(key.rfind('.') + 1);
    std::smatch line;
    ASSERT_TRUE(std::regex_search(shipped, line, std::regex("(^|\n)" + name + " = ([^\n]*)")));
    EXPECT_THAT(page, HasSubstr("\n\\fB" + name + " = " + line[2].str() + "\\fP\n"));
  }
}

}  // namespace
