#include "nspawn/hostname.h"

#include <gtest/gtest.h>

namespace nspawn {
namespace {

TEST(Hostname, IsWhatAKubeletMaySend) {
  // A pod's name, spec.hostname, and those with a domain.
  for (const std::string& name : {std::string("web-0"), std::string("web.example"), std::string("0"), std::string("A"),
                                  std::string("web-0.nginx.default.svc.cluster.local"), std::string(64, 'a')}) {
    EXPECT_TRUE(IsHostname(name)) << name;
  }
}

TEST(Hostname, HasNothingThatSystemdDoesNotTake) {
  for (const std::string& name :
       {std::string(), std::string("my_host"), std::string("-a"), std::string("a-"), std::string("a."),
        std::string(".a"), std::string("a..b"), std::string("a.-b"), std::string("a b"), std::string("a\n"),
        std::string("$HOME"), std::string("\xc3\xa4"), std::string(65, 'a')}) {
    EXPECT_FALSE(IsHostname(name)) << name;
  }
}

TEST(Hostname, IsMadeOfThePodsName) {
  const std::pair<std::string, std::string> names[] = {
      {"web", "web"},
      {"web.example", "web.example"},
      {"my_pod", "my-pod"},
      {"_a-._b..c-", "a.b.c"},
      {std::string(62, 'a') + "-b", std::string(62, 'a')},
      {std::string(100, 'a'), std::string(63, 'a')},
      {"__", "pod"},
      {"", "pod"},
  };
  for (const auto& [pod, hostname] : names) {
    EXPECT_EQ(HostnameFrom(pod), hostname) << pod;
    EXPECT_TRUE(IsHostname(hostname)) << hostname;
  }
}

}  // namespace
}  // namespace nspawn
