#include "nspawn/logs.h"

#include <gmock/gmock.h>
#include <sched.h>
#include <sys/mount.h>

#include <algorithm>
#include <atomic>

#include "logs_fixture.h"
#include "nspawn/log_state.h"

namespace nspawn {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

class LogsTest : public LogsFixture {};

TEST_F(LogsTest, LinesOfBothStreamsBecomeRecords) {
  Start();
  const LogTarget target = Target();
  ASSERT_TRUE(logs_->Open(target).ok());
  const auto out = Writer(target, "stdout");
  const auto err = Writer(target, "stderr");
  Write(out, "one\n");
  ASSERT_TRUE(WaitUntil([&] { return Lines(target) == 1; }));
  Write(err, "two\n");
  ASSERT_TRUE(WaitUntil([&] { return Lines(target) == 2; }));
  Write(out, "thr");
  Write(out, "ee\n");
  ASSERT_TRUE(WaitUntil([&] { return Lines(target) == 3; }));
  EXPECT_THAT(Records(target), ElementsAre(LogRecord{"stdout", "F", "one"}, LogRecord{"stderr", "F", "two"},
                                           LogRecord{"stdout", "F", "three"}));
  struct stat info {};
  ASSERT_EQ(::stat(target.path.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0640u);
}

TEST_F(LogsTest, ClosingWritesWhatThePipesHoldAndLeavesNothingBehind) {
  Start();
  const LogTarget target = Target();
  ASSERT_TRUE(logs_->Open(target).ok());
  EXPECT_THAT(store_.Names(), ElementsAre("log-web-stderr", "log-web-stdout"));
  {
    const auto out = Writer(target);
    const auto err = Writer(target, "stderr");
    Write(out, std::string(50'000, 'x') + "\nrest");
    Write(err, "end");
  }
  logs_->Close("web", 0);
  const auto records = Records(target);
  std::vector<LogRecord> out;
  std::copy_if(records.begin(), records.end(), std::back_inserter(out),
               [](const auto& r) { return r.stream == "stdout"; });
  ASSERT_EQ(out.size(), 5u);
  for (size_t i = 0; i < 3; ++i) EXPECT_EQ(out[i], (LogRecord{"stdout", "P", std::string(16384, 'x')}));
  EXPECT_EQ(out[3], (LogRecord{"stdout", "F", std::string(50'000 - 3 * 16384, 'x')}));
  EXPECT_EQ(out[4], (LogRecord{"stdout", "P", "rest"}));
  EXPECT_EQ(std::count(records.begin(), records.end(), LogRecord{"stderr", "P", "end"}), 1);
  EXPECT_EQ(records.size(), 6u);
  EXPECT_THAT(store_.Names(), IsEmpty());
  std::vector<std::string> left;
  for (const auto& entry : std::filesystem::directory_iterator(target.bundle)) left.push_back(entry.path().filename());
  EXPECT_THAT(left, UnorderedElementsAre("stdout", "stderr"));
  logs_->Close("web", 0);
  EXPECT_EQ(logs_->Reopen("web").error().code(), base::Code::kFailedPrecondition);
  EXPECT_TRUE(logs_->Open(target).ok());
}

TEST_F(LogsTest, ThePodsUnitKeepsThePipesUntilTheLogIsClosed) {
  Start();
  LogTarget target = Target();
  target.pod_process = 77;
  ASSERT_TRUE(logs_->Open(target).ok());
  const auto lent = ElementsAre(std::pair(77, "log-web-stderr"), std::pair(77, "log-web-stdout"));
  EXPECT_THAT(store_.Lent(), lent);
  // The daemon is stopped. The container writes and ends meanwhile.
  logs_.reset();
  store_.Empty();
  Write(Writer(target), "last words\n");
  Start();
  ASSERT_TRUE(logs_->Open(target).ok());
  EXPECT_THAT(store_.Lent(), lent);
  EXPECT_THAT(store_.Names(), ElementsAre("log-web-stderr", "log-web-stdout"));
  logs_->Close("web", 0);
  EXPECT_THAT(Records(target), ElementsAre(LogRecord{"stdout", "F", "last words"}));
  EXPECT_THAT(store_.Lent(), IsEmpty());
}

TEST_F(LogsTest, ClosingIsBoundedWhenSomebodyStillWrites) {
  Start();
  const LogTarget target = Target();
  ASSERT_TRUE(logs_->Open(target).ok());
  const auto out = Writer(target);
  ASSERT_EQ(::fcntl(out.get(), F_SETFL, O_NONBLOCK), 0);
  std::atomic<bool> stop = false;
  std::thread writer([&] {
    const std::string text = std::string(4095, 'x') + '\n';
    while (!stop) static_cast<void>(::write(out.get(), text.data(), text.size()) > 0);
  });
  const auto begin = std::chrono::steady_clock::now();
  logs_->Close("web", 50);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(20));
  stop = true;
  writer.join();
}

TEST_F(LogsTest, OpeningIsRefusedWhenTheLogCannotBeThere) {
  Start();
  LogTarget target = Target();
  target.path = directory_ + "/missing/0.log";
  const auto missing = logs_->Open(target);
  ASSERT_FALSE(missing.ok());
  EXPECT_EQ(missing.error().code(), base::Code::kNotFound);
  EXPECT_NE(missing.error().message().find(target.path), std::string::npos);

  target.path = directory_ + "/link.log";
  std::ofstream(root_ + "/victim") << "precious";
  ASSERT_EQ(::symlink((root_ + "/victim").c_str(), target.path.c_str()), 0);
  EXPECT_EQ(logs_->Open(target).error().code(), base::Code::kFailedPrecondition);
  EXPECT_EQ(ReadWhole(root_ + "/victim"), "precious");

  target.path = directory_ + "/fifo.log";
  ASSERT_EQ(::mkfifo(target.path.c_str(), 0600), 0);
  EXPECT_FALSE(logs_->Open(target).ok());
  target.path = directory_;
  EXPECT_FALSE(logs_->Open(target).ok());

  // Nothing stays behind, and the name is free.
  EXPECT_THAT(store_.Names(), IsEmpty());
  EXPECT_FALSE(std::filesystem::exists(target.bundle + "/log.state"));
  target = Target();
  ASSERT_TRUE(logs_->Open(target).ok());
  EXPECT_EQ(logs_->Open(target).error().code(), base::Code::kAlreadyExists);
}

TEST_F(LogsTest, ABundleWithoutFifosIsAnError) {
  Start();
  LogTarget target = Target();
  ::unlink((target.bundle + "/stderr").c_str());
  EXPECT_EQ(logs_->Open(target).error().code(), base::Code::kNotFound);
  std::ofstream(target.bundle + "/stderr") << "a file";
  EXPECT_FALSE(logs_->Open(target).ok());
}

TEST_F(LogsTest, WithoutAPathOutputIsReadAndDropped) {
  Start();
  LogTarget target = Target();
  target.path.clear();
  ASSERT_TRUE(logs_->Open(target).ok());
  const auto out = Writer(target);
  Write(out, std::string(1 << 20, 'x'));  // would block for ever otherwise
  EXPECT_TRUE(logs_->Reopen("web").ok());
  logs_->Close("web", 0);
  EXPECT_EQ(logs_->DroppedLines(), 0u);
  EXPECT_FALSE(std::filesystem::exists(target.bundle + "/stdout.spool"));
}

TEST_F(LogsTest, ReopeningWhileAWriterWritesSplitsBetweenRecords) {
  Start();
  const LogTarget target = Target();
  ASSERT_TRUE(logs_->Open(target).ok());
  constexpr int kLines = 60'000;
  std::thread writer([&] {
    const auto out = Writer(target);
    for (int i = 0; i < kLines; i += 10) {
      std::string text;
      for (int k = i; k < i + 10; ++k) text += "line " + std::to_string(k) + "\n";
      Write(out, text);
    }
  });
  std::vector<std::string> files;
  for (int i = 0; i < 40; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(3));
    files.push_back(target.path + "." + std::to_string(i));
    ASSERT_EQ(::rename(target.path.c_str(), files.back().c_str()), 0);
    ASSERT_TRUE(logs_->Reopen("web").ok());
  }
  writer.join();
  logs_->Close("web", 1000);
  files.push_back(target.path);
  int next = 0;
  for (const auto& file : files) {
    for (const LogRecord& record : ParseRecords(ReadWhole(file))) {
      ASSERT_EQ(record, (LogRecord{"stdout", "F", "line " + std::to_string(next)}));
      ++next;
    }
  }
  EXPECT_EQ(next, kLines);
}

TEST_F(LogsTest, AFailedReopenGoesOnWithTheOldFile) {
  Start();
  const LogTarget target = Target();
  ASSERT_TRUE(logs_->Open(target).ok());
  ASSERT_EQ(::rename(directory_.c_str(), (directory_ + "-moved").c_str()), 0);
  EXPECT_EQ(logs_->Reopen("web").error().code(), base::Code::kNotFound);
  Write(Writer(target), "still here\n");
  logs_->Close("web", 0);
  EXPECT_THAT(Texts(ParseRecords(ReadWhole(directory_ + "-moved/web.log"))), ElementsAre("still here"));
}

TEST_F(LogsTest, AnEmptiedFileIsGoneOnWithFromItsBeginning) {
  Start();
  const LogTarget target = Target();
  ASSERT_TRUE(logs_->Open(target).ok());
  const auto out = Writer(target);
  Write(out, "one\n");
  ASSERT_TRUE(WaitUntil([&] { return Lines(target) == 1; }));
  ASSERT_EQ(::truncate(target.path.c_str(), 0), 0);
  Write(out, "two\n");
  logs_->Close("web", 0);
  EXPECT_THAT(Texts(Records(target)), ElementsAre("two"));
}

TEST_F(LogsTest, OutputWaitsForTheNextRunAfterTheContainerHasEnded) {
  Start();
  const LogTarget target = Target();
  ASSERT_TRUE(logs_->Open(target).ok());
  {
    const auto out = Writer(target);
    Write(out, "before, ");
    ASSERT_TRUE(WaitUntil([&] { return std::filesystem::file_size(target.bundle + "/stdout.spool") == 8; }));
    logs_.reset();
    Write(out, "while away\nlast");
  }
  Start();
  ASSERT_TRUE(logs_->Open(target).ok());
  logs_->DropUnclaimed();
  EXPECT_THAT(store_.Names(), ElementsAre("log-web-stderr", "log-web-stdout"));
  logs_->Close("web", 0);
  EXPECT_THAT(Records(target),
              ElementsAre(LogRecord{"stdout", "F", "before, while away"}, LogRecord{"stdout", "P", "last"}));
}

TEST_F(LogsTest, StoredDescriptorsThatNobodyAsksForAreDropped) {
  Start();
  const LogTarget target = Target();
  ASSERT_TRUE(logs_->Open(target).ok());
  ASSERT_TRUE(store_.Put("terminal-of-somebody", STDERR_FILENO).ok());
  logs_.reset();
  Start();
  EXPECT_EQ(store_.Names().size(), 3u);
  logs_->DropUnclaimed();
  EXPECT_THAT(store_.Names(), ElementsAre("terminal-of-somebody"));
}

TEST_F(LogsTest, AStoredDescriptorOfAnotherFifoIsReplaced) {
  Start();
  LogTarget target = Target();
  ASSERT_TRUE(logs_->Open(target).ok());
  logs_.reset();
  std::filesystem::remove_all(target.bundle);
  const LogTarget other = Target("keeps-inodes-apart");
  target = Target();
  Start();
  ASSERT_TRUE(logs_->Open(target).ok());
  const auto stored = store_.Duplicates();
  struct stat path {};
  struct stat kept {};
  ASSERT_EQ(::stat((target.bundle + "/stdout").c_str(), &path), 0);
  ASSERT_EQ(::fstat(stored.at("log-web-stdout").get(), &kept), 0);
  EXPECT_EQ(path.st_ino, kept.st_ino);
}

TEST_F(LogsTest, UnpublishedRecordsAreCutOffAndWrittenAgain) {
  Start();
  const LogTarget target = Target();
  ASSERT_TRUE(logs_->Open(target).ok());
  const auto out = Writer(target);
  Write(out, "one\n");
  ASSERT_TRUE(WaitUntil([&] { return Lines(target) == 1; }));
  logs_.reset();
  // As a kill between writing and publishing leaves it; the kubelet has renamed the file meanwhile.
  std::ofstream(target.path, std::ios::app) << "2026-01-01T00:00:00.000000000Z stdout F tw";
  ASSERT_EQ(::rename(target.path.c_str(), (target.path + ".old").c_str()), 0);
  Start();
  ASSERT_TRUE(logs_->Open(target).ok());
  EXPECT_FALSE(std::filesystem::exists(target.path));
  Write(out, "two\n");
  ASSERT_TRUE(WaitUntil([&] {
    const std::string content = ReadWhole(target.path + ".old");
    return std::count(content.begin(), content.end(), '\n') == 2;
  }));
  ASSERT_TRUE(logs_->Reopen("web").ok());
  Write(out, "three\n");
  logs_->Close("web", 0);
  EXPECT_THAT(Texts(ParseRecords(ReadWhole(target.path + ".old"))), ElementsAre("one", "two"));
  EXPECT_THAT(Texts(Records(target)), ElementsAre("three"));
}

TEST_F(LogsTest, ARemovedSpoolIsForgottenBeforeANewOneGrows) {
  Start();
  const LogTarget target = Target();
  ASSERT_TRUE(logs_->Open(target).ok());
  const auto out = Writer(target);
  Write(out, "a line that is longer than the next\n");
  ASSERT_TRUE(WaitUntil([&] { return Lines(target) == 1; }));
  logs_.reset();
  const auto parsed = [&] { return LogState::Open(target.bundle + "/log.state")->Load().parsed[0]; };
  ASSERT_TRUE(WaitUntil([&] { return parsed() == 36; }));
  // As a Close() that was killed leaves it. A kill in the next run before it publishes must not find the old offset.
  ASSERT_EQ(::unlink((target.bundle + "/stdout.spool").c_str()), 0);
  Start();
  ASSERT_TRUE(logs_->Open(target).ok());
  EXPECT_EQ(parsed(), 0u);
  Write(out, "next\n");
  logs_->Close("web", 0);
  EXPECT_EQ(Records(target).size(), 2u);
}

TEST_F(LogsTest, AfterARestartAMissingDirectoryDoesNotStopTheDraining) {
  Start();
  const LogTarget target = Target();
  ASSERT_TRUE(logs_->Open(target).ok());
  const auto out = Writer(target);
  logs_.reset();
  std::filesystem::remove_all(directory_);
  Start();
  ASSERT_TRUE(logs_->Open(target).ok());
  Write(out, "lost\nlost too\n");
  ASSERT_TRUE(WaitUntil([&] { return logs_->DroppedLines() == 2; }));
  std::filesystem::create_directories(directory_);
  Write(out, "kept\n");
  logs_->Close("web", 0);
  EXPECT_THAT(Texts(Records(target)), ElementsAre("kept"));
  EXPECT_EQ(logs_->DroppedLines(), 2u);
}

TEST_F(LogsTest, GigabytesWithoutANewlineNeedLittleSpace) {
  Start();
  const LogTarget target = Target();
  ASSERT_TRUE(logs_->Open(target).ok());
  const auto out = Writer(target);
  constexpr size_t kTotal = size_t{64} << 20;
  const std::string chunk(1 << 20, 'x');
  uint64_t most = 0;
  for (size_t done = 0; done < kTotal; done += chunk.size()) {
    Write(out, chunk);
    struct stat info {};
    ASSERT_EQ(::stat((target.bundle + "/stdout.spool").c_str(), &info), 0);
    most = std::max(most, static_cast<uint64_t>(info.st_blocks) * 512);
  }
  Write(out, "\n");
  logs_->Close("web", 1000);
  EXPECT_LE(most, uint64_t{1} << 20);
  size_t total = 0;
  for (const LogRecord& record : Records(target)) total += record.text.size();
  EXPECT_EQ(total, kTotal);
}

TEST_F(LogsTest, AQuietContainerIsServedWhileOthersFlood) {
  Start();
  std::atomic<bool> stop = false;
  std::vector<std::thread> flooders;
  for (int i = 0; i < 3; ++i) {
    const LogTarget target = Target("flood-" + std::to_string(i));
    ASSERT_TRUE(logs_->Open(target).ok());
    flooders.emplace_back([&stop, target] {
      const auto out = Writer(target);
      const std::string text(32 * 1024, '\n');  // the most records for the fewest bytes
      while (!stop) Write(out, text);
    });
  }
  const LogTarget quiet = Target("quiet");
  ASSERT_TRUE(logs_->Open(quiet).ok());
  const auto out = Writer(quiet);
  for (size_t i = 1; i <= 20; ++i) {
    Write(out, "here\n");
    EXPECT_TRUE(WaitUntil([&] { return Lines(quiet) == i; }, std::chrono::seconds(3))) << "line " << i;
  }
  stop = true;
  for (auto& flooder : flooders) flooder.join();
}

// The directory in /proc of this process's thread "logs".
std::filesystem::path LogThread() {
  for (const auto& task : std::filesystem::directory_iterator("/proc/self/task")) {
    if (ReadWhole(task.path() / "comm") == "logs\n") return task.path();
  }
  return {};
}

uint64_t VoluntarySwitches(const std::filesystem::path& thread) {
  const std::string status = ReadWhole(thread / "status");
  const size_t at = status.find("\nvoluntary_ctxt_switches:");
  return at == std::string::npos ? 0 : std::strtoull(status.c_str() + at + 25, nullptr, 10);
}

TEST_F(LogsTest, WithoutOutputTheThreadSleeps) {
  Start();
  std::vector<base::UniqueFd> writers;
  for (int i = 0; i < 30; ++i) {
    const LogTarget target = Target("idle-" + std::to_string(i));
    ASSERT_TRUE(logs_->Open(target).ok());
    // Its container has ended: the FIFO has had a writer and has none any more.
    Write(Writer(target), "x");
  }
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  const uint64_t before = VoluntarySwitches(LogThread());
  ASSERT_GT(before, 0u);
  std::this_thread::sleep_for(std::chrono::milliseconds(500));
  EXPECT_EQ(VoluntarySwitches(LogThread()), before);
}

// File systems of a few pages, in a mount namespace that the rest of the test program's life stays in.
class LogsOnFullDisk : public LogsFixture {
 protected:
  void SetUp() override {
    LogsFixture::SetUp();
    if (::unshare(CLONE_NEWNS) != 0) GTEST_SKIP() << "mount namespaces are not allowed here";
    ASSERT_EQ(::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr), 0);
  }
  void TearDown() override {
    logs_.reset();
    for (const auto& path : mounted_) ::umount2(path.c_str(), MNT_DETACH);
    LogsFixture::TearDown();
  }
  void Mount(const std::string& path, const char* options) {
    std::filesystem::create_directories(path);
    ASSERT_EQ(::mount("tmpfs", path.c_str(), "tmpfs", 0, options), 0);
    mounted_.push_back(path);
  }
  static void Fill(const std::string& path) {
    std::ofstream file(path);
    const std::string page(4096, 'x');
    while (file.write(page.data(), 4096).flush()) continue;
  }
  std::vector<std::string> mounted_;
};

TEST_F(LogsOnFullDisk, LinesAreCountedAndWritingResumesOnAWholeRecord) {
  Mount(directory_, "size=64k");
  Start();
  const LogTarget target = Target();
  ASSERT_TRUE(logs_->Open(target).ok());
  const auto out = Writer(target);
  constexpr uint64_t kLines = 20'000;  // a megabyte, read to its end however full the disk is
  for (uint64_t i = 0; i < kLines; ++i) Write(out, "line " + std::to_string(i) + "\n");
  Write(out, "lost ");
  ASSERT_TRUE(WaitUntil([&] { return logs_->DroppedLines() + Lines(target) == kLines; }));
  const auto kept = Texts(Records(target));
  ASSERT_GT(kept.size(), 100u);
  for (size_t i = 0; i < kept.size(); ++i) ASSERT_EQ(kept[i], "line " + std::to_string(i));

  const std::string old = target.path + ".old";
  ASSERT_EQ(::rename(target.path.c_str(), old.c_str()), 0);
  ASSERT_EQ(::truncate(old.c_str(), 0), 0);
  ASSERT_TRUE(logs_->Reopen("web").ok());
  Write(out, "no more\nagain\n");
  logs_->Close("web", 0);
  EXPECT_THAT(Texts(Records(target)), ElementsAre("lost no more", "again"));
}

TEST_F(LogsOnFullDisk, ARestartOnAFullDiskRepeatsNothing) {
  Mount(directory_, "size=16k");
  Start();
  const LogTarget target = Target();
  ASSERT_TRUE(logs_->Open(target).ok());
  const auto out = Writer(target);
  for (int i = 0; i < 1000; ++i) Write(out, "line " + std::to_string(i) + "\n");
  ASSERT_TRUE(WaitUntil([&] { return logs_->DroppedLines() + Lines(target) == 1000; }));
  const size_t kept = Lines(target);
  logs_.reset();
  Start();
  ASSERT_TRUE(logs_->Open(target).ok());
  ASSERT_EQ(::truncate(target.path.c_str(), 0), 0);
  Write(out, "new\n");
  logs_->Close("web", 0);
  EXPECT_THAT(Texts(Records(target)), ElementsAre("new"));
  EXPECT_GT(kept, 0u);
}

TEST_F(LogsOnFullDisk, WithoutSpaceForTheSpoolOutputStillReachesTheLog) {
  const std::string bundle = root_ + "/bundle-web";
  Mount(bundle, "size=128k");
  ASSERT_EQ(::mkfifo((bundle + "/stdout").c_str(), 0600), 0);
  ASSERT_EQ(::mkfifo((bundle + "/stderr").c_str(), 0600), 0);
  Start();
  const LogTarget target = Target();
  ASSERT_TRUE(logs_->Open(target).ok());
  const auto out = Writer(target);
  Write(out, "one\ntw");
  ASSERT_TRUE(WaitUntil([&] { return Lines(target) == 1; }));
  Fill(bundle + "/filler");
  std::string expected = "one\ntw";
  std::string text = "o\n";
  for (int i = 0; i < 20'000; ++i) text += "line " + std::to_string(i) + "\n";
  Write(out, text);
  expected += text;
  ASSERT_EQ(::unlink((bundle + "/filler").c_str()), 0);
  Write(out, "last\n");
  expected += "last\n";
  logs_->Close("web", 1000);
  std::string joined;
  for (const LogRecord& record : Records(target)) joined += record.text + (record.tag == "F" ? "\n" : "");
  EXPECT_EQ(joined, expected);
  EXPECT_EQ(logs_->DroppedLines(), 0u);
}

// To be run by hand: --gtest_also_run_disabled_tests --gtest_filter='*Throughput*'. The bundle is on a tmpfs as in
// production, the log where TEST_TMPDIR says.
class LogsThroughput : public LogsOnFullDisk {
 protected:
  void Measure(size_t write_size) {
    Mount(root_ + "/bundle-web", "size=8m");
    ASSERT_EQ(::mkfifo((root_ + "/bundle-web/stdout").c_str(), 0600), 0);
    ASSERT_EQ(::mkfifo((root_ + "/bundle-web/stderr").c_str(), 0600), 0);
    const LogTarget target = Target();
    Start();
    ASSERT_TRUE(logs_->Open(target).ok());
    const auto out = Writer(target);
    std::string lines;
    while (lines.size() < write_size) lines += std::string(99, 'x') + "\n";
    const auto begin = std::chrono::steady_clock::now();
    constexpr size_t kTotal = size_t{1} << 30;
    for (size_t done = 0; done < kTotal; done += lines.size()) Write(out, lines);
    const double cpu = static_cast<double>(std::strtoull(ReadWhole(LogThread() / "schedstat").c_str(), nullptr, 10));
    logs_->Close("web", 1000);
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - begin;
    struct timespec all {};
    ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &all);
    std::printf("1 GiB of 100-byte lines in writes of %zu bytes: %.2f s, CPU of the log thread %.2f s, of all %.2f s\n",
                lines.size(), took.count(), cpu * 1e-9,
                static_cast<double>(all.tv_sec) + static_cast<double>(all.tv_nsec) * 1e-9);
  }
};

TEST_F(LogsThroughput, DISABLED_LargeWrites) {
  Measure(32'000);
}
TEST_F(LogsThroughput, DISABLED_OneLineInEachWrite) {
  Measure(100);
}

}  // namespace
}  // namespace nspawn
