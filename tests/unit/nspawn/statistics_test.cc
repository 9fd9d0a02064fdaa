#include "nspawn/statistics.h"

#include <gtest/gtest.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

namespace nspawn {
namespace {

class StatisticsFiles : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = testing::TempDir() + "/statistics-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    root_ = pattern;
    std::filesystem::create_directories(root_ + "/pod.slice/web.service");
  }
  void TearDown() override { std::filesystem::remove_all(root_); }
  void Write(const std::string& name, const std::string& content) const {
    std::ofstream(root_ + "/pod.slice/web.service/" + name) << content;
  }
  Statistics Read() const {
    auto result = ReadStatistics("pod.slice/web.service", root_);
    EXPECT_TRUE(result.ok()) << result.error().message();
    return result.ok() ? *result : Statistics();
  }
  std::string root_;
};

TEST_F(StatisticsFiles, AllFilesOfACgroupAreRead) {
  Write("cpu.stat",
        "usage_usec 1234567\nuser_usec 1\nsystem_usec 2\nnr_periods 8\nnr_throttled 3\nthrottled_usec 5000\n");
  Write("memory.peak", "55000000\n");
  Write("memory.events", "low 0\nhigh 0\nmax 4\noom 1\noom_kill 6\n");
  Write("pids.max", "max\n");
  Write("io.stat", "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0\n253:1 \n");
  Write("memory.current", "50000000\n");
  Write("memory.max", "60000000\n");
  Write("memory.stat",
        "anon 30000000\nfile 20000000\ninactive_anon 1\ninactive_file 12000000\npgfault 77\npgmajfault 5\n");
  Write("memory.swap.current", "4096\n");
  Write("memory.swap.max", "8192\n");
  Write("pids.current", "12\n");
  Write("cpu.pressure",
        "some avg10=1.50 avg60=0.25 avg300=0.01 total=9876\nfull avg10=0.50 avg60=0.00 avg300=0.00 total=12\n");
  Write("io.pressure", "some avg10=0.00 avg60=0.00 avg300=99.99 total=18446744073709551615\n");
  const Statistics read = Read();
  EXPECT_GT(read.timestamp, 1'600'000'000'000'000'000);
  EXPECT_EQ(read.cpu_nanoseconds, 1234567000u);
  EXPECT_EQ(read.cpu_user_nanoseconds, 1000u);
  EXPECT_EQ(read.cpu_system_nanoseconds, 2000u);
  EXPECT_EQ(read.cpu_periods, 8u);
  EXPECT_EQ(read.cpu_throttled_periods, 3u);
  EXPECT_EQ(read.cpu_throttled_nanoseconds, 5000000u);
  EXPECT_EQ(read.memory_peak, 55000000u);
  EXPECT_EQ(read.memory_cache, 20000000u);
  EXPECT_EQ(read.memory_inactive_file, 12000000u);
  EXPECT_FALSE(read.memory_kernel) << "an older kernel does not tell";
  EXPECT_EQ(read.memory_limit_hits, 4u);
  EXPECT_EQ(read.oom_kills, 6u);
  EXPECT_FALSE(read.most_processes);
  ASSERT_EQ(read.io.size(), 2u);
  EXPECT_EQ(read.io[0].device, "8:0");
  EXPECT_EQ(read.io[0].read_bytes, 1u);
  EXPECT_EQ(read.io[0].written_bytes, 2u);
  EXPECT_EQ(read.io[0].reads, 3u);
  EXPECT_EQ(read.io[0].writes, 4u);
  EXPECT_EQ(read.memory_usage, 50000000u);
  EXPECT_EQ(read.memory_working_set, 38000000u);
  EXPECT_EQ(read.memory_available, 22000000u);
  EXPECT_EQ(read.memory_rss, 30000000u);
  EXPECT_EQ(read.page_faults, 77u);
  EXPECT_EQ(read.major_page_faults, 5u);
  EXPECT_EQ(read.swap_usage, 4096u);
  EXPECT_EQ(read.swap_available, 4096u);
  EXPECT_EQ(read.processes, 12u);
  ASSERT_TRUE(read.cpu_pressure.has_value());
  EXPECT_DOUBLE_EQ(read.cpu_pressure->some.average10, 1.5);
  EXPECT_DOUBLE_EQ(read.cpu_pressure->some.average60, 0.25);
  EXPECT_DOUBLE_EQ(read.cpu_pressure->some.average300, 0.01);
  EXPECT_EQ(read.cpu_pressure->some.total, 9876u);
  EXPECT_DOUBLE_EQ(read.cpu_pressure->full.average10, 0.5);
  EXPECT_EQ(read.cpu_pressure->full.total, 12u);
  EXPECT_FALSE(read.memory_pressure.has_value());
  ASSERT_TRUE(read.io_pressure.has_value());
  EXPECT_EQ(read.io_pressure->some.total, UINT64_MAX);
}

