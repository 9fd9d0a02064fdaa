#include "cni/plugin_result.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace cni {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

base::Result<std::vector<std::string>> Addresses(const char* text) {
  auto result = base::ParseJsonObject(text);
  if (!result.ok()) return std::move(result).error();
  return AddressesOf(*result, "eth0");
}

TEST(PluginResult, EveryAddressOfThePodsInterfaceIsGivenInOrder) {
  const auto addresses = Addresses(R"({"cniVersion":"1.0.0",
      "interfaces":[{"name":"cni0","mac":"a"},{"name":"veth1"},{"name":"eth0","sandbox":"/run/netns/x"}],
      "ips":[{"address":"fd00::2/64","interface":2},{"address":"10.0.0.1/16","interface":0},
             {"address":"10.0.0.2/16","gateway":"10.0.0.1","interface":2}]})");
  ASSERT_TRUE(addresses.ok()) << addresses.error().message();
  EXPECT_THAT(*addresses, ElementsAre("fd00::2", "10.0.0.2"));
}

TEST(PluginResult, AnAddressWithoutInterfaceIsThePods) {
  EXPECT_THAT(*Addresses(R"({"ips":[{"version":"4","address":"10.0.0.2/16"}]})"), ElementsAre("10.0.0.2"));
  EXPECT_THAT(*Addresses(R"({"ips":[{"address":"10.0.0.2/16","interface":null}]})"), ElementsAre("10.0.0.2"));
}

TEST(PluginResult, PrefixLengthsAreThoseOfTheResult) {
  const auto addresses = InterfaceAddressesOf(
      *base::ParseJsonObject(R"({"ips":[{"address":"10.0.0.2/16"},{"address":"fd00::2/64"}]})"), "eth0");
  ASSERT_TRUE(addresses.ok()) << addresses.error().message();
  ASSERT_EQ(addresses->size(), 2u);
  EXPECT_EQ((*addresses)[0].address, "10.0.0.2");
  EXPECT_EQ((*addresses)[0].prefix_length, 16u);
  EXPECT_EQ((*addresses)[1].address, "fd00::2");
  EXPECT_EQ((*addresses)[1].prefix_length, 64u);
}

TEST(PluginResult, TheFormBeforeVersion030IsRead) {
  EXPECT_THAT(*Addresses(R"({"cniVersion":"0.2.0","ip4":{"ip":"10.0.0.2/16"},"ip6":{"ip":"fd00::2/64"},"dns":{}})"),
              ElementsAre("10.0.0.2", "fd00::2"));
}

TEST(PluginResult, AResultMayHaveNoAddresses) {
  EXPECT_THAT(*AddressesOf(base::Json(), "eth0"), IsEmpty());
  EXPECT_THAT(*Addresses("{}"), IsEmpty());
  EXPECT_THAT(*Addresses(R"({"ips":null})"), IsEmpty());
  EXPECT_THAT(*Addresses(R"({"ips":[]})"), IsEmpty());
}

TEST(PluginResult, MalformedResultsAreRefused) {
  for (const char* text : {
           R"({"ips":{}})",
           R"({"ips":[1]})",
           R"({"ips":[{}]})",
           R"({"ips":[{"address":5}]})",
           R"({"ips":[{"address":"10.0.0.2"}]})",
           R"({"ips":[{"address":"10.0.0.2/33"}]})",
           R"({"ips":[{"address":"10.0.0.2/"}]})",
           R"({"ips":[{"address":"10.0.0.2/-1"}]})",
           R"({"ips":[{"address":"10.0.0.2\u0000/24"}]})",
           R"({"ips":[{"address":"host.example/24"}]})",
           R"({"ips":[{"address":"fd00::2/129"}]})",
           R"({"ip4":"10.0.0.2/16"})",
           R"({"ip4":{}})",
           R"({"ips":[{"address":"10.0.0.2/16","interface":0}]})",
           R"({"ips":[{"address":"10.0.0.2/16","interface":"eth0"}],"interfaces":[{"name":"eth0"}]})",
           R"({"ips":[{"address":"10.0.0.2/16","interface":-1}],"interfaces":[{"name":"eth0"}]})",
           R"({"ips":[{"address":"10.0.0.2/16","interface":0.5}],"interfaces":[{"name":"eth0"}]})",
           R"({"ips":[{"address":"10.0.0.2/16","interface":1}],"interfaces":[{"name":"eth0"}]})",
           R"({"ips":[{"address":"10.0.0.2/16","interface":18446744073709551615}],"interfaces":[{"name":"eth0"}]})",
           R"({"ips":[{"address":"10.0.0.2/16","interface":0}],"interfaces":["eth0"]})",
           R"({"ips":[{"address":"10.0.0.2/16","interface":0}],"interfaces":[{"name":1}]})",
       }) {
    const auto addresses = Addresses(text);
    ASSERT_FALSE(addresses.ok()) << text;
    EXPECT_EQ(addresses.error().code(), base::Code::kInvalidArgument);
  }
  EXPECT_THAT(Addresses(R"({"ips":[{"address":"bad\u001b[31m"}]})").error().message(),
              HasSubstr("\"bad\\x1b[31m\" is not an address with a prefix length"));
}

TEST(PluginResult, AddressesAreInNumbers) {
  EXPECT_TRUE(IsAddress("127.0.0.1"));
  EXPECT_TRUE(IsAddress("::1"));
  EXPECT_FALSE(IsAddress(""));
  EXPECT_FALSE(IsAddress("localhost"));
  EXPECT_FALSE(IsAddress(std::string("::1\0", 4)));
}

}  // namespace
}  // namespace cni
