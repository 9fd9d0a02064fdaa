#include "nspawn/resources.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

namespace nspawn {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::Pair;

constexpr uint64_t kInfinity = std::numeric_limits<uint64_t>::max();

std::vector<std::string> Lines(const Resources& resources) {
  const auto mapped = MapResources(resources);
  EXPECT_TRUE(mapped.ok()) << mapped.error().message();
  std::vector<std::string> lines;
  for (const auto& entry : mapped->unit) lines.push_back(entry.line);
  return lines;
}

std::vector<Setting> Settings(const Resources& resources) {
  const auto mapped = MapResources(resources);
  EXPECT_TRUE(mapped.ok()) << mapped.error().message();
  std::vector<Setting> settings;
  for (const auto& entry : mapped->unit) settings.push_back(entry.setting);
  return settings;
}

bool Refused(const Resources& resources) {
  const auto mapped = MapResources(resources);
  return !mapped.ok() && mapped.error().code() == base::Code::kInvalidArgument;
}

bool RefusedUnified(const std::string& file, const std::string& value) {
  Resources resources;
  resources.unified = {{file, value}};
  return Refused(resources);
}

TEST(ResourcesTest, NothingAskedForIsNothingSet) {
  EXPECT_THAT(Lines({}), IsEmpty());
  Resources zero;
  zero.cpu_shares = 0;
  zero.cpu_quota = 0;
  zero.cpu_period = 0;
  zero.memory_limit = 0;
  zero.memory_swap_limit = 0;
  EXPECT_THAT(Lines(zero), IsEmpty());
}

TEST(ResourcesTest, SharesBecomeTheWeightsThatOtherRuntimesUse) {
  EXPECT_EQ(CpuWeightOfShares(2), 1U);
  EXPECT_EQ(CpuWeightOfShares(102), 17U);
  EXPECT_EQ(CpuWeightOfShares(1024), 100U);
  EXPECT_EQ(CpuWeightOfShares(262'144), 10'000U);
  EXPECT_EQ(CpuWeightOfShares(std::numeric_limits<uint64_t>::max()), 10'000U);
  uint64_t before = 0;
  for (uint64_t shares = 0; shares <= 262'144; shares += 97) {
    const uint64_t weight = CpuWeightOfShares(shares);
    EXPECT_GE(weight, std::max<uint64_t>(before, 1));
    EXPECT_LE(weight, 10'000U);
    before = weight;
  }
}

TEST(ResourcesTest, QuotaIsTheSameInTheUnitAndOnTheBus) {
  Resources resources;
  resources.cpu_quota = 12'345;
  resources.cpu_period = 100'000;
  EXPECT_THAT(Lines(resources), ElementsAre("CPUQuota=12.35%", "CPUQuotaPeriodSec=100000us"));
  EXPECT_THAT(Settings(resources), ElementsAre(Setting{"CPUQuotaPerSecUSec", uint64_t{123'500}},
                                               Setting{"CPUQuotaPeriodUSec", uint64_t{100'000}}));
  resources.cpu_quota = 400'000;
  EXPECT_EQ(Lines(resources)[0], "CPUQuota=400.00%");
  resources.cpu_quota = 1;
  EXPECT_EQ(Lines(resources)[0], "CPUQuota=0.01%");
  resources.cpu_quota = -1;
  EXPECT_EQ(Lines(resources)[0], "CPUQuota=");
  EXPECT_EQ(Settings(resources)[0], (Setting{"CPUQuotaPerSecUSec", kInfinity}));
}

TEST(ResourcesTest, SwapIsWhatIsLeftOfBothTogether) {
  Resources resources;
  resources.memory_limit = 1000;
  resources.memory_swap_limit = 1000;
  EXPECT_THAT(Lines(resources), ElementsAre("MemoryMax=1000", "MemorySwapMax=0"));
  resources.memory_swap_limit = 1500;
  EXPECT_THAT(Lines(resources), ElementsAre("MemoryMax=1000", "MemorySwapMax=500"));
  resources.memory_swap_limit = -1;
  EXPECT_THAT(Lines(resources), ElementsAre("MemoryMax=1000", "MemorySwapMax=infinity"));
  resources.memory_limit = -1;
  EXPECT_THAT(Lines(resources), ElementsAre("MemoryMax=infinity", "MemorySwapMax=infinity"));
  resources.memory_swap_limit = 1500;
  EXPECT_TRUE(Refused(resources));
  resources.memory_limit = 2000;
  EXPECT_TRUE(Refused(resources));
}

TEST(ResourcesTest, CpuSetsAreMasksOnTheBus) {
  Resources resources;
  resources.cpuset_cpus = "0-1,3,9";
  resources.cpuset_mems = "0";
  EXPECT_THAT(Lines(resources), ElementsAre("AllowedCPUs=0-1,3,9", "AllowedMemoryNodes=0"));
  EXPECT_THAT(Settings(resources), ElementsAre(Setting{"AllowedCPUs", std::vector<uint8_t>{0x0b, 0x02}},
                                               Setting{"AllowedMemoryNodes", std::vector<uint8_t>{0x01}}));
  for (const char* list : {"a", "1-", "-1", "3-1", "1-2-3", "0,,1", "99999", "0-18446744073709551615", "0\n1"}) {
    resources.cpuset_cpus = list;
    EXPECT_TRUE(Refused(resources)) << list;
  }
}

TEST(ResourcesTest, UnifiedFilesBecomeSettingsWhereThereIsOne) {
  Resources resources;
  resources.memory_limit = 1000;
  resources.unified = {{"memory.high", "900"},      {"memory.max", "2000"},    {"memory.swap.max", "max"},
                       {"pids.max", "32"},          {"cpu.weight", "250"},     {"io.weight", "default 50"},
                       {"cpu.max", "50000 100000"}, {"memory.oom.group", "1"}, {"memory.min", "1"},
                       {"memory.low", "2"},         {"cpuset.cpus", "1"}};
  EXPECT_THAT(Lines(resources),
              ElementsAre("MemoryHigh=900", "MemoryMax=2000", "MemorySwapMax=infinity", "TasksMax=32", "CPUWeight=250",
                          "IOWeight=50", "CPUQuota=50.00%", "CPUQuotaPeriodSec=100000us", "MemoryMin=1", "MemoryLow=2",
                          "AllowedCPUs=1"));
  EXPECT_EQ(MapResources(resources)->oom_group, true);
  EXPECT_THAT(MapResources(resources)->files, IsEmpty());
}

TEST(ResourcesTest, OtherFilesAreLeftToTheCgroup) {
  Resources resources;
  resources.hugepage_limits = {{"2MB", 4096}};
  resources.unified = {{"rdma.max", "mlx4_0 hca_handle=2"}, {"io.max", "8:16 rbps=2097152"}, {"memory.zswap.max", "0"}};
  EXPECT_THAT(Lines(resources), IsEmpty());
  EXPECT_THAT(MapResources(resources)->files,
              ElementsAre(Pair("hugetlb.2MB.max", "4096"), Pair("rdma.max", "mlx4_0 hca_handle=2"),
                          Pair("io.max", "8:16 rbps=2097152"), Pair("memory.zswap.max", "0")));
}

TEST(ResourcesTest, RefusesFilesThatAreNoResources) {
  for (const char* file :
       {"cgroup.procs", "cgroup.kill", "../memory.max", "a/b.max", "", ".", "..", "nodot", "a.b\n"}) {
    EXPECT_TRUE(RefusedUnified(file, "1")) << file;
  }
}

TEST(ResourcesTest, RefusesValuesThatMakeNoSense) {
  for (const auto& [file, value] :
       {std::pair("memory.max", "1k"), std::pair("memory.max", "-1"), std::pair("memory.max", "1\nUser=root"),
        std::pair("cpu.weight", "0"), std::pair("cpu.weight", "10001"), std::pair("cpu.max", "0"),
        std::pair("cpu.max", "1 2 3"), std::pair("cpu.max", "1 5"), std::pair("cpu.max", ""),
        std::pair("memory.oom.group", "2"), std::pair("pids.max", "")}) {
    EXPECT_TRUE(RefusedUnified(file, value)) << file << "=" << value;
  }
  Resources resources;
  resources.cpu_quota = std::numeric_limits<int64_t>::max();
  EXPECT_TRUE(Refused(resources));
  resources.cpu_quota = 1000;
  resources.cpu_period = 1;
  EXPECT_TRUE(Refused(resources));
}

}  // namespace
}  // namespace nspawn
