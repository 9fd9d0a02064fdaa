// The reader is killed at random instants while a writer goes on; no line may be lost, doubled or moved. The test holds
// the FIFOs open as systemd's descriptor store would.
#include <signal.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include <atomic>
#include <new>
#include <random>

#include "logs_fixture.h"

namespace nspawn {
namespace {

class NoStore : public FdStore {
 public:
  base::Status Put(const std::string&, int) override { return base::Ok(); }
  void Remove(const std::string&) override {}
  base::Status Lend(pid_t, const std::string&, int) override { return base::Ok(); }
  void TakeBack(pid_t, const std::string&) override {}
};

// What the processes of a test share.
struct Shared {
  std::atomic<bool> stop = false;
  std::atomic<uint64_t> lines[2] = {0, 0};
  std::atomic<uint64_t> rotations = 0;
};

// Line `number` of a stream; now and then one that needs several records, an empty one, or one with a carriage return.
std::string Line(uint64_t number) {
  if (number % 97 == 50) return "";
  std::string line = "line " + std::to_string(number) + " ";
  if (number % 501 == 500) return line + std::string(40'000 + number % 1000, 'x');
  return line + std::string((number * 7919) % 200, 'y') + (number % 13 == 0 ? "\rz" : "");
}

class LogsUnderKill : public LogsFixture {
 protected:
  void SetUp() override {
    LogsFixture::SetUp();
    void* memory = ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    ASSERT_NE(memory, MAP_FAILED);
    shared_ = new (memory) Shared;
  }
  void TearDown() override {
    ::munmap(shared_, sizeof(Shared));
    LogsFixture::TearDown();
  }

  template <typename Body>
  static pid_t Fork(Body body) {
    const pid_t child = ::fork();
    if (child != 0) return child;
    ::_exit(body());
  }

  // Writes bursts of lines to both streams until it is told to stop; lines may be torn between two writes.
  pid_t StartWriter(const LogTarget& target) {
    return Fork([&] {
      const base::UniqueFd fds[] = {Writer(target, "stdout"), Writer(target, "stderr")};
      std::minstd_rand random(1);
      while (!shared_->stop) {
        const size_t stream = random() % 2;
        std::string burst;
        uint64_t number = shared_->lines[stream];
        for (auto count = random() % 40; count > 0; --count) burst += Line(number++) + "\n";
        const size_t middle = burst.empty() ? 0 : random() % burst.size();
        Write(fds[stream], std::string_view(burst).substr(0, middle));
        Write(fds[stream], std::string_view(burst).substr(middle));
        shared_->lines[stream] = number;
        ::usleep(static_cast<useconds_t>(random() % 300));
      }
      return 0;
    });
  }

  // True when it was our signal that ended it.
  static bool Kill(pid_t child) {
    ::kill(child, SIGKILL);
    int status = 0;
    return ::waitpid(child, &status, 0) == child && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
  }

  // Every line of both streams once and in order.
  void ExpectAllLines(const std::vector<std::string>& files) const {
    std::string joined[2];
    for (const auto& file : files) {
      for (const LogRecord& record : ParseRecords(ReadWhole(file))) {
        std::string& to = joined[record.stream == "stdout" ? 0 : 1];
        to += record.text;
        if (record.tag == "F") to += '\n';
      }
    }
    for (size_t stream = 0; stream < 2; ++stream) {
      const auto lines = base::Split(joined[stream], '\n');
      ASSERT_EQ(lines.back(), "");
      for (uint64_t i = 0; i < std::min<uint64_t>(lines.size() - 1, shared_->lines[stream]); ++i) {
        ASSERT_EQ(lines[i], Line(i)) << "stream " << stream << ", line " << i;
      }
      EXPECT_EQ(lines.size() - 1, shared_->lines[stream]);
    }
  }

  void Finish(const LogTarget& target, pid_t writer) {
    Start();
    ASSERT_TRUE(logs_->Open(target).ok());
    shared_->stop = true;
    int status = 0;
    ASSERT_EQ(::waitpid(writer, &status, 0), writer);
    ASSERT_EQ(status, 0);
    logs_->Close(target.name, 5000);
    std::printf("%llu lines\n", static_cast<unsigned long long>(shared_->lines[0] + shared_->lines[1]));
  }

  Shared* shared_ = nullptr;
  std::mt19937 random_{std::random_device{}()};
};

TEST_F(LogsUnderKill, EveryLineIsWrittenOnceAndInOrder) {
  const LogTarget target = Target();
  const base::UniqueFd kept[] = {Writer(target, "stdout"), Writer(target, "stderr")};
  const pid_t writer = StartWriter(target);
  for (int i = 0; i < 400; ++i) {
    const pid_t reader = Fork([&] {
      NoStore store;
      auto logs = Logs::Create(store, {});
      if (!logs || !(*logs)->Open(target)) return 1;
      while (true) ::pause();
    });
    ::usleep(static_cast<useconds_t>(random_() % 8000));
    ASSERT_TRUE(Kill(reader)) << "the reader ended by itself";
  }
  Finish(target, writer);
  ExpectAllLines({target.path});
}

TEST_F(LogsUnderKill, ATerminalsLinesAreWrittenOnceAndInOrderToo) {
  LogTarget target = Target();
  target.terminal = true;
  const base::UniqueFd kept[] = {Writer(target, "stdout"), Writer(target, "stderr")};
  base::UniqueFd master(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
  ASSERT_EQ(::unlockpt(master.get()), 0);
  base::UniqueFd slave(::ioctl(master.get(), TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
  ASSERT_TRUE(slave);
  const auto stored = [&] {
    std::map<std::string, base::UniqueFd> fds;
    fds["log-web-terminal"] = base::UniqueFd(::fcntl(master.get(), F_DUPFD_CLOEXEC, 0));
    return fds;
  };
  const pid_t writer = Fork([&] {
    std::minstd_rand random(1);
    while (!shared_->stop) {
      std::string burst;
      uint64_t number = shared_->lines[0];
      for (auto count = random() % 40; count > 0; --count) burst += Line(number++) + "\n";
      Write(slave, burst);
      shared_->lines[0] = number;
      ::usleep(static_cast<useconds_t>(random() % 300));
    }
    return 0;
  });
  slave.reset();
  for (int i = 0; i < 300; ++i) {
    const pid_t reader = Fork([&] {
      NoStore store;
      auto logs = Logs::Create(store, stored());
      if (!logs || !(*logs)->Open(target)) return 1;
      while (true) ::pause();
    });
    ::usleep(static_cast<useconds_t>(random_() % 8000));
    ASSERT_TRUE(Kill(reader)) << "the reader ended by itself";
  }
  auto logs = Logs::Create(store_, stored());
  ASSERT_TRUE(logs.ok());
  ASSERT_TRUE((*logs)->Open(target).ok());
  shared_->stop = true;
  int status = 0;
  ASSERT_EQ(::waitpid(writer, &status, 0), writer);
  (*logs)->Close(target.name, 5000);
  std::printf("%llu lines\n", static_cast<unsigned long long>(shared_->lines[0]));
  ExpectAllLines({target.path});
}

TEST_F(LogsUnderKill, RotationLosesNothingEither) {
  const LogTarget target = Target();
  const base::UniqueFd kept[] = {Writer(target, "stdout"), Writer(target, "stderr")};
  const pid_t writer = StartWriter(target);
  const auto rotated = [&](uint64_t i) { return target.path + "." + std::to_string(i); };
  for (int i = 0; i < 300; ++i) {
    const pid_t reader = Fork([&] {
      NoStore store;
      auto logs = Logs::Create(store, {});
      if (!logs || !(*logs)->Open(target)) return 1;
      while (true) {
        ::usleep(500);
        // There is none when the process before was killed between the two calls.
        static_cast<void>(::rename(target.path.c_str(), rotated(shared_->rotations++).c_str()));
        if (!(*logs)->Reopen(target.name)) return 2;
      }
    });
    ::usleep(static_cast<useconds_t>(random_() % 8000));
    ASSERT_TRUE(Kill(reader)) << "the reader ended by itself";
  }
  Finish(target, writer);
  std::vector<std::string> files;
  for (uint64_t i = 0; i < shared_->rotations; ++i) files.push_back(rotated(i));
  files.push_back(target.path);
  ExpectAllLines(files);
}

TEST_F(LogsUnderKill, ClosingCanBeKilledAndRepeated) {
  int killed = 0;
  for (int i = 0; i < 200; ++i) {
    const LogTarget target = Target("web-" + std::to_string(i));
    const base::UniqueFd kept[] = {Writer(target, "stdout"), Writer(target, "stderr")};
    Write(kept[0], "one\ntwo\nunfinished");
    Write(kept[1], "error\n");
    const auto close = [&] {
      NoStore store;
      auto logs = Logs::Create(store, {});
      if (!logs || !(*logs)->Open(target)) return 1;
      (*logs)->Close(target.name, 0);
      return 0;
    };
    const pid_t first = Fork(close);
    ::usleep(static_cast<useconds_t>(random_() % 4000));
    killed += Kill(first) ? 1 : 0;
    const pid_t second = Fork(close);
    int status = 0;
    ASSERT_EQ(::waitpid(second, &status, 0), second);
    ASSERT_EQ(status, 0);
    std::vector<LogRecord> out;
    std::vector<LogRecord> err;
    for (const LogRecord& record : Records(target)) (record.stream == "stdout" ? out : err).push_back(record);
    ASSERT_EQ(out,
              (std::vector<LogRecord>{{"stdout", "F", "one"}, {"stdout", "F", "two"}, {"stdout", "P", "unfinished"}}));
    ASSERT_EQ(err, (std::vector<LogRecord>{{"stderr", "F", "error"}}));
  }
  EXPECT_GT(killed, 10);
}

}  // namespace
}  // namespace nspawn
