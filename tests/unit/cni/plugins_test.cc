// The whole chain with the reference plugins, in a network and mount namespace of this program's own: what they leave
// behind goes away with it.

#include <arpa/inet.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <functional>
#include <future>
#include <optional>
#include <thread>

#include "base/fd.h"
#include "base/files.h"
#include "base/json.h"
#include "base/text.h"
#include "cni/attachment_cache.h"
#include "cni/namespaces.h"
#include "cni/network.h"
#include "tests/unit/cni/temporary_directory.h"

namespace cni {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

constexpr char kPlugins[] = "/usr/lib/cni";

std::string reason_to_skip;

// Starts plugins straight from the test. Output and errors go to files, which need no reading while it runs.
class SpawningRunner : public PluginRunner {
 public:
  // When it gives an exit code, the plugin is not started and counts as ended with that.
  std::function<std::optional<int>(const PluginCall&)> instead = [](const PluginCall&) { return std::nullopt; };

  base::Result<PluginOutput> Run(const PluginCall& call) override {
    if (const auto exit_code = instead(call)) return PluginOutput{*exit_code, "", ""};
    const TemporaryDirectory directory;
    directory.Write("in", call.standard_input);
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    const std::array<std::string, 3> files = {directory / "in", directory / "out", directory / "err"};
    ::posix_spawn_file_actions_addopen(&actions, 0, files[0].c_str(), O_RDONLY, 0);
    ::posix_spawn_file_actions_addopen(&actions, 1, files[1].c_str(), O_WRONLY | O_CREAT, 0600);
    ::posix_spawn_file_actions_addopen(&actions, 2, files[2].c_str(), O_WRONLY | O_CREAT, 0600);
    std::vector<char*> environment;
    for (const std::string& variable : call.environment) environment.push_back(const_cast<char*>(variable.c_str()));
    environment.push_back(nullptr);
    std::vector<char*> arguments = {const_cast<char*>(call.program.c_str())};
    for (const std::string& argument : call.arguments) arguments.push_back(const_cast<char*>(argument.c_str()));
    arguments.push_back(nullptr);
    pid_t pid = -1;
    const int error =
        ::posix_spawn(&pid, call.program.c_str(), &actions, nullptr, arguments.data(), environment.data());
    ::posix_spawn_file_actions_destroy(&actions);
    if (error != 0) return base::Error::FromErrno(error, "start " + call.program);
    int status = 0;
    if (::waitpid(pid, &status, 0) != pid) return base::ErrnoError("wait for " + call.program);
    PluginOutput output;
    output.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
    ASSIGN_OR_RETURN(output.standard_output, base::ReadFile(files[1], 1 << 20));
    ASSIGN_OR_RETURN(output.standard_error, base::ReadFile(files[2], 1 << 20));
    return output;
  }
};

// What a program prints, here or in the network namespace at `path`.
std::string Output(const std::string& command, const std::string& path = "") {
  const std::string whole = path.empty() ? command : "nsenter --net=" + path + " " + command;
  const std::unique_ptr<FILE, int (*)(FILE*)> pipe(::popen((whole + " 2>&1").c_str(), "r"), &::pclose);
  std::string text;
  std::array<char, 4096> buffer{};
  while (pipe != nullptr && ::fgets(buffer.data(), buffer.size(), pipe.get()) != nullptr) text += buffer.data();
  return text;
}

// Runs `action` in a thread of its own that is in the network namespace at `path`.
void InNamespace(const std::string& path, const std::function<void()>& action) {
  std::thread([&] {
    const base::UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    ASSERT_TRUE(fd);
    ASSERT_EQ(::setns(fd.get(), CLONE_NEWNET), 0);
    action();
  }).join();
}

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t length = 0;
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};

SocketAddress AddressFrom(const std::string& text, uint16_t port) {
  SocketAddress address;
  if (text.find(':') == std::string::npos) {
    auto* in = reinterpret_cast<sockaddr_in*>(&address.storage);
    in->sin_family = AF_INET;
    in->sin_port = htons(port);
    EXPECT_EQ(::inet_pton(AF_INET, text.c_str(), &in->sin_addr), 1) << text;
    address.length = sizeof *in;
  } else {
    auto* in = reinterpret_cast<sockaddr_in6*>(&address.storage);
    in->sin6_family = AF_INET6;
    in->sin6_port = htons(port);
    EXPECT_EQ(::inet_pton(AF_INET6, text.c_str(), &in->sin6_addr), 1) << text;
    address.length = sizeof *in;
  }
  return address;
}

