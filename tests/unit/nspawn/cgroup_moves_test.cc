#include "nspawn/cgroup_moves.h"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>

#include "base/files.h"

namespace nspawn {
namespace {

TEST(CgroupMoves, TheProcessStaysWhereItIs) {
  const auto before = base::ReadFile("/proc/self/cgroup", 1 << 16);
  ASSERT_TRUE(before.ok());
  for (int i = 0; i < 20; ++i) {
    ExpectCgroupMove();
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  const auto after = base::ReadFile("/proc/self/cgroup", 1 << 16);
  ASSERT_TRUE(after.ok());
  EXPECT_EQ(*after, *before);
}

}  // namespace
}  // namespace nspawn
