#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/files.h"
#include "cri/cdi/devices.h"
#include "cri/cdi/name.h"
#include "cri/cdi/spec.h"
#include "cri/cdi/yaml.h"
#include "cri/container_devices.h"
#include "fakes.h"

namespace cri {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

TEST(CdiName, HasVendorClassAndDevice) {
  const auto name = cdi::ParseDeviceName("vendor.com/net-card=0:1.a");
  ASSERT_TRUE(name.ok());
  EXPECT_EQ(name->vendor, "vendor.com");
  EXPECT_EQ(name->device_class, "net-card");
  EXPECT_EQ(name->device, "0:1.a");
  for (const char* wrong : {"", "device", "/dev/null", "vendor.com/device", "vendor.com=x", "/device=x",
                            "vendor.com/=x", "vendor.com/device=", "1vendor/device=x", "vendor/device=-x",
                            "vendor/de vice=x", "vendor/device=x-", "vendor/a/b=x"}) {
    EXPECT_FALSE(cdi::ParseDeviceName(wrong).ok()) << wrong;
  }
}

TEST(CdiYaml, IsReadAsTheJsonThatItStandsFor) {
  const auto json = cdi::ParseYaml("a: 0666\nb: \"0666\"\nc: [true, ~, 0x10, -1, 1.5, text]\nd: {e: &x [1], f: *x}\n");
  ASSERT_TRUE(json.ok()) << json.error().message();
  EXPECT_EQ(base::JsonText(*json), R"({"a":438,"b":"0666","c":[true,null,16,-1,"1.5","text"],"d":{"e":[1],"f":[1]}})");
}

TEST(CdiYaml, HostileTextIsRefused) {
  EXPECT_FALSE(cdi::ParseYaml("a: [").ok());
  EXPECT_FALSE(cdi::ParseYaml("a: 1\na: 2").ok());
  EXPECT_FALSE(cdi::ParseYaml("[a]: 1").ok());
  EXPECT_FALSE(cdi::ParseYaml(std::string(100'000, '[')).ok());
  std::string bomb = "a0: &a0 [x,x,x,x,x,x,x,x,x]\n";
  for (int i = 1; i < 12; ++i) {
    bomb += "a" + std::to_string(i) + ": &a" + std::to_string(i) + " [";
    for (int j = 0; j < 9; ++j) bomb += (j == 0 ? "*a" : ",*a") + std::to_string(i - 1);
    bomb += "]\n";
  }
  const auto refused = cdi::ParseYaml(bomb);
  ASSERT_FALSE(refused.ok());
  EXPECT_THAT(refused.error().message(), HasSubstr("too large"));
}

TEST(CdiSpecification, WhatIsWrongIsSaid) {
  const auto error_of = [](const std::string& json) {
    const auto read = cdi::ParseSpecificationText(json, false);
    return read.ok() ? "" : read.error().message();
  };
  const auto with = [](const std::string& edits) {
    return R"({"cdiVersion":"0.6.0","kind":"v.com/d","devices":[{"name":"x","containerEdits":)" + edits + "}]}";
  };
  EXPECT_EQ(error_of(with(R"({"env":["A=b"]})")), "");
  EXPECT_THAT(error_of(R"({"cdiVersion":"7.0.0","kind":"v.com/d"})"), HasSubstr("cdiVersion \"7.0.0\""));
  EXPECT_THAT(error_of(R"({"cdiVersion":"0.6.0","kind":"v.com"})"), HasSubstr("kind \"v.com\""));
  EXPECT_THAT(error_of(R"({"cdiVersion":"0.6.0","kind":"v.com/d","devices":[]})"), HasSubstr("no \"devices\""));
  EXPECT_THAT(error_of(R"({"cdiVersion":"0.6.0","kind":"v.com/d","device":[]})"), HasSubstr("no member \"device\""));
  EXPECT_THAT(error_of(with("{}")), HasSubstr("no \"containerEdits\""));
  EXPECT_THAT(error_of(with(R"({"env":["A"]})")), HasSubstr("NAME=value"));
  EXPECT_THAT(error_of(with(R"({"deviceNodes":[{"path":"dev/x"}]})")), HasSubstr("not an absolute path"));
  EXPECT_THAT(error_of(with(R"({"deviceNodes":[{"path":"/dev/../x"}]})")), HasSubstr("not an absolute path"));
  EXPECT_THAT(error_of(with(R"({"deviceNodes":[{"path":"/dev/x","type":"z"}]})")), HasSubstr("device type \"z\""));
  EXPECT_THAT(error_of(with(R"({"deviceNodes":[{"path":"/dev/x","permissions":"rx"}]})")), HasSubstr("r, w and m"));
  EXPECT_THAT(error_of(with(R"({"deviceNodes":[{"path":"/dev/x","major":-1}]})")), HasSubstr("\"major\""));
  EXPECT_THAT(error_of(with(R"({"mounts":[{"hostPath":"/x"}]})")), HasSubstr("containerPath"));
  EXPECT_THAT(error_of("not json"), HasSubstr("not JSON"));
}

class Cdi : public testing::Test {
 protected:
  Cdi() {
    for (const char* name : {"/etc", "/run"}) {
      EXPECT_EQ(::mkdir((root_.path() + name).c_str(), 0755), 0);
      directories_.push_back(root_.path() + name);
    }
  }
  void Write(const std::string& name, const std::string& text) {
    EXPECT_TRUE(base::WriteFileAtomic(root_.path() + "/" + name, text).ok());
  }
  // A specification of one device with one variable.
  void WriteDevice(const std::string& file, const std::string& device, const std::string& variable) {
    Write(file, R"({"cdiVersion":"0.6.0","kind":"v.com/d","containerEdits":{"env":["COMMON=)" + variable +
                    R"("]},"devices":[{"name":")" + device + R"(","containerEdits":{"env":[")" + variable +
                    R"(=yes"]}}]})");
  }
  base::Result<cdi::ContainerEdits> Resolve(const std::vector<std::string>& names) {
    return cdi::ResolveDevices(directories_, names);
  }
  base::Result<nspawn::ContainerSpec> Apply() {
    nspawn::ContainerSpec spec = spec_;
    RETURN_IF_ERROR(AddCdiDevices(config_, directories_, spec));
    return spec;
  }
  // Writes a specification with one device "x" of these edits, and asks for it.
  void UseEdits(const std::string& edits) {
    Write("etc/v.json",
          R"({"cdiVersion":"0.6.0","kind":"v.com/d","devices":[{"name":"x","containerEdits":)" + edits + "}]}");
    if (config_.cdi_devices().empty()) config_.add_cdi_devices()->set_name("v.com/d=x");
  }

  TemporaryDirectory root_;
  std::vector<std::string> directories_;
  v1::ContainerConfig config_;
  nspawn::ContainerSpec spec_;
};

TEST_F(Cdi, ALaterDirectoryWins) {
  WriteDevice("etc/a.json", "x", "FIRST");
  EXPECT_THAT(Resolve({"v.com/d=x"})->environment, ElementsAre("COMMON=FIRST", "FIRST=yes"));
  WriteDevice("run/a.json", "x", "SECOND");
  EXPECT_THAT(Resolve({"v.com/d=x"})->environment, ElementsAre("COMMON=SECOND", "SECOND=yes"));
}

TEST_F(Cdi, TwoFilesOfOneDirectoryDoNotShareADevice) {
  WriteDevice("etc/a.json", "x", "A");
  WriteDevice("etc/b.json", "x", "B");
  const auto resolved = Resolve({"v.com/d=x"});
  ASSERT_FALSE(resolved.ok());
  EXPECT_EQ(resolved.error().code(), base::Code::kNotFound);
  EXPECT_THAT(resolved.error().message(), HasSubstr("unresolvable CDI devices v.com/d=x"));
  EXPECT_THAT(resolved.error().message(), HasSubstr("b.json"));
}

TEST_F(Cdi, EditsOfASpecificationAreMadeOnce) {
  Write("etc/a.yaml", R"(
cdiVersion: "0.6.0"
kind: v.com/d
containerEdits: {env: [COMMON=1]}
devices:
  - {name: x, containerEdits: {env: [X=1]}}
  - {name: y, containerEdits: {env: [Y=1]}}
)");
  EXPECT_THAT(Resolve({"v.com/d=y", "v.com/d=x"})->environment, ElementsAre("COMMON=1", "Y=1", "X=1"));
}

TEST_F(Cdi, DevicesThatThereAreNotAreNamedWithWhatIsBroken) {
  Write("etc/broken.json", "{");
  Write("etc/ignored.txt", "{");
  const auto resolved = Resolve({"v.com/d=x", "v.com/d=y"});
  ASSERT_FALSE(resolved.ok());
  EXPECT_EQ(resolved.error().code(), base::Code::kNotFound);
  EXPECT_THAT(resolved.error().message(), HasSubstr("v.com/d=x, v.com/d=y"));
  EXPECT_THAT(resolved.error().message(), HasSubstr("broken.json"));
  EXPECT_THAT(resolved.error().message(), Not(HasSubstr("ignored.txt")));
  EXPECT_EQ(Resolve({"x"}).error().code(), base::Code::kInvalidArgument);
}

TEST_F(Cdi, HooksAreRefusedOnlyWhenTheirDeviceIsUsed) {
  Write("etc/a.json", R"({"cdiVersion":"0.6.0","kind":"v.com/d","devices":[
    {"name":"x","containerEdits":{"hooks":[{"hookName":"createContainer","path":"/bin/x"}]}},
    {"name":"y","containerEdits":{"env":["Y=1"]}}]})");
  EXPECT_TRUE(Resolve({"v.com/d=y"}).ok());
  const auto refused = Resolve({"v.com/d=x"});
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code(), base::Code::kUnimplemented);
  EXPECT_THAT(refused.error().message(), HasSubstr("v.com/d=x"));
  EXPECT_THAT(refused.error().message(), HasSubstr("hooks"));
}

