#include "cri/sysctls.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace cri {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

v1::NamespaceOption& Options(v1::PodSandboxConfig& config) {
  return *config.mutable_linux()->mutable_security_context()->mutable_namespace_options();
}

v1::PodSandboxConfig With(const std::string& name, const std::string& value = "1") {
  v1::PodSandboxConfig config;
  (*config.mutable_linux()->mutable_sysctls())[name] = value;
  return config;
}

TEST(Sysctls, AreSortedByNamespace) {
  v1::PodSandboxConfig config = With("net.ipv4.ip_forward");
  auto& all = *config.mutable_linux()->mutable_sysctls();
  all["net/ipv4/conf/eth0.1/forwarding"] = "0";
  all["kernel.shm_rmid_forced"] = "1";
  all["kernel.sem"] = "250\t32000 32 128";
  all["fs.mqueue.msg_max"] = "20";
  const auto sysctls = ReadSysctls(config);
  ASSERT_TRUE(sysctls.ok()) << sysctls.error().message();
  EXPECT_THAT(sysctls->network,
              ElementsAre(Pair("net.ipv4.ip_forward", "1"), Pair("net/ipv4/conf/eth0.1/forwarding", "0")));
  EXPECT_THAT(sysctls->ipc, ElementsAre(Pair("fs.mqueue.msg_max", "20"), Pair("kernel.sem", "250\t32000 32 128"),
                                        Pair("kernel.shm_rmid_forced", "1")));
}

TEST(Sysctls, ThoseOfTheNodeAreRefused) {
  for (const char* name :
       {"kernel.panic", "vm.overcommit_memory", "fs.file-max", "kernel.core_pattern", "kernel.shmmax2", "fs.mqueue2.x",
        "netx.ipv4", "kernel.domainname", "user.max_user_namespaces"}) {
    const auto sysctls = ReadSysctls(With(name));
    ASSERT_FALSE(sysctls.ok()) << name;
    EXPECT_EQ(sysctls.error().code(), base::Code::kInvalidArgument);
    EXPECT_THAT(sysctls.error().message(), HasSubstr("would change the node"));
  }
}

TEST(Sysctls, HostileNamesAreRefused) {
  for (const std::string& name :
       {std::string("net/../kernel/core_pattern"), std::string("net.ipv4//x"), std::string("net/"),
        std::string("/net/ipv4/x"), std::string("net"), std::string(""),
        std::string("net.ipv4.ip_forward\nkernel.panic"), std::string("net.ipv4. x"), std::string("net.ipv4\0.x", 11),
        std::string("net/./ipv4/x"), std::string("net.ipv4.%2e%2e"), std::string("net.///.kernel.panic"),
        "net." + std::string(1000, 'a')}) {
    const auto sysctls = ReadSysctls(With(name));
    ASSERT_FALSE(sysctls.ok()) << name;
    EXPECT_EQ(sysctls.error().code(), base::Code::kInvalidArgument) << name;
  }
}

TEST(Sysctls, HostileValuesAreRefused) {
  for (const std::string& value : {std::string(), std::string("1\n2"), std::string("1\0", 2), std::string(5000, '1')}) {
    EXPECT_FALSE(ReadSysctls(With("net.ipv4.ip_forward", value)).ok()) << value;
  }
  for (const char* value : {"1+kernel.core_pattern=|/evil #", "1 kernel.core_pattern=|/evil", "0x10", "on"}) {
    EXPECT_THAT(ReadSysctls(With("kernel.shm_rmid_forced", value)).error().message(), HasSubstr("numbers")) << value;
  }
}

TEST(Sysctls, ANamespaceOfTheNodeIsNotTouched) {
  v1::PodSandboxConfig config = With("net.ipv4.ip_forward");
  Options(config).set_network(v1::NODE);
  EXPECT_THAT(ReadSysctls(config).error().message(), HasSubstr("uses the node's network"));
  config = With("kernel.shmmax");
  Options(config).set_ipc(v1::NODE);
  EXPECT_THAT(ReadSysctls(config).error().message(), HasSubstr("uses the node's IPC"));
}

}  // namespace
}  // namespace cri
