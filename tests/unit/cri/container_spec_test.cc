#include "cri/container_spec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fakes.h"
#include "nspawn/capabilities.h"

namespace cri {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

class Spec : public testing::Test {
 protected:
  Spec() {
    record_.set_id(std::string(64, 'c'));
    record_.set_name("ns-pod-app-cccccccccccc");
    record_.set_image_id("sha256:1");
    config().mutable_metadata()->set_name("app");
    sandbox_.set_id(std::string(64, 'd'));
    sandbox_.set_leader(100);
    sandbox_.set_pid_namespace(1);
    sandbox_.set_ipc_namespace(2);
    sandbox_.set_uts_namespace(3);
    sandbox_.set_hostname("pod");
    sandbox_.set_network_namespace("/run/netns/x");
    sandbox_.mutable_config()->mutable_metadata()->set_name("pod");
    sandbox_.mutable_config()->mutable_metadata()->set_namespace_("ns");
    image_.config.entrypoint = {"/entry"};
    image_.config.command = {"default"};
    image_.layer_directories = {"/l/1", "/l/2"};
  }

  v1::ContainerConfig& config() { return *record_.mutable_config(); }
  v1::LinuxContainerSecurityContext& security() { return *config().mutable_linux()->mutable_security_context(); }
  base::Result<nspawn::ContainerSpec> Make(int target_pid = 0) {
    return MakeContainerSpec({record_, sandbox_, image_, "/state", "/files", target_pid});
  }