TEST_F(Cdi, AnnotationsNameDevicesToo) {
  WriteDevice("etc/a.json", "x", "X");
  (*config_.mutable_annotations())["cdi.k8s.io/plugin_x"] = "v.com/d=x,v.com/d=x";
  EXPECT_THAT(Apply()->process.environment, ElementsAre("COMMON=X", "X=yes"));
  config_.add_cdi_devices()->set_name("v.com/d=x");
  EXPECT_THAT(Apply()->process.environment, ElementsAre("COMMON=X", "X=yes"));
  (*config_.mutable_annotations())["cdi.k8s.io/plugin_x"] = "nothing";
  EXPECT_EQ(Apply().error().code(), base::Code::kInvalidArgument);
}

TEST_F(Cdi, VariablesReplaceThoseOfTheSameName) {
  spec_.process.environment = {"A=old", "B=kept"};
  UseEdits(R"({"env":["A=new"]})");
  EXPECT_THAT(Apply()->process.environment, ElementsAre("B=kept", "A=new"));
}

TEST_F(Cdi, DeviceNodesTakeFromTheHostWhatIsNotSaid) {
  spec_.process.user.uid = 7;
  UseEdits(R"({"deviceNodes":[{"path":"/dev/mine","hostPath":"/dev/null","permissions":"r","gid":5}]})");
  const auto spec = Apply();
  ASSERT_TRUE(spec.ok()) << spec.error().message();
  ASSERT_EQ(spec->process.devices.size(), 1u);
  const nspawn::Device& device = spec->process.devices[0];
  EXPECT_EQ(device.container_path, "/dev/mine");
  ASSERT_TRUE(device.node);
  EXPECT_EQ(device.node->type, 'c');
  EXPECT_EQ(device.node->major, 1u);
  EXPECT_EQ(device.node->minor, 3u);
  EXPECT_EQ(device.node->mode, 0666u);
  EXPECT_EQ(device.node->uid, 7u);
  EXPECT_EQ(device.node->gid, 5u);
  ASSERT_EQ(spec->devices.size(), 1u);
  EXPECT_EQ(spec->devices[0].path, "char 1:3");
  EXPECT_EQ(spec->devices[0].permissions, "r");
}

