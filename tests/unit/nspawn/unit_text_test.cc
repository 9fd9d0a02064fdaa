#include "nspawn/unit_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "base/text.h"

namespace nspawn {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kInit[] = "/usr/lib/cri-nspawn/init";

ContainerSpec Spec() {
  ContainerSpec spec;
  spec.name = "default-web-nginx-0123456789ab";
  spec.description = "Container nginx";
  spec.slice = "kubepods-burstable-pod1_2.slice";
  return spec;
}

// "[Section] key=value" of every setting, read as systemd reads a unit file: a backslash at the end of a line joins the
// next one.
std::vector<std::string> Settings(const std::string& text) {
  std::vector<std::string> settings;
  std::string section;
  std::string joined;
  for (const std::string_view line : base::Split(text, '\n')) {
    joined += line;
    if (joined.ends_with('\\')) {
      joined.back() = ' ';
      continue;
    }
    const std::string_view logical = base::Trim(joined);
    if (logical.starts_with('[')) {
      section = logical;
    } else if (!logical.empty() && logical.front() != '#' && logical.front() != ';') {
      settings.push_back(section + " " + std::string(logical));
    }
    joined.clear();
  }
  return settings;
}

std::set<std::string> KeysOutsideMetadata(const std::string& text) {
  std::set<std::string> keys;
  for (const std::string& setting : Settings(text)) {
    if (!setting.starts_with("[X-Kubernetes] ")) keys.insert(setting.substr(0, setting.find('=')));
  }
  return keys;
}

TEST(UnitTextTest, SaysWhatTheContainerIs) {
  ContainerSpec spec = Spec();
  spec.network_namespace = "/run/netns/cni-1";
  spec.stop_signal = "SIGQUIT";
  spec.oom_score_adjust = 900;
  spec.metadata = {{"Namespace", "default"}, {"Pod", "web"}};
  const auto text = UnitText(spec, {}, kInit);
  ASSERT_TRUE(text.ok()) << text.error().message();
  for (const char* line :
       {"\nDescription=Container nginx\n", "\nType=notify\n", "\nNotifyAccess=all\n", "\nRemainAfterExit=yes\n",
        "\nExecStart=+/init\n", "\nBindReadOnlyPaths=/usr/lib/cri-nspawn/init:/init\n", "\nMountAPIVFS=no\n",
        "\nKillMode=mixed\n", "\nKillSignal=SIGQUIT\n", "\nSlice=kubepods-burstable-pod1_2.slice\n",
        "\nNetworkNamespacePath=/run/netns/cni-1\n", "\nOOMPolicy=continue\n", "\nOOMScoreAdjust=900\n",
        "\nTasksMax=infinity\n", "\nDevicePolicy=closed\n", "\n[X-Kubernetes]\nNamespace=default\nPod=web\n"}) {
    EXPECT_THAT(*text, HasSubstr(line));
  }
}

TEST(UnitTextTest, ABundleIsAWordForInit) {
  const auto text = UnitText(Spec(), {}, kInit, "/run/a b\"c$d%e");
  ASSERT_TRUE(text.ok()) << text.error().message();
  EXPECT_THAT(*text, HasSubstr("\nExecStart=+/usr/lib/cri-nspawn/init \"/run/a b\\\"c$$d%%e\"\n"));
  EXPECT_THAT(*text, Not(HasSubstr("Bind")));
  EXPECT_FALSE(UnitText(Spec(), {}, kInit, "/run/a\nExecStart=/bin/evil").ok());
}

TEST(UnitTextTest, HostileTextCannotLeaveItsLine) {
  const auto plain = UnitText(Spec(), {}, kInit);
  ASSERT_TRUE(plain.ok());
  const std::vector<std::string> hostile = {
      "a\n[Service]\nExecStart=/bin/evil",
      "a\r\n[Service]\r\nUser=root",
      "ends in a backslash\\",
      "ends in more\\\\\\",
      "\\\n",
      std::string("nul\0[Service]", 13),
      "\xff\xfe not UTF-8 \xc3",
      "line\u2028separator\u0085",
      "%n %H %% $HOME ${PATH} `id` \"quoted\" 'single'",
      "# comment",
      "[Service]",
      std::string(1 << 20, 'x') + "\n[Service]\nExecStart=/bin/evil",
      std::string(4095, 'x') + "\\",
      std::string(4096, 'x') + "\\\n",
  };
  for (const std::string& text : hostile) {
    ContainerSpec spec = Spec();
    spec.description = text;
    spec.metadata = {{"Key", text}, {text, "value"}, {"Last", text}};
    const auto unit = UnitText(spec, {}, kInit);
    ASSERT_TRUE(unit.ok());
    EXPECT_EQ(KeysOutsideMetadata(*unit), KeysOutsideMetadata(*plain)) << base::Printable(text, 80);
    EXPECT_LT(unit->size(), 100'000U);
    size_t metadata = 0;
    for (const std::string& setting : Settings(*unit)) metadata += setting.starts_with("[X-Kubernetes] ") ? 1 : 0;
    EXPECT_EQ(metadata, 3U) << base::Printable(text, 80);
  }
}

TEST(UnitTextTest, SpecifiersAreNotExpanded) {
  ContainerSpec spec = Spec();
  spec.description = "100% of %n";
  const auto text = UnitText(spec, {}, kInit);
  ASSERT_TRUE(text.ok());
  EXPECT_THAT(*text, HasSubstr("\nDescription=100%% of %%n\n"));
  EXPECT_EQ(EscapeSpecifiers("50%\n"), "50%%\\x0a");
}

TEST(UnitTextTest, MetadataKeysKeepToTheirSideOfTheEqualsSign) {
  ContainerSpec spec = Spec();
  spec.metadata = {{"app.kubernetes.io/name", "web"}, {"a=b", "c"}, {"[x]", "y"}, {"#x", "y"}};
  const auto text = UnitText(spec, {}, kInit);
  ASSERT_TRUE(text.ok());
  EXPECT_THAT(*text, HasSubstr("[X-Kubernetes]\napp.kubernetes.io/name=web\na\\x3db=c\n\\x5bx\\x5d=y\n\\x23x=y\n"));
}

TEST(UnitTextTest, RefusesWhatNoUnitCanSay) {
  const auto refused = [](const auto& change) {
    ContainerSpec spec = Spec();
    change(spec);
    const auto text = UnitText(spec, {}, kInit);
    return !text.ok() && text.error().code() == base::Code::kInvalidArgument;
  };
  for (const char* slice :
       {"not-a-slice", "a.slice\nUser=x", ".slice", "a b.slice", "%i.slice", "../a.slice", "a/b.slice"}) {
    EXPECT_TRUE(refused([&](ContainerSpec& spec) { spec.slice = slice; })) << slice;
  }
  for (const char* path : {"relative", "/run/netns/a\nUser=x", "/run/netns/a\\", "/run/netns/a "}) {
    EXPECT_TRUE(refused([&](ContainerSpec& spec) { spec.network_namespace = path; })) << path;
  }
  for (const char* signal : {"SIGNOPE", "0", "65", "TERM\nUser=x", "RTMIN+99"}) {
    EXPECT_TRUE(refused([&](ContainerSpec& spec) { spec.stop_signal = signal; })) << signal;
  }
  for (const char* path : {"char-\"x", "char 1", "char a:b", "char *:3", "char 1:3 rwm"}) {
    EXPECT_TRUE(refused([&](ContainerSpec& spec) { spec.devices = {{path, "rwm"}}; })) << path;
  }
  for (const char* permissions : {"", "x", "rwmr", "r w", "rw\n"}) {
    EXPECT_TRUE(refused([&](ContainerSpec& spec) { spec.devices = {{"/dev/fuse", permissions}}; })) << permissions;
  }
  EXPECT_TRUE(refused([](ContainerSpec& spec) { spec.oom_score_adjust = 1001; }));
}

TEST(UnitTextTest, DevicesAreAllowedByPathClassOrNumber) {
  ContainerSpec spec = Spec();
  spec.devices = {{"/dev/fuse", "rwm"}, {"char-pts", "rw"}, {"char 10:200", "r"}, {"block 8:*", "rw"}};
  const auto text = UnitText(spec, {}, kInit);
  ASSERT_TRUE(text.ok()) << text.error().message();
  EXPECT_THAT(*text, AllOf(HasSubstr("\nDeviceAllow=/dev/fuse rwm\n"), HasSubstr("\nDeviceAllow=char-pts rw\n"),
                           HasSubstr("\nDeviceAllow=/dev/char/10:200 r\n"), HasSubstr("\nDeviceAllow=block-8 rw\n")));
}

TEST(UnitTextTest, PrivilegedContainerHasAllDevicesAndItsCgroup) {
  ContainerSpec spec = Spec();
  spec.all_devices = true;
  spec.process.privileged = true;
  const auto text = UnitText(spec, {}, kInit);
  ASSERT_TRUE(text.ok());
  EXPECT_THAT(*text,
              AllOf(HasSubstr("\nDevicePolicy=auto\n"), Not(HasSubstr("DeviceAllow=")), HasSubstr("\nDelegate=yes\n")));
}

TEST(UnitTextTest, ResourcesFollowTheirDefaults) {
  ContainerSpec spec = Spec();
  spec.resources.memory_limit = 1 << 20;
  spec.resources.unified = {{"pids.max", "7"}, {"memory.oom.group", "1"}};
  const auto resources = MapResources(spec.resources);
  ASSERT_TRUE(resources.ok());
  const auto text = UnitText(spec, *resources, kInit);
  ASSERT_TRUE(text.ok());
  EXPECT_THAT(*text, AllOf(HasSubstr("\nMemoryMax=1048576\n"), HasSubstr("\nOOMPolicy=kill\n")));
  EXPECT_LT(text->find("TasksMax=infinity"), text->find("TasksMax=7"));
}

}  // namespace
}  // namespace nspawn