base::UniqueFd Listen(const std::string& address, uint16_t port) {
  const SocketAddress at = AddressFrom(address, port);
  base::UniqueFd fd(::socket(at.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0));
  EXPECT_EQ(::bind(fd.get(), at.get(), at.length), 0) << std::strerror(errno);
  EXPECT_EQ(::listen(fd.get(), 16), 0);
  return fd;
}

// Whether a connection comes about within a second.
bool Connects(const std::string& address, uint16_t port) {
  const SocketAddress to = AddressFrom(address, port);
  const base::UniqueFd fd(::socket(to.storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (::connect(fd.get(), to.get(), to.length) == 0) return true;
  if (errno != EINPROGRESS) return false;
  pollfd poll_fd{fd.get(), POLLOUT, 0};
  if (::poll(&poll_fd, 1, 1000) != 1) return false;
  int error = -1;
  socklen_t length = sizeof error;
  return ::getsockopt(fd.get(), SOL_SOCKET, SO_ERROR, &error, &length) == 0 && error == 0;
}

// The same once the bridge's own IPv6 address has passed duplicate address detection.
bool ConnectsInTime(const std::string& address, uint16_t port) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (!Connects(address, port)) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return true;
}

// Without and with "plugin_shortcuts".
class PluginsTest : public testing::TestWithParam<bool> {
 protected:
  void SetUp() override {
    if (!reason_to_skip.empty()) GTEST_SKIP() << reason_to_skip;
    // The configuration as it is shipped, but for the place where addresses are kept.
    base::Json configuration = base::Json::parse(*base::ReadFile(DEFAULT_CONFIGURATION, 1 << 20));
    configuration["plugins"][0]["ipam"]["dataDir"] = root_ / "addresses";
    root_.Write("net.d/99-cri-nspawn.conflist", configuration.dump());
    CreateNetwork();
    rules_before_ = Rules();
  }

  void CreateNetwork() { network_ = NetworkWith(GetParam()); }

  std::unique_ptr<Network> NetworkWith(bool shortcuts) {
    NetworkOptions options;
    options.configuration_directory = root_ / "net.d";
    options.plugin_directories = {kPlugins};
    options.cache_directory = root_ / "cache";
    options.plugin_shortcuts = shortcuts;
    return Network::Create(options, runner_);
  }

  void TearDown() override {
    if (const auto names = namespaces_.List(""); names.ok()) {
      for (const std::string& name : *names) EXPECT_TRUE(namespaces_.Remove(name).ok());
    }
  }

  static std::string Rules() { return Output("iptables-save") + Output("ip6tables-save"); }

  // As after a kill at any time in an ADD, when no result is recorded yet.
  void ForgetResult(const std::string& id) {
    const AttachmentCache cache(root_ / "cache");
    auto cached = cache.Read(id);
    ASSERT_TRUE(cached.ok());
    cached->result = nullptr;
    ASSERT_TRUE(cache.Update(*cached).ok());
  }

  // And chains, but for those that portmap makes for all pods.
  static std::vector<std::string> RulesOfPods() {
    std::vector<std::string> found;
    const std::string rules = Rules();
    for (const std::string_view line : base::Split(rules, '\n')) {
      const bool of_pods = line.starts_with(":CNI-") && !line.starts_with(":CNI-HOSTPORT-");
      if (of_pods || line.find("id: ") != std::string_view::npos) found.emplace_back(line);
    }
    return found;
  }

  Attachment Pod(const std::string& id) {
    auto path = namespaces_.Create(id, {});
    EXPECT_TRUE(path.ok()) << path.error().message();
    Attachment attachment;
    attachment.container_id = id;
    attachment.namespace_path = *path;
    attachment.arguments = {{"K8S_POD_NAMESPACE", "default"}, {"K8S_POD_NAME", id}};
    return attachment;
  }

  // The addresses that host-local has given out.
  std::vector<std::string> Leases() {
    std::vector<std::string> leases;
    const auto names = base::ListDirectory(root_ / "addresses/cri-nspawn");
    if (!names.ok()) return leases;
    for (const std::string& name : *names) {
      if (!name.starts_with("last_reserved") && name != "lock") leases.push_back(name);
    }
    return leases;
  }

  TemporaryDirectory root_;
  SpawningRunner runner_;
  std::unique_ptr<Network> network_;
  Namespaces namespaces_{root_ / "netns"};
  std::string rules_before_;
};

TEST_P(PluginsTest, TheShippedConfigurationIsReady) {
  EXPECT_TRUE(network_->Ready().ok()) << network_->Ready().error().message();
}

TEST_P(PluginsTest, PodsHaveAddressesOfBothFamiliesAndReachEachOther) {
  const Attachment first = Pod("pod1");
  const Attachment second = Pod("pod2");
  const auto first_result = network_->Attach(first);
  ASSERT_TRUE(first_result.ok()) << first_result.error().message();
  const auto second_result = network_->Attach(second);
  ASSERT_TRUE(second_result.ok()) << second_result.error().message();
  EXPECT_THAT(first_result->addresses, ElementsAre(StartsWith("10.85."), StartsWith("fd5a:9c3e:71b2:85:")));
  EXPECT_THAT(second_result->addresses, ElementsAre(StartsWith("10.85."), StartsWith("fd5a:9c3e:71b2:85:")));
  EXPECT_NE(first_result->addresses, second_result->addresses);
  for (const std::string& address : first_result->addresses) {
    EXPECT_THAT(Output("ip address show dev eth0", first.namespace_path), HasSubstr(address + "/"));
    base::UniqueFd listener;
    InNamespace(first.namespace_path, [&] { listener = Listen(address, 80); });
    EXPECT_TRUE(ConnectsInTime(address, 80)) << "from the host to " << address;
    InNamespace(second.namespace_path,
                [&] { EXPECT_TRUE(ConnectsInTime(address, 80)) << "from pod to pod " << address; });
  }
  EXPECT_THAT(Output("ip route show default", first.namespace_path), HasSubstr("default via 10.85.0.1 dev eth0"));
  EXPECT_TRUE(network_->Detach(first).ok());
  EXPECT_TRUE(network_->Detach(second).ok());
}

TEST_P(PluginsTest, ACheckSeesThatAPodHasLostItsInterface) {
  const Attachment pod = Pod("pod1");
  ASSERT_TRUE(network_->Attach(pod).ok());
  const auto good = network_->Check("pod1");
  EXPECT_TRUE(good.ok()) << good.error().message();
  Output("ip link delete eth0", pod.namespace_path);
  EXPECT_THAT(network_->Check("pod1").error().message(), HasSubstr("failed (check)"));
  EXPECT_TRUE(network_->Detach(pod).ok());
}

TEST_P(PluginsTest, DetachingLeavesNoAddressRuleOrInterface) {
  const Attachment pod = Pod("pod1");
  ASSERT_TRUE(network_->Attach(pod).ok());
  EXPECT_EQ(Leases().size(), 2u);
  EXPECT_NE(Rules(), rules_before_);
  ASSERT_TRUE(network_->Detach(pod).ok());
  EXPECT_THAT(Leases(), IsEmpty());
  EXPECT_THAT(*AttachmentCache(root_ / "cache").Ids(), IsEmpty());
  EXPECT_THAT(Rules(), testing::Not(HasSubstr("pod1")));
  EXPECT_THAT(Output("ip -o link"), testing::Not(HasSubstr("veth")));
  EXPECT_THAT(Output("ip -o link", pod.namespace_path), testing::Not(HasSubstr("eth0")));
}

// The rules of bridge are for addresses that it reads from the interface.
TEST_P(PluginsTest, ADetachThatWasCutOffBehindTheInterfaceIsFinished) {
  const Attachment pod = Pod("pod1");
  ASSERT_TRUE(network_->Attach(pod).ok());
  Output("ip link delete eth0", pod.namespace_path);
  EXPECT_THAT(Rules(), HasSubstr("pod1"));
  const auto detached = network_->Detach(pod);
  ASSERT_TRUE(detached.ok()) << detached.error().message();
  EXPECT_THAT(Rules(), testing::Not(HasSubstr("pod1")));
  EXPECT_THAT(Leases(), IsEmpty());
  EXPECT_THAT(Output("ip -o link", pod.namespace_path), testing::Not(HasSubstr("eth0")));
}

// Killed itself, or failing as what it has started was.
TEST_P(PluginsTest, APluginThatEndsBehindTheInterfaceIsAskedAgain) {
  for (const int exit_code : {128 + SIGKILL, 1}) {
    const Attachment pod = Pod("pod" + std::to_string(exit_code));
    ASSERT_TRUE(network_->Attach(pod).ok());
    int calls = 0;
    runner_.instead = [&](const PluginCall& call) -> std::optional<int> {
      if (!call.program.ends_with("/bridge") || calls++ > 0) return std::nullopt;
      Output("ip link delete eth0", pod.namespace_path);
      return exit_code;
    };
    const auto detached = network_->Detach(pod);
    ASSERT_TRUE(detached.ok()) << detached.error().message();
    EXPECT_EQ(calls, 2);
    EXPECT_THAT(Rules(), testing::Not(HasSubstr(pod.container_id)));
    EXPECT_THAT(Output("ip -o link", pod.namespace_path), testing::Not(HasSubstr("eth0")));
    runner_.instead = [](const PluginCall&) { return std::nullopt; };
  }
}

TEST_P(PluginsTest, APluginThatEndsBehindItsRulesIsAskedAgain) {
  const Attachment pod = Pod("pod1");
  ASSERT_TRUE(network_->Attach(pod).ok());
  int calls = 0;
  runner_.instead = [&](const PluginCall& call) -> std::optional<int> {
    if (!call.program.ends_with("/bridge") || calls++ > 0) return std::nullopt;
    EXPECT_EQ(runner_.Run(call)->exit_code, 0);
    return 128 + SIGKILL;
  };
  const auto detached = network_->Detach(pod);
  ASSERT_TRUE(detached.ok()) << detached.error().message();
  EXPECT_EQ(calls, 3) << "one within the first, and one more";
  EXPECT_THAT(Rules(), testing::Not(HasSubstr("pod1")));
  EXPECT_THAT(Output("ip -o link", pod.namespace_path), testing::Not(HasSubstr("eth0")));
}

TEST_P(PluginsTest, ADetachThatWasCutOffBehindThePluginsIsFinished) {
  const Attachment pod = Pod("pod1");
  ASSERT_TRUE(network_->Attach(pod).ok());
  const std::string entry = *base::ReadFile(root_ / "cache/pod1.json", 1 << 20);
  ASSERT_TRUE(network_->Detach(pod).ok());
  root_.Write("cache/pod1.json", entry);
  const auto detached = network_->Detach(pod);
  ASSERT_TRUE(detached.ok()) << detached.error().message();
  EXPECT_THAT(Rules(), testing::Not(HasSubstr("pod1")));
  EXPECT_THAT(*AttachmentCache(root_ / "cache").Ids(), IsEmpty());
  EXPECT_THAT(Output("ip -o link", pod.namespace_path), testing::Not(HasSubstr("eth0")));
}

TEST_P(PluginsTest, APortOfTheHostLeadsToThePod) {
  Attachment pod = Pod("pod1");
  pod.port_mappings = {{"tcp", 80, 18080, ""}};
  const auto result = network_->Attach(pod);
  ASSERT_TRUE(result.ok()) << result.error().message();
  base::UniqueFd listener;
  InNamespace(pod.namespace_path, [&] { listener = Listen(result->addresses[0], 80); });
  EXPECT_TRUE(Connects("10.85.0.1", 18080));
  ASSERT_TRUE(network_->Detach(pod).ok());
  EXPECT_FALSE(Connects("10.85.0.1", 18080));
  EXPECT_THAT(Rules(), testing::Not(HasSubstr("18080")));
}

TEST_P(PluginsTest, ANamespaceThatIsGoneIsDetached) {
  Attachment pod = Pod("pod1");
  pod.port_mappings = {{"tcp", 80, 18080, ""}};
  ASSERT_TRUE(network_->Attach(pod).ok());
  ASSERT_TRUE(namespaces_.Remove("pod1").ok());
  ASSERT_TRUE(network_->Detach(pod).ok());
  EXPECT_THAT(Leases(), IsEmpty());
  EXPECT_THAT(Rules(), testing::Not(HasSubstr("18080")));
  EXPECT_THAT(Rules(), testing::Not(HasSubstr("pod1")));
}

TEST_P(PluginsTest, AFailedAttachGivesTheAddressesBack) {
  base::Json configuration = base::Json::parse(*base::ReadFile(root_ / "net.d/99-cri-nspawn.conflist", 1 << 20));
  configuration["plugins"].push_back({{"type", "tuning"}, {"sysctl", {{"net.ipv4.no_such_sysctl", "1"}}}});
  root_.Write("net.d/00.conflist", configuration.dump());
  CreateNetwork();
  const Attachment pod = Pod("pod1");
  const auto result = network_->Attach(pod);
  ASSERT_FALSE(result.ok());
  EXPECT_THAT(result.error().message(), HasSubstr("plugin type=\"tuning\" failed (add): "));
  EXPECT_THAT(result.error().message(), HasSubstr("no_such_sysctl"));
  EXPECT_THAT(Leases(), IsEmpty());
  EXPECT_THAT(*AttachmentCache(root_ / "cache").Ids(), IsEmpty());
  EXPECT_THAT(Output("ip -o link", pod.namespace_path), testing::Not(HasSubstr("eth0")));
}

TEST_P(PluginsTest, TheRulesAndTheResultAreThoseOfThePlugins) {
  for (
      const char* const change : {
          R"({})",
          R"({"isDefaultGateway":true,"ipam":{"type":"host-local","ranges":[[{"subnet":"10.86.2.0/24"}]]}})",
          R"({"ipam":{"type":"host-local","ranges":[[{"subnet":"10.86.3.128/25"}]]}})",
          R"({"ipam":{"type":"host-local","ranges":[[{"subnet":"fd00:1::/112"}]]}})",
          R"({"type":"ptp","ipam":{"type":"host-local","ranges":[[{"subnet":"10.86.4.0/22"}],[{"subnet":"fd00:2::/64"}]]}})",
          R"({"ipam":{"type":"host-local","ranges":[[{"subnet":"fd00:1::/64"}],[{"subnet":"fd00:2::/64"}]]}})",
      }) {
    SCOPED_TRACE(change);
    base::Json configuration = base::Json::parse(*base::ReadFile(DEFAULT_CONFIGURATION, 1 << 20));
    configuration["plugins"][0].update(base::Json::parse(change));
    configuration["plugins"][0]["bridge"] = "other0";
    std::vector<std::string> with[2];
    base::Json results[2];
    for (const bool shortcuts : {false, true}) {
      // The same addresses are given once more.
      const std::string addresses = root_ / ("addresses-" + std::to_string(shortcuts));
      configuration["plugins"][0]["ipam"]["dataDir"] = addresses;
      root_.Write("net.d/00.conflist", configuration.dump());
      const auto network = NetworkWith(shortcuts);
      const Attachment pod = Pod("pod1");
      const auto result = network->Attach(pod);
      ASSERT_TRUE(result.ok()) << result.error().message();
      EXPECT_TRUE(network->Check("pod1").ok()) << network->Check("pod1").error().message();
      with[shortcuts] = RulesOfPods();
      results[shortcuts] = base::Json::parse(result->json);
      // One removes what the other has made.
      auto detached = NetworkWith(GetParam())->Detach(pod);
      ASSERT_TRUE(detached.ok()) << detached.error().message();
      EXPECT_THAT(RulesOfPods(), IsEmpty());
      ASSERT_TRUE(namespaces_.Remove("pod1").ok());
      Output("ip link delete other0");
    }
    EXPECT_THAT(with[0], testing::Contains(HasSubstr("MASQUERADE")));
    EXPECT_EQ(with[0], with[1]);
    for (base::Json& each : results) {
      for (base::Json& interface : each["interfaces"]) {
        // Of chance: the names of the host's ends, and all addresses of Ethernet.
        interface.erase("mac");
        if (!interface.contains("sandbox")) interface.erase("name");
      }
    }
    EXPECT_EQ(results[0], results[1]);
  }
}

TEST_P(PluginsTest, ADetachWithoutAResultLeavesNoRules) {
  const Attachment pod = Pod("pod1");
  ASSERT_TRUE(network_->Attach(pod).ok());
  ForgetResult("pod1");
  const auto detached = network_->Detach(pod);
  ASSERT_TRUE(detached.ok()) << detached.error().message();
  EXPECT_THAT(RulesOfPods(), IsEmpty());
}

// As host-local is after a kill between making the file of an address and writing whose it is.
class UnownedLeaseTest : public PluginsTest {
 protected:
  void SetUp() override {
    PluginsTest::SetUp();
    if (IsSkipped()) return;
    // Makes the directory, and the lock.
    const Attachment pod = Pod("pod0");
    ASSERT_TRUE(network_->Attach(pod).ok());
    ASSERT_TRUE(network_->Detach(pod).ok());
  }

  void LeaveLease() { root_.Write("addresses/cri-nspawn/10.85.0.77", ""); }
};

TEST_P(UnownedLeaseTest, AFailedAttachLeavesNone) {
  runner_.instead = [&](const PluginCall& call) -> std::optional<int> {
    const auto& environment = call.environment;
    if (std::find(environment.begin(), environment.end(), "CNI_COMMAND=ADD") == environment.end()) return std::nullopt;
    LeaveLease();
    return 128 + SIGKILL;
  };
  const Attachment pod = Pod("pod1");
  const auto result = network_->Attach(pod);
  ASSERT_FALSE(result.ok());
  EXPECT_THAT(result.error().message(), HasSubstr("ended by signal 9"));
  EXPECT_THAT(Leases(), IsEmpty());
  EXPECT_THAT(*AttachmentCache(root_ / "cache").Ids(), IsEmpty());
}

TEST_P(UnownedLeaseTest, AnAttachThatWasCutOffLeavesNone) {
  const Attachment pod = Pod("pod1");
  ASSERT_TRUE(network_->Attach(pod).ok());
  ForgetResult("pod1");
  LeaveLease();
  const auto detached = network_->Detach(pod);
  ASSERT_TRUE(detached.ok()) << detached.error().message();
  EXPECT_THAT(Leases(), IsEmpty());
}

TEST_P(UnownedLeaseTest, ACollectionLeavesNoneAndKeepsWhatIsInUse) {
  const Attachment pod = Pod("pod1");
  ASSERT_TRUE(network_->Attach(pod).ok());
  const auto leases = Leases();
  LeaveLease();
  const auto collected = network_->CollectGarbage([](const std::string&) { return true; });
  ASSERT_TRUE(collected.ok()) << collected.error().message();
  EXPECT_EQ(Leases(), leases);
  EXPECT_TRUE(network_->Detach(pod).ok());
}

// The lock that is taken is the plugin's own.
TEST_P(UnownedLeaseTest, ThePluginWaitsForWhoeverHoldsTheLock) {
  base::UniqueFd lock(::open((root_ / "addresses/cri-nspawn/lock").c_str(), O_RDONLY | O_CLOEXEC));
  ASSERT_EQ(::flock(lock.get(), LOCK_EX | LOCK_NB), 0);
  const Attachment pod = Pod("pod1");
  auto attaching = std::async(std::launch::async, [&] { return network_->Attach(pod); });
  EXPECT_EQ(attaching.wait_for(std::chrono::seconds(1)), std::future_status::timeout);
  EXPECT_THAT(Leases(), IsEmpty());
  lock.reset();
  const auto result = attaching.get();
  ASSERT_TRUE(result.ok()) << result.error().message();
  EXPECT_TRUE(network_->Detach(pod).ok());
}

TEST_P(PluginsTest, AVersionThatAPluginDoesNotKnowIsExplained) {
  root_.Write("net.d/00.conflist", R"({"cniVersion":"1.1.0","name":"n","plugins":[{"type":"loopback"}]})");
  CreateNetwork();
  const auto result = network_->Attach(Pod("pod1"));
  if (result.ok()) GTEST_SKIP() << "these plugins know version 1.1.0";
  EXPECT_THAT(result.error().message(), HasSubstr("plugin type=\"loopback\" failed (add): incompatible CNI versions"));
}

std::string ModeOf(const testing::TestParamInfo<bool>& info) {
  return info.param ? "on" : "off";
}
INSTANTIATE_TEST_SUITE_P(Shortcuts, PluginsTest, testing::Bool(), ModeOf);
INSTANTIATE_TEST_SUITE_P(Shortcuts, UnownedLeaseTest, testing::Bool(), ModeOf);

// Nothing here may reach the host: neither links and rules nor mounts. Called before there is a second thread.
std::string Isolate() {
  if (::geteuid() != 0) return "the plugins are run by root only";
  for (const char* plugin : {"bridge", "host-local", "portmap", "tuning", "loopback"}) {
    const std::string path = std::string(kPlugins) + "/" + plugin;
    if (::access(path.c_str(), X_OK) != 0) return path + " is missing; install containernetworking-plugins";
  }
  if (Output("iptables --version").find("iptables v") == std::string::npos) return "iptables is missing";
  if (::unshare(CLONE_NEWNET | CLONE_NEWNS) != 0)
    return std::string("no namespaces of its own: ") + std::strerror(errno);
  if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0 ||
      ::mount("tmpfs", "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=755") != 0) {
    return std::string("no mounts of its own: ") + std::strerror(errno);
  }
  if (const std::string said = Output("ip link set lo up"); !said.empty()) return "ip from iproute2 fails: " + said;
  if (const std::string said = Output("iptables -t nat -S"); said.find("-P ") == std::string::npos) {
    return "no NAT in this kernel: " + said;
  }
  return "";
}

}  // namespace
}  // namespace cni

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  cni::reason_to_skip = cni::Isolate();
  return RUN_ALL_TESTS();
}
