#include "nspawn/capabilities.h"

#include <gtest/gtest.h>
#include <linux/capability.h>

namespace nspawn {
namespace {

TEST(Capabilities, TakesEveryUsualSpelling) {
  EXPECT_EQ(CapabilityNumber("NET_ADMIN"), CAP_NET_ADMIN);
  EXPECT_EQ(CapabilityNumber("CAP_NET_ADMIN"), CAP_NET_ADMIN);
  EXPECT_EQ(CapabilityNumber("cap_net_admin"), CAP_NET_ADMIN);
  EXPECT_EQ(CapabilityNumber("chown"), CAP_CHOWN);
  EXPECT_EQ(CapabilityNumber("CAP_CHECKPOINT_RESTORE"), CAP_CHECKPOINT_RESTORE);
}

TEST(Capabilities, KnowsNoOtherName) {
  EXPECT_FALSE(CapabilityNumber(""));
  EXPECT_FALSE(CapabilityNumber("CAP_"));
  EXPECT_FALSE(CapabilityNumber("ALL"));
  EXPECT_FALSE(CapabilityNumber("CAP_CAP_CHOWN"));
}

TEST(Capabilities, TheDefaultSetIsThatOfContainerd) {
  EXPECT_EQ(kDefaultCapabilities, 0xa80425fbU);
}

TEST(Capabilities, AllAreAtLeastTheOnesThatThisProcessMayPass) {
  EXPECT_NE(AllCapabilities() & 1U << CAP_CHOWN, 0U);
  EXPECT_EQ(AllCapabilities() >> (CAP_LAST_CAP + 8), 0U);
}

}  // namespace
}  // namespace nspawn
