#include "cri/sandbox_files.h"

#include <gtest/gtest.h>

#include "base/files.h"
#include "fakes.h"

namespace cri {
namespace {

TEST(ResolvConf, HasSearchesServersAndOptions) {
  v1::DNSConfig dns;
  dns.add_servers("10.0.0.10");
  dns.add_servers("fd00::a");
  dns.add_searches("ns.svc.cluster.local");
  dns.add_searches("svc.cluster.local");
  dns.add_options("ndots:5");
  const auto text = ResolvConf(dns);
  ASSERT_TRUE(text.ok());
  EXPECT_EQ(*text,
            "search ns.svc.cluster.local svc.cluster.local\nnameserver 10.0.0.10\nnameserver fd00::a\n"
            "options ndots:5\n");
}

TEST(ResolvConf, RefusesValuesThatWouldMakeOtherLines) {
  for (const char* value : {"10.0.0.1\nnameserver 6.6.6.6", "a b", "", "\x01"}) {
    v1::DNSConfig dns;
    dns.add_searches(value);
    ASSERT_FALSE(ResolvConf(dns).ok());
    EXPECT_EQ(ResolvConf(dns).error().code(), base::Code::kInvalidArgument);
  }
}

TEST(WriteSandboxFiles, ThePodKnowsItsOwnName) {
  TemporaryDirectory directory;
  v1::PodSandboxConfig config;
  config.mutable_dns_config()->add_servers("10.0.0.10");
  ASSERT_TRUE(WriteSandboxFiles(directory.path() + "/pod", config, "web-0", false, {"10.1.2.3", "fd00::3"}).ok());
  EXPECT_EQ(*base::ReadFile(directory.path() + "/pod/hostname", 100), "web-0\n");
  EXPECT_EQ(*base::ReadFile(directory.path() + "/pod/resolv.conf", 100), "nameserver 10.0.0.10\n");
  const std::string hosts = *base::ReadFile(directory.path() + "/pod/hosts", 1000);
  EXPECT_NE(hosts.find("127.0.0.1\tlocalhost\n"), std::string::npos);
  EXPECT_NE(hosts.find("10.1.2.3\tweb-0\n"), std::string::npos);
  EXPECT_NE(hosts.find("fd00::3\tweb-0\n"), std::string::npos);
}

TEST(WriteSandboxFiles, OnTheHostsNetworkThePodHasTheHostsNames) {
  TemporaryDirectory directory;
  ASSERT_TRUE(WriteSandboxFiles(directory.path(), {}, "node", true, {}).ok());
  EXPECT_EQ(*base::ReadFile(directory.path() + "/hosts", 1 << 20), *base::ReadFile("/etc/hosts", 1 << 20));
}

}  // namespace
}  // namespace cri