TEST_F(Cdi, DeviceNodesNeedNotBeThereWhenTheFileSaysAll) {
  UseEdits(R"({"deviceNodes":[{"path":"/dev/nowhere","type":"b","major":99,"minor":1,"fileMode":384}]})");
  EXPECT_EQ(Apply()->devices[0].path, "block 99:1");
  EXPECT_EQ(Apply()->process.devices[0].node->mode, 0600u);
  UseEdits(R"({"deviceNodes":[{"path":"/dev/nowhere"}]})");
  EXPECT_EQ(Apply().error().code(), base::Code::kNotFound);
  UseEdits(R"({"deviceNodes":[{"path":"/dev/null","type":"b"}]})");
  EXPECT_THAT(Apply().error().message(), HasSubstr("is of type c, not b"));
  UseEdits(R"({"deviceNodes":[{"path":"/dev/null","permissions":"none"}]})");
  EXPECT_THAT(Apply()->devices, IsEmpty());
}

TEST_F(Cdi, MountsAndGroupsAreAdded) {
  UseEdits(R"({"mounts":[{"hostPath":"/usr","containerPath":"/opt","options":["ro","nosuid","rbind","rslave"]}],
               "additionalGids":[44,0]})");
  const auto spec = Apply();
  ASSERT_TRUE(spec.ok()) << spec.error().message();
  ASSERT_EQ(spec->process.mounts.size(), 1u);
  EXPECT_EQ(spec->process.mounts[0].destination, "/opt");
  EXPECT_TRUE(spec->process.mounts[0].read_only);
  EXPECT_NE(spec->process.mounts[0].attributes, 0u);
  EXPECT_EQ(spec->process.mounts[0].propagation, nspawn::Propagation::kHostToContainer);
  EXPECT_THAT(spec->process.user.supplementary_groups, ElementsAre(44));
  UseEdits(R"({"mounts":[{"hostPath":"/nonexistent","containerPath":"/opt"}]})");
  EXPECT_EQ(Apply().error().code(), base::Code::kNotFound);
  UseEdits(R"({"mounts":[{"hostPath":"tmpfs","containerPath":"/opt","type":"tmpfs"}]})");
  EXPECT_FALSE(Apply().ok());
  UseEdits(R"({"mounts":[{"hostPath":"/usr","containerPath":"/opt","options":["dax"]}]})");
  EXPECT_EQ(Apply().error().code(), base::Code::kUnimplemented);
}

