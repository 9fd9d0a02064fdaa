#include "cri/user_namespace.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace cri {
namespace {

using testing::HasSubstr;

void Map(google::protobuf::RepeatedPtrField<v1::IDMapping>& mappings, uint32_t host, uint32_t container,
         uint32_t length) {
  auto& mapping = *mappings.Add();
  mapping.set_host_id(host);
  mapping.set_container_id(container);
  mapping.set_length(length);
}

v1::NamespaceOption Mapped(uint32_t host = 65536, uint32_t length = 65536) {
  v1::NamespaceOption options;
  auto& users = *options.mutable_userns_options();
  users.set_mode(v1::POD);
  Map(*users.mutable_uids(), host, 0, length);
  Map(*users.mutable_gids(), host, 0, length);
  return options;
}

v1::NamespaceOption OfNode() {
  v1::NamespaceOption options;
  options.mutable_userns_options()->set_mode(v1::NODE);
  return options;
}

void ExpectRefused(const v1::NamespaceOption& options, const std::string& why) {
  const base::Status checked = CheckUserNamespace(options);
  ASSERT_FALSE(checked.ok()) << why;
  EXPECT_EQ(checked.error().code(), base::Code::kInvalidArgument);
  EXPECT_THAT(checked.error().message(), HasSubstr(why));
}

TEST(UserNamespace, IsTheNodesOrMapsOneRange) {
  EXPECT_TRUE(CheckUserNamespace({}).ok());
  EXPECT_TRUE(CheckUserNamespace(OfNode()).ok());
  EXPECT_FALSE(UserNamespaceOf({}).has_value());
  EXPECT_FALSE(UserNamespaceOf(OfNode()).has_value());
  ASSERT_TRUE(CheckUserNamespace(Mapped()).ok());
  EXPECT_EQ(UserNamespaceOf(Mapped())->host_id, 65536U);
  EXPECT_EQ(UserNamespaceOf(Mapped())->length, 65536U);
}

TEST(UserNamespace, MappingsThatCannotBeAreRefused) {
  v1::NamespaceOption options = Mapped();
  Map(*options.mutable_userns_options()->mutable_uids(), 1, 100000, 1);
  ExpectRefused(options, "2 mappings of users");
  options = Mapped();
  options.mutable_userns_options()->clear_gids();
  ExpectRefused(options, "0 mappings of groups");
  options = Mapped();
  options.mutable_userns_options()->mutable_uids(0)->set_container_id(1);
  ExpectRefused(options, "does not begin with the container's id 0");
  ExpectRefused(Mapped(1000, 0), "length 0");
  ExpectRefused(Mapped(4294967295, 2), "beyond the greatest id");
  options = Mapped();
  options.mutable_userns_options()->mutable_gids(0)->set_host_id(131072);
  ExpectRefused(options, "same range");
  options = OfNode();
  Map(*options.mutable_userns_options()->mutable_uids(), 1, 0, 1);
  ExpectRefused(options, "given for the node's");
}

TEST(UserNamespace, OtherModesAreRefused) {
  v1::NamespaceOption options;
  options.mutable_userns_options()->set_mode(v1::CONTAINER);
  ExpectRefused(options, "mode CONTAINER");
  options.mutable_userns_options()->set_mode(v1::TARGET);
  ExpectRefused(options, "mode TARGET");
}

TEST(UserNamespace, DoesNotGoWithNamespacesOfTheNode) {
  v1::NamespaceOption options = Mapped();
  options.set_network(v1::NODE);
  ExpectRefused(options, "network, PID or IPC");
  options = Mapped();
  options.set_pid(v1::NODE);
  ExpectRefused(options, "network, PID or IPC");
  options = Mapped();
  options.set_ipc(v1::NODE);
  ExpectRefused(options, "network, PID or IPC");
}

TEST(UserNamespace, OfAContainerIsThatOfItsPod) {
  EXPECT_TRUE(CheckSameUserNamespace({}, OfNode()).ok());
  EXPECT_TRUE(CheckSameUserNamespace(Mapped(), Mapped()).ok());
  EXPECT_FALSE(CheckSameUserNamespace(Mapped(), {}).ok());
  EXPECT_FALSE(CheckSameUserNamespace({}, Mapped()).ok());
  EXPECT_FALSE(CheckSameUserNamespace(Mapped(1000), Mapped(2000)).ok());
}

}  // namespace
}  // namespace cri