TEST_F(StatisticsFiles, WithoutControllersOnlyTheCpuTimeIsThere) {
  Write("cpu.stat", "usage_usec 5\nuser_usec 1\nsystem_usec 4\n");
  const Statistics read = Read();
  EXPECT_EQ(read.cpu_nanoseconds, 5000u);
  EXPECT_FALSE(read.memory_usage || read.memory_working_set || read.memory_available || read.memory_rss ||
               read.page_faults || read.swap_usage || read.swap_available || read.processes);
}

TEST_F(StatisticsFiles, WithoutALimitNothingIsAvailable) {
  Write("memory.current", "100\n");
  Write("memory.max", "max\n");
  Write("memory.stat", "inactive_file 40\n");
  Write("memory.swap.current", "7\n");
  Write("memory.swap.max", "max\n");
  const Statistics read = Read();
  EXPECT_EQ(read.memory_working_set, 60u);
  EXPECT_FALSE(read.memory_available.has_value());
  EXPECT_EQ(read.swap_usage, 7u);
  EXPECT_FALSE(read.swap_available.has_value());
}

TEST_F(StatisticsFiles, DifferencesDoNotFallBelowZero) {
  Write("memory.current", "100\n");
  Write("memory.max", "50\n");
  Write("memory.stat", "inactive_file 400\n");
  Write("memory.swap.current", "9\n");
  Write("memory.swap.max", "0\n");
  EXPECT_EQ(Read().memory_working_set, 0u);
  EXPECT_EQ(Read().memory_available, 50u);
  EXPECT_EQ(Read().swap_available, 0u);
  Write("memory.stat", "inactive_file 10\n");
  EXPECT_EQ(Read().memory_available, 0u);
}