TEST_F(Cdi, WithoutDirectoriesItIsSwitchedOff) {
  EXPECT_TRUE(Apply().ok());
  directories_.clear();
  config_.add_cdi_devices()->set_name("v.com/d=x");
  EXPECT_EQ(Apply().error().code(), base::Code::kFailedPrecondition);
}

class Devices : public testing::Test {
 protected:
  base::Result<nspawn::ContainerSpec> Make(const std::string& host_path, const std::string& permissions = "") {
    v1::ContainerConfig config;
    config.add_devices()->set_host_path(host_path);
    config.mutable_devices(0)->set_permissions(permissions);
    nspawn::ContainerSpec spec;
    RETURN_IF_ERROR(AddDevices(config, spec));
    return spec;
  }
};

TEST_F(Devices, KeepTheirPermissions) {
  EXPECT_EQ(Make("/dev/null", "rw")->devices.front().permissions, "rw");
  EXPECT_EQ(Make("/dev/null")->devices.front().permissions, "rwm");
  EXPECT_EQ(Make("/dev/null", "rwx").error().code(), base::Code::kInvalidArgument);
}

TEST_F(Devices, OfADirectoryAreAllBelowIt) {
  TemporaryDirectory directory;
  std::filesystem::create_directory(directory.path() + "/deep");
  ASSERT_EQ(::mknod((directory.path() + "/one").c_str(), S_IFCHR | 0600, makedev(1, 3)), 0);
  ASSERT_EQ(::mknod((directory.path() + "/deep/two").c_str(), S_IFCHR | 0600, makedev(1, 5)), 0);
  ASSERT_EQ(::symlink("/dev/zero", (directory.path() + "/link").c_str()), 0);
  const auto spec = Make(directory.path(), "r");
  ASSERT_TRUE(spec.ok()) << spec.error().message();
  std::vector<std::string> allowed;
  for (const auto& rule : spec->devices) allowed.push_back(rule.path + " " + rule.permissions);
  std::sort(allowed.begin(), allowed.end());
  EXPECT_THAT(allowed, ElementsAre(directory.path() + "/deep/two r", directory.path() + "/one r"));
  EXPECT_EQ(spec->process.devices.size(), 1u);
}

TEST_F(Devices, MustBeDevices) {
  TemporaryDirectory directory;
  EXPECT_EQ(Make("/etc/passwd").error().code(), base::Code::kInvalidArgument);
  EXPECT_EQ(Make("/dev/nothing").error().code(), base::Code::kNotFound);
  EXPECT_EQ(Make(directory.path()).error().code(), base::Code::kInvalidArgument);
  EXPECT_EQ(Make("/dev/../etc").error().code(), base::Code::kInvalidArgument);
  ASSERT_EQ(::symlink("/dev/null", (directory.path() + "/link").c_str()), 0);
  EXPECT_TRUE(Make(directory.path() + "/link").ok());
}

}  // namespace
}  // namespace cri
