#include "nspawn/process_spec.h"

#include <gtest/gtest.h>

#include <random>
#include <string>

namespace nspawn {
namespace {

using namespace std::string_literals;

ProcessSpec FullSpec() {
  ProcessSpec spec;
  spec.container_id = "c0ffee";
  spec.arguments = {"sh", "-c", "echo a=b; echo \"c\nd\"", ""};
  spec.environment = {"PATH=/bin", "EMPTY=", "EQUALS=a=b"};
  spec.working_directory = "/work";
  spec.user.uid = 0;
  spec.user.name = "web";
  spec.user.gid = 4294967294;
  spec.user.group = "www";
  spec.user.supplementary_groups = {7, 8};
  spec.user.strict_groups = true;
  spec.layer_directories = {"/l/1", "/l/2"};
  spec.upper_directory = "/u";
  spec.work_directory = "/w";
  spec.read_only_root = true;
  spec.image_volumes = {"/data", "/more"};
  spec.mounts.push_back({.source = "/a",
                         .destination = "/b",
                         .read_only = true,
                         .recursive_read_only = true,
                         .propagation = Propagation::kPrivate,
                         .uid_mappings = {{1, 2, 3}},
                         .gid_mappings = {{4, 5, 6}, {7, 8, 9}}});
  spec.mounts.push_back({.source = "/c",
                         .destination = "/d",
                         .propagation = Propagation::kBidirectional,
                         .uid_mappings = {},
                         .gid_mappings = {}});
  spec.mounts.push_back({.source = "tools:1",
                         .destination = "/tools",
                         .read_only = true,
                         .uid_mappings = {},
                         .gid_mappings = {},
                         .image_layers = {"/l/3", "/l/4"},
                         .image_sub_path = "bin"});
  spec.mounts.back().attributes = 6;
  spec.devices.push_back({.host_path = "/dev/fuse", .container_path = "/dev/other", .node = {}});
  spec.devices.push_back({.host_path = "/dev/x",
                          .container_path = "/dev/y",
                          .node = DeviceNode{.type = 'b', .major = 8, .minor = 1, .mode = 0640, .uid = 1, .gid = 2}});
  spec.masked_paths = {"/proc/kcore"};
  spec.read_only_paths = {"/proc/sys"};
  spec.privileged = true;
  spec.host_devices = true;
  spec.sysctls = {{"net.ipv4.ip_forward", "1"}, {"kernel.shmmax", "2 3"}};
  spec.pid = {.kind = NamespaceTarget::Kind::kJoin, .pid = 12, .inode = 4026531836};
  spec.ipc = {.kind = NamespaceTarget::Kind::kHost};
  spec.user_namespace = {.kind = NamespaceTarget::Kind::kJoin, .pid = 12, .inode = 4026531837};
  spec.uid_mappings = {{1000, 0, 65536}};
  spec.gid_mappings = {{2000, 0, 65536}};
  spec.capabilities = {.bounding = ~0ULL, .permitted = 2, .inheritable = 3, .ambient = 4};
  spec.no_new_privileges = true;
  spec.seccomp = true;
  spec.seccomp_flags = 2;
  spec.apparmor_profile = "profile";
  spec.selinux_process_label = "p";
  spec.selinux_mount_label = "m";
  spec.terminal = true;
  spec.open_stdin = true;
  spec.oom_score_adjust = -998;
  return spec;
}

TEST(ProcessSpec, DecodesToWhatWasEncoded) {
  const auto decoded = Decode(Encode(FullSpec()));
  ASSERT_TRUE(decoded.ok()) << decoded.error().message();
  EXPECT_EQ(decoded->arguments, FullSpec().arguments);
  EXPECT_EQ(decoded->environment, FullSpec().environment);
  EXPECT_EQ(decoded->user.uid, 0U);
  EXPECT_EQ(decoded->user.gid, 4294967294U);
  ASSERT_EQ(decoded->mounts.size(), 3U);
  EXPECT_TRUE(decoded->mounts[0].recursive_read_only);
  EXPECT_EQ(decoded->mounts[0].gid_mappings.size(), 2U);
  EXPECT_EQ(decoded->mounts[1].propagation, Propagation::kBidirectional);
  EXPECT_FALSE(decoded->mounts[1].read_only);
  EXPECT_EQ(decoded->pid.kind, NamespaceTarget::Kind::kJoin);
  EXPECT_EQ(decoded->pid.pid, 12);
  EXPECT_EQ(decoded->pid.inode, 4026531836U);
  EXPECT_EQ(decoded->ipc.kind, NamespaceTarget::Kind::kHost);
  EXPECT_EQ(decoded->uts.kind, NamespaceTarget::Kind::kNew);
  EXPECT_EQ(decoded->capabilities.bounding, ~0ULL);
  EXPECT_EQ(decoded->oom_score_adjust, -998);
  // Whatever the list above forgets.
  EXPECT_EQ(Encode(*decoded), Encode(FullSpec()));
}

TEST(ProcessSpec, DecodesAnEmptyOne) {
  const auto decoded = Decode(Encode({}));
  ASSERT_TRUE(decoded.ok());
  EXPECT_EQ(Encode(*decoded), Encode({}));
}

TEST(ProcessSpec, AValueWithANulCannotAddAnEntry) {
  ProcessSpec spec;
  spec.environment = {"A=b\0privileged=yes"s};
  const auto decoded = Decode(Encode(spec));
  ASSERT_TRUE(decoded.ok());
  EXPECT_FALSE(decoded->privileged);
  EXPECT_EQ(decoded->environment, std::vector<std::string>{"A=b"});
}

TEST(ProcessSpec, NamesTheKeyThatIsWrong) {
  for (const std::string& entry :
       {"nonsense=1"s, "user.uid=-1"s, "user.uid=4294967296"s, "user.uid="s, "user.nothing=1"s, "privileged=no"s,
        "mount.destination=/x"s, "device.container_path=/x"s, "device.node=c:1:3:0:0:0"s, "sysctl.value=1"s,
        "pid=join:1"s, "pid=join:0:1"s, "pid=join:-1:1"s, "pid=other"s, "oom_score_adjust=--1"s,
        "oom_score_adjust=99999999999"s, "capabilities.ambient=0x1"s}) {
    const auto decoded = Decode(entry + '\0');
    ASSERT_FALSE(decoded.ok()) << entry;
    EXPECT_EQ(decoded.error().code(), base::Code::kInvalidArgument);
    EXPECT_NE(decoded.error().message().find("\"" + entry.substr(0, entry.find('=')) + "\""), std::string::npos)
        << decoded.error().message();
  }
  EXPECT_FALSE(Decode("mount=/a\0mount.uid_mapping=1:2\0"s).ok());
  EXPECT_FALSE(Decode("mount=/a\0mount.propagation=shared\0"s).ok());
}

TEST(ProcessSpec, RefusesWhatIsCutOffOrHasNoKey) {
  EXPECT_FALSE(Decode("argument=true").ok());
  EXPECT_FALSE(Decode("argument\0"s).ok());
  EXPECT_FALSE(Decode("\0"s).ok());
}

TEST(ProcessSpec, EndsOnAnyInput) {
  std::mt19937 random(20261122);  // NOLINT: the same input in every run
  const std::string good = Encode(FullSpec());
  for (int round = 0; round < 20000; ++round) {
    std::string bad = good;
    for (unsigned changes = random() % 8 + 1; changes > 0; --changes) {
      const size_t at = random() % bad.size();
      switch (random() % 3) {
        case 0:
          bad[at] = static_cast<char>(random());
          break;
        case 1:
          bad.erase(at, random() % 16);
          break;
        default:
          bad.insert(at, bad.substr(random() % bad.size(), random() % 16));
      }
      if (bad.empty()) break;
    }
    // What is accepted has one meaning: encoding it again gives what decodes to the same.
    if (const auto decoded = Decode(bad); decoded.ok()) {
      const std::string again = Encode(*decoded);
      const auto twice = Decode(again);
      ASSERT_TRUE(twice.ok());
      ASSERT_EQ(Encode(*twice), again);
    }
  }
}

}  // namespace
}  // namespace nspawn