TEST_F(StatisticsFiles, GarbageIsLeftOut) {
  Write("cpu.stat", "usage_usec -1\nusage_usec_x 4\nxusage_usec 3\n");
  Write("memory.current", "99999999999999999999999\n");
  Write("memory.stat", std::string(10, '\0') + "anon 5 6\ninactive_file\n\n \n");
  Write("pids.current", "");
  Write("cpu.pressure", "some avg10=x avg60=0 avg300=0 total=1\n");
  Write("memory.pressure", "some\n");
  Write("io.pressure", std::string(100'000, 's'));
  ASSERT_EQ(::symlink("/etc/hostname", (root_ + "/pod.slice/web.service/memory.max").c_str()), 0);
  const Statistics read = Read();
  EXPECT_FALSE(read.cpu_nanoseconds || read.memory_usage || read.memory_working_set || read.memory_rss ||
               read.memory_available || read.processes);
  EXPECT_FALSE(read.cpu_pressure || read.memory_pressure || read.io_pressure);
}

TEST(StatisticsSum, AddsWhatOneOfThemHas) {
  Statistics a;
  Statistics b;
  a.timestamp = 5;
  b.timestamp = 7;
  a.cpu_nanoseconds = 1;
  b.cpu_nanoseconds = 2;
  b.processes = 4;
  a.io = {{"8:0", 1, 2, 3, 4}};
  b.io = {{"8:0", 10, 20, 30, 40}, {"8:16", 5, 5, 5, 5}};
  const Statistics sum = Sum({a, b});
  EXPECT_EQ(sum.timestamp, 7);
  EXPECT_EQ(sum.cpu_nanoseconds, 3u);
  EXPECT_EQ(sum.processes, 4u);
  EXPECT_FALSE(sum.memory_usage);
  ASSERT_EQ(sum.io.size(), 2u);
  EXPECT_EQ(sum.io[0].written_bytes, 22u);
  EXPECT_EQ(sum.io[1].device, "8:16");
}

TEST_F(StatisticsFiles, ACgroupThatIsGoneIsNotFound) {
  const auto read = ReadStatistics("pod.slice/other.service", root_);
  ASSERT_FALSE(read.ok());
  EXPECT_EQ(read.error().code(), base::Code::kNotFound);
}

TEST_F(StatisticsFiles, InterfacesComeFromTheNetworkNamespaceOfTheProcess) {
  std::filesystem::create_directories(root_ + "/77/net");
  std::ofstream(root_ + "/77/net/dev")
      << "Inter-|   Receive                                                |  Transmit\n"
         " face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls "
         "carrier compressed\n"
         "    lo:     100       1    0    0    0     0          0         0      100       1    0    0    0     0      "
         " "
         "0          0\n"
         "  eth0:18446744073709551615 10 3 0 0 0 0 0 2048 9 4 0 0 0 0 0\n";
  const auto read = ReadNetworkInterfaces(77, root_);
  ASSERT_TRUE(read.ok()) << read.error().message();
  ASSERT_EQ(read->size(), 2u);
  EXPECT_EQ((*read)[0].name, "lo");
  EXPECT_EQ((*read)[1].name, "eth0");
  EXPECT_EQ((*read)[1].received_bytes, UINT64_MAX);
  EXPECT_EQ((*read)[1].received_errors, 3u);
  EXPECT_EQ((*read)[1].sent_bytes, 2048u);
  EXPECT_EQ((*read)[1].sent_errors, 4u);
  EXPECT_EQ((*read)[1].received_packets, 10u);
  EXPECT_EQ((*read)[1].sent_packets, 9u);

  std::ofstream(root_ + "/77/net/dev") << "eth0: 1 2 x\n";
  EXPECT_FALSE(ReadNetworkInterfaces(77, root_).ok());
  EXPECT_EQ(ReadNetworkInterfaces(78, root_).error().code(), base::Code::kNotFound);
}

TEST_F(StatisticsFiles, TheKernelsOwnNetworkFileIsUnderstood) {
  const auto read = ReadNetworkInterfaces(::getpid());
  ASSERT_TRUE(read.ok()) << read.error().message();
  EXPECT_FALSE(read->empty());
}

class DiskUsages : public StatisticsFiles {
 protected:
  void SetUp() override {
    StatisticsFiles::SetUp();
    tree_ = root_ + "/tree";
    std::filesystem::create_directories(tree_ + "/a/b");
  }
  static uint64_t Blocks(const std::string& path) {
    struct stat info {};
    EXPECT_EQ(::lstat(path.c_str(), &info), 0) << path;
    return static_cast<uint64_t>(info.st_blocks) * 512;
  }
  std::string tree_;
};

TEST_F(DiskUsages, HardLinksCountOnceAndLinksAreNotFollowed) {
  std::ofstream(tree_ + "/a/file") << std::string(100'000, 'x');
  std::filesystem::create_hard_link(tree_ + "/a/file", tree_ + "/a/b/same");
  std::filesystem::create_symlink("/usr", tree_ + "/a/b/link");
  std::filesystem::create_symlink("..", tree_ + "/a/b/up");
  std::ofstream(tree_ + "/sparse").close();
  std::filesystem::resize_file(tree_ + "/sparse", 1 << 30);
  const auto usage = ReadDiskUsage(tree_, 100);
  ASSERT_TRUE(usage.ok()) << usage.error().message();
  EXPECT_EQ(usage->inodes, 7u);  // tree a b file sparse link up
  EXPECT_EQ(usage->bytes, Blocks(tree_) + Blocks(tree_ + "/a") + Blocks(tree_ + "/a/b") + Blocks(tree_ + "/a/file") +
                              Blocks(tree_ + "/sparse") + Blocks(tree_ + "/a/b/link") + Blocks(tree_ + "/a/b/up"));
}

TEST_F(DiskUsages, TheNumberOfEntriesIsBounded) {
  for (int i = 0; i < 20; ++i) std::ofstream(tree_ + "/a/" + std::to_string(i)).close();
  EXPECT_TRUE(ReadDiskUsage(tree_, 22).ok());
  const auto usage = ReadDiskUsage(tree_, 21);
  ASSERT_FALSE(usage.ok());
  EXPECT_EQ(usage.error().code(), base::Code::kResourceExhausted);
}

TEST_F(DiskUsages, AVeryDeepTreeIsMeasured) {
  const auto before = std::filesystem::current_path();
  std::filesystem::current_path(tree_);
  constexpr int kDepth = 1200;  // beyond PATH_MAX and the usual number of open files
  const std::string name(200, 'd');
  for (int i = 0; i < kDepth; ++i) {
    ASSERT_EQ(::mkdir(name.c_str(), 0700), 0);
    ASSERT_EQ(::chdir(name.c_str()), 0);
  }
  const auto usage = ReadDiskUsage(tree_, 10'000);
  for (int i = 0; i < kDepth; ++i) {
    ASSERT_EQ(::chdir(".."), 0);
    ASSERT_EQ(::rmdir(name.c_str()), 0);
  }
  std::filesystem::current_path(before);
  ASSERT_TRUE(usage.ok()) << usage.error().message();
  EXPECT_EQ(usage->inodes, kDepth + 3u);
}

TEST_F(DiskUsages, MountsAreNotEntered) {
  if (::unshare(CLONE_NEWNS) != 0) GTEST_SKIP() << "mount namespaces are not allowed here";
  ASSERT_EQ(::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
  std::filesystem::create_directories(tree_ + "/tmpfs");
  std::filesystem::create_directories(tree_ + "/bound");
  std::filesystem::create_directories(root_ + "/outside/deeper");
  ASSERT_EQ(::mount("tmpfs", (tree_ + "/tmpfs").c_str(), "tmpfs", 0, nullptr), 0);
  std::ofstream(tree_ + "/tmpfs/file") << "x";
  ASSERT_EQ(::mount((root_ + "/outside").c_str(), (tree_ + "/bound").c_str(), nullptr, MS_BIND, nullptr), 0);
  const auto usage = ReadDiskUsage(tree_, 100);
  ::umount((tree_ + "/bound").c_str());
  ::umount((tree_ + "/tmpfs").c_str());
  ASSERT_TRUE(usage.ok()) << usage.error().message();
  EXPECT_EQ(usage->inodes, 4u);  // tree a b bound
}

TEST_F(DiskUsages, ATreeThatIsNotThereIsNotFound) {
  EXPECT_EQ(ReadDiskUsage(root_ + "/none", 1).error().code(), base::Code::kNotFound);
}

}  // namespace
}  // namespace nspawn