  ContainerRecord record_;
  SandboxRecord sandbox_;
  image::Image image_;
};

TEST_F(Spec, ACommandReplacesEntryPointAndArgumentsOfTheImage) {
  EXPECT_THAT(Make()->process.arguments, ElementsAre("/entry", "default"));
  config().add_args("given");
  EXPECT_THAT(Make()->process.arguments, ElementsAre("/entry", "given"));
  config().add_command("/bin/sh");
  EXPECT_THAT(Make()->process.arguments, ElementsAre("/bin/sh", "given"));
  config().clear_args();
  EXPECT_THAT(Make()->process.arguments, ElementsAre("/bin/sh"));
}

TEST_F(Spec, WithoutAnyCommandItIsRefused) {
  image_.config.entrypoint.clear();
  image_.config.command.clear();
  ASSERT_FALSE(Make().ok());
  EXPECT_EQ(Make().error().code(), base::Code::kInvalidArgument);
  EXPECT_THAT(Make().error().message(), HasSubstr("no command specified"));
}

TEST_F(Spec, TheContainersVariablesWinOverTheImages) {
  image_.config.environment = {"PATH=/image", "A=image", "B=image", "=broken", "broken"};
  auto* variable = config().add_envs();
  variable->set_key("A");
  variable->set_value("container");
  EXPECT_THAT(Make()->process.environment, ElementsAre("HOSTNAME=pod", "PATH=/image", "B=image", "A=container"));
}

TEST_F(Spec, HostileVariablesAreRefused) {
  auto* variable = config().add_envs();
  variable->set_key("A=B");
  EXPECT_EQ(Make().error().code(), base::Code::kInvalidArgument);
  variable->set_key("A");
  variable->set_value(std::string("x\0y", 3));
  EXPECT_EQ(Make().error().code(), base::Code::kInvalidArgument);
}

TEST_F(Spec, DefaultsAreConfined) {
  const auto spec = Make();
  ASSERT_TRUE(spec.ok()) << spec.error().message();
  EXPECT_EQ(spec->process.capabilities.bounding, nspawn::kDefaultCapabilities & nspawn::AllCapabilities());
  EXPECT_EQ(spec->process.capabilities.ambient, 0u);
  EXPECT_FALSE(spec->all_devices);
  EXPECT_THAT(spec->process.masked_paths, Contains("/proc/kcore"));
  EXPECT_THAT(spec->process.read_only_paths, Contains("/proc/sys"));
  EXPECT_EQ(spec->process.pid.kind, nspawn::NamespaceTarget::Kind::kJoin);
}

TEST_F(Spec, NothingIsMaskedInAPodWithItsOwnUsersUnlessItSaysSo) {
  auto& users = *security().mutable_namespace_options()->mutable_userns_options();
  users.set_mode(v1::POD);
  auto* mapping = users.add_uids();
  mapping->set_host_id(200000);
  mapping->set_length(65536);
  *users.add_gids() = *mapping;
  *sandbox_.mutable_config()->mutable_linux()->mutable_security_context()->mutable_namespace_options() =
      security().namespace_options();
  sandbox_.set_user_namespace(4);
  ASSERT_TRUE(Make().ok()) << Make().error().message();
  EXPECT_TRUE(Make()->process.masked_paths.empty());
  EXPECT_TRUE(Make()->process.read_only_paths.empty());
  security().add_masked_paths("/proc/keys");
  security().add_readonly_paths("/proc/fs");
  EXPECT_THAT(Make()->process.masked_paths, ElementsAre("/proc/keys"));
  EXPECT_THAT(Make()->process.read_only_paths, ElementsAre("/proc/fs"));
}

TEST_F(Spec, PrivilegedLiftsTheConfinement) {
  security().set_privileged(true);
  security().mutable_seccomp()->set_profile_type(v1::SecurityProfile::RuntimeDefault);
  const auto spec = Make();
  ASSERT_TRUE(spec.ok());
  EXPECT_EQ(spec->process.capabilities.permitted, nspawn::AllCapabilities());
  EXPECT_FALSE(spec->process.seccomp);
  EXPECT_TRUE(spec->all_devices);
  EXPECT_TRUE(spec->process.masked_paths.empty());
}

TEST_F(Spec, UnknownCapabilitiesAreNamed) {
  security().mutable_capabilities()->add_add_capabilities("FLY");
  ASSERT_FALSE(Make().ok());
  EXPECT_EQ(Make().error().code(), base::Code::kInvalidArgument);
  EXPECT_THAT(Make().error().message(), HasSubstr("FLY"));
}

TEST_F(Spec, TheUserComesFromTheImageUnlessThePodSaysOtherwise) {
  image_.config.user = "www-data:staff";
  EXPECT_EQ(Make()->process.user.name, "www-data");
  EXPECT_EQ(Make()->process.user.group, "staff");
  security().mutable_run_as_user()->set_value(1000);
  EXPECT_EQ(Make()->process.user.uid, 1000u);
  EXPECT_EQ(Make()->process.user.name, "");
  security().mutable_run_as_group()->set_value(2000);
  EXPECT_EQ(Make()->process.user.gid, 2000u);
}

TEST_F(Spec, AGroupWithoutAUserIsAnError) {
  security().mutable_run_as_group()->set_value(2000);
  EXPECT_EQ(Make().error().code(), base::Code::kInvalidArgument);
  EXPECT_THAT(Make().error().message(), HasSubstr("run_as_group"));
}

TEST_F(Spec, UserIdsOutOfRangeAreRefused) {
  security().mutable_run_as_user()->set_value(-1);
  EXPECT_EQ(Make().error().code(), base::Code::kInvalidArgument);
  security().mutable_run_as_user()->set_value(int64_t{1} << 32);
  EXPECT_EQ(Make().error().code(), base::Code::kInvalidArgument);
}

TEST_F(Spec, NamespacesFollowTheirModes) {
  using Kind = nspawn::NamespaceTarget::Kind;
  auto& options = *security().mutable_namespace_options();
  options.set_pid(v1::CONTAINER);
  EXPECT_EQ(Make()->process.pid.kind, Kind::kNew);
  options.set_pid(v1::NODE);
  EXPECT_EQ(Make()->process.pid.kind, Kind::kHost);
  options.set_pid(v1::TARGET);
  EXPECT_EQ(Make(0).error().code(), base::Code::kInvalidArgument);
  EXPECT_EQ(Make(42)->process.pid.pid, 42);
  options.set_ipc(v1::NODE);
  EXPECT_EQ(Make(42)->process.ipc.kind, Kind::kHost);
  sandbox_.clear_network_namespace();
  EXPECT_EQ(Make(42)->process.uts.kind, Kind::kHost);
}

TEST_F(Spec, ThePodsFilesGiveWayToTheContainersOwnMounts) {
  TemporaryDirectory directory;
  auto* mount = config().add_mounts();
  mount->set_container_path("/etc//hosts");
  mount->set_host_path(directory.path());
  std::vector<std::string> destinations;
  const auto spec = Make();
  for (const auto& made : spec->process.mounts) destinations.push_back(made.destination);
  EXPECT_THAT(destinations, Contains("/etc/resolv.conf"));
  EXPECT_THAT(destinations, Contains("/etc//hosts"));
  EXPECT_THAT(destinations, Not(Contains("/etc/hosts")));
}

TEST_F(Spec, MissingHostPathsAreMade) {
  TemporaryDirectory directory;
  auto* mount = config().add_mounts();
  mount->set_container_path("/data");
  mount->set_host_path(directory.path() + "/a/b");
  ASSERT_TRUE(Make().ok());
  EXPECT_TRUE(std::filesystem::is_directory(directory.path() + "/a/b"));
}

TEST_F(Spec, RecursiveReadOnlyNeedsReadonlyAndPrivatePropagation) {
  auto* mount = config().add_mounts();
  mount->set_container_path("/data");
  mount->set_host_path("/tmp");
  mount->set_recursive_read_only(true);
  EXPECT_EQ(Make().error().code(), base::Code::kInvalidArgument);
  mount->set_readonly(true);
  EXPECT_TRUE(Make().ok());
  mount->set_propagation(v1::PROPAGATION_HOST_TO_CONTAINER);
  EXPECT_EQ(Make().error().code(), base::Code::kInvalidArgument);
}

TEST_F(Spec, VolumesOfTheImageGiveWayToMounts) {
  image_.config.volumes = {"/data/", "/var//lib/x", "/taken", "/", "relative", "/data"};
  auto* mount = config().add_mounts();
  mount->set_container_path("/taken/");
  mount->set_host_path("/tmp");
  EXPECT_THAT(Make()->process.image_volumes, ElementsAre("/data", "/var/lib/x"));
}

TEST_F(Spec, IdMappingsOfMountsComeInPairs) {
  auto* mount = config().add_mounts();
  mount->set_container_path("/data");
  mount->set_host_path("/tmp");
  auto* mapping = mount->add_uidmappings();
  mapping->set_host_id(1000);
  mapping->set_length(10);
  EXPECT_EQ(Make().error().code(), base::Code::kInvalidArgument);
  *mount->add_gidmappings() = *mapping;
  ASSERT_TRUE(Make().ok());
  EXPECT_EQ(Make()->process.mounts.back().uid_mappings.front().host_id, 1000u);
  mount->mutable_gidmappings(0)->set_length(0);
  EXPECT_EQ(Make().error().code(), base::Code::kInvalidArgument);
}

TEST_F(Spec, AContainerIsInTheUserNamespaceOfItsPod) {
  EXPECT_EQ(Make()->process.user_namespace.kind, nspawn::NamespaceTarget::Kind::kHost);
  auto& users = *security().mutable_namespace_options()->mutable_userns_options();
  users.set_mode(v1::POD);
  auto* mapping = users.add_uids();
  mapping->set_host_id(200000);
  mapping->set_length(65536);
  *users.add_gids() = *mapping;
  EXPECT_EQ(Make().error().code(), base::Code::kInvalidArgument);
  *sandbox_.mutable_config()->mutable_linux()->mutable_security_context()->mutable_namespace_options() =
      security().namespace_options();
  sandbox_.set_user_namespace(4);
  const auto spec = Make();
  ASSERT_TRUE(spec.ok()) << spec.error().message();
  EXPECT_EQ(spec->process.user_namespace.pid, 100);
  EXPECT_EQ(spec->process.user_namespace.inode, 4u);
  EXPECT_EQ(spec->process.uid_mappings.front().host_id, 200000u);
  auto* mount = config().add_mounts();
  mount->set_container_path("/data");
  mount->set_host_path("/tmp");
  mount->set_propagation(v1::PROPAGATION_BIDIRECTIONAL);
  EXPECT_EQ(Make().error().code(), base::Code::kInvalidArgument);
}

TEST_F(Spec, TheMetadataTellsWhoseContainerItIs) {
  (*config().mutable_labels())["app"] = "web";
  const auto metadata = Make()->metadata;
  EXPECT_THAT(metadata, Contains(std::pair<std::string, std::string>("Pod", "pod")));
  EXPECT_THAT(metadata, Contains(std::pair<std::string, std::string>("Namespace", "ns")));
  EXPECT_THAT(metadata, Contains(std::pair<std::string, std::string>("Label", "app=web")));
}

TEST_F(Spec, TerminalAndInputAreAsAskedFor) {
  EXPECT_FALSE(Make()->process.terminal);
  EXPECT_FALSE(Make()->process.open_stdin);
  config().set_tty(true);
  config().set_stdin(true);
  EXPECT_TRUE(Make()->process.terminal);
  EXPECT_TRUE(Make()->process.open_stdin);
}

TEST(Resources, ZeroMeansNotSaid) {
  v1::LinuxContainerResources resources;
  EXPECT_FALSE(MakeResources(resources).memory_limit);
  EXPECT_FALSE(MakeResources(resources).cpu_shares);
  resources.set_memory_limit_in_bytes(1 << 20);
  resources.set_cpu_quota(-1);
  resources.set_cpu_shares(2);
  EXPECT_EQ(MakeResources(resources).memory_limit, 1 << 20);
  EXPECT_EQ(MakeResources(resources).cpu_quota, -1);
  EXPECT_EQ(MakeResources(resources).cpu_shares, 2u);
}

}  // namespace
}  // namespace cri
