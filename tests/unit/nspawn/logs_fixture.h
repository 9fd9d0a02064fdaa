// A container's bundle with its FIFOs, the kubelet's log directory, and a stand-in for systemd's descriptor store.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/text.h"
#include "nspawn/logs.h"

namespace nspawn {

class MemoryFdStore : public FdStore {
 public:
  base::Status Put(const std::string& name, int fd) override {
    const std::lock_guard lock(mutex_);
    fds_[name] = base::UniqueFd(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
    return base::Ok();
  }
  void Remove(const std::string& name) override {
    const std::lock_guard lock(mutex_);
    fds_.erase(name);
  }
  base::Status Lend(pid_t process, const std::string& name, int fd) override {
    const std::lock_guard lock(mutex_);
    lent_.emplace(std::pair(process, name), base::UniqueFd(::fcntl(fd, F_DUPFD_CLOEXEC, 0)));
    return base::Ok();
  }
  void TakeBack(pid_t process, const std::string& name) override {
    const std::lock_guard lock(mutex_);
    lent_.erase({process, name});
  }

  std::vector<std::string> Names() const {
    const std::lock_guard lock(mutex_);
    std::vector<std::string> names;
    for (const auto& [name, fd] : fds_) names.push_back(name);
    return names;
  }
  std::vector<std::pair<pid_t, std::string>> Lent() const {
    const std::lock_guard lock(mutex_);
    std::vector<std::pair<pid_t, std::string>> lent;
    for (const auto& [key, fd] : lent_) lent.push_back(key);
    return lent;
  }
  // As a stop of the daemon's service does.
  void Empty() {
    const std::lock_guard lock(mutex_);
    fds_.clear();
  }
  // What a new process of the daemon would be given.
  std::map<std::string, base::UniqueFd> Duplicates() const {
    const std::lock_guard lock(mutex_);
    std::map<std::string, base::UniqueFd> result;
    for (const auto& [name, fd] : fds_) result[name] = base::UniqueFd(::fcntl(fd.get(), F_DUPFD_CLOEXEC, 0));
    return result;
  }

 private:
  mutable std::mutex mutex_;
  std::map<std::string, base::UniqueFd> fds_;  // guarded by mutex_
  // Several of one name, as in systemd.
  std::multimap<std::pair<pid_t, std::string>, base::UniqueFd> lent_;  // guarded by mutex_
};

struct LogRecord {
  std::string stream;
  std::string tag;
  std::string text;
  bool operator==(const LogRecord&) const = default;
};
inline void PrintTo(const LogRecord& record, std::ostream* out) {
  *out << record.stream << ' ' << record.tag << ' ' << base::Printable(record.text, 80);
}

inline std::string ReadWhole(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// The records of a log file; a line that is none fails the test.
inline std::vector<LogRecord> ParseRecords(const std::string& content) {
  std::vector<LogRecord> records;
  if (content.empty()) return records;
  EXPECT_EQ(content.back(), '\n') << "the last record is broken";
  size_t from = 0;
  while (from < content.size()) {
    const size_t end = content.find('\n', from);
    if (end == std::string::npos) break;
    const std::string line = content.substr(from, end - from);
    from = end + 1;
    const size_t time = line.find(' ');
    if (time != 30 || line.size() < time + 10 || line[10] != 'T' || line[29] != 'Z' || line[37] != ' ' ||
        line[39] != ' ') {
      ADD_FAILURE() << "not a record: " << base::Printable(line, 120);
      return records;
    }
    records.push_back({line.substr(31, 6), line.substr(38, 1), line.substr(40)});
  }
  return records;
}

inline bool WaitUntil(const std::function<bool()>& condition, std::chrono::seconds most = std::chrono::seconds(20)) {
  const auto deadline = std::chrono::steady_clock::now() + most;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

class LogsFixture : public testing::Test {
 protected:
  void SetUp() override {
    ::setenv("TZ", "UTC0", 1);
    ::tzset();
    std::string pattern = testing::TempDir() + "/logs-XXXXXX";
    ASSERT_NE(::mkdtemp(pattern.data()), nullptr);
    root_ = pattern;
    directory_ = root_ + "/pod/web";
    std::filesystem::create_directories(directory_);
  }
  void TearDown() override { std::filesystem::remove_all(root_); }

  // A bundle with FIFOs, made once.
  LogTarget Target(const std::string& name = "web") const {
    const std::string bundle = root_ + "/bundle-" + name;
    if (::mkdir(bundle.c_str(), 0700) == 0) {
      EXPECT_EQ(::mkfifo((bundle + "/stdout").c_str(), 0600), 0);
      EXPECT_EQ(::mkfifo((bundle + "/stderr").c_str(), 0600), 0);
    }
    return {.name = name, .bundle = bundle, .path = directory_ + "/" + name + ".log"};
  }
  // What init does for a container.
  static base::UniqueFd Writer(const LogTarget& target, const char* stream = "stdout") {
    return base::UniqueFd(::open((target.bundle + "/" + stream).c_str(), O_RDWR | O_CLOEXEC));
  }
  static void Write(const base::UniqueFd& fd, std::string_view text) {
    while (!text.empty()) {
      const ssize_t n = ::write(fd.get(), text.data(), text.size());
      if (n < 0 && errno == EINTR) continue;
      ASSERT_GT(n, 0);
      text.remove_prefix(static_cast<size_t>(n));
    }
  }
  void Start() {
    auto logs = Logs::Create(store_, store_.Duplicates());
    ASSERT_TRUE(logs.ok()) << logs.error().message();
    logs_ = *std::move(logs);
  }
  static std::vector<LogRecord> Records(const LogTarget& target) { return ParseRecords(ReadWhole(target.path)); }
  static std::vector<std::string> Texts(const std::vector<LogRecord>& records) {
    std::vector<std::string> result;
    for (const LogRecord& record : records) result.push_back(record.text);
    return result;
  }
  static size_t Lines(const LogTarget& target) {
    const std::string content = ReadWhole(target.path);
    return static_cast<size_t>(std::count(content.begin(), content.end(), '\n'));
  }

  std::string root_;
  std::string directory_;
  MemoryFdStore store_;
  std::unique_ptr<Logs> logs_;
};

}  // namespace nspawn
