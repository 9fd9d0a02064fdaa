#include "nspawn/container_journal.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "logs_fixture.h"

namespace nspawn {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::Pair;

constexpr int64_t kSecond = 1'000'000'000;
constexpr int64_t kBegin = 1000 * kSecond;
using Entry = std::map<std::string, std::string>;

// As journald reads an entry.
Entry Parse(std::string_view text) {
  Entry entry;
  while (!text.empty()) {
    const size_t line = text.find('\n');
    const size_t sign = text.substr(0, line).find('=');
    if (sign != std::string_view::npos) {
      entry.emplace(text.substr(0, sign), text.substr(sign + 1, line - sign - 1));
      text.remove_prefix(line + 1);
      continue;
    }
    uint64_t size = 0;
    std::memcpy(&size, text.data() + line + 1, sizeof size);
    entry.emplace(text.substr(0, line), text.substr(line + 1 + sizeof size, size));
    text.remove_prefix(line + 1 + sizeof size + size + 1);
  }
  return entry;
}

class ContainerJournalTest : public LogsFixture {
 protected:
  void SetUp() override {
    LogsFixture::SetUp();
    options_.enabled = true;
    options_.socket = root_ + "/journal";
    Listen();
  }
  void Listen() {
    ::unlink(options_.socket.c_str());
    struct sockaddr_un address {};
    address.sun_family = AF_UNIX;
    ASSERT_LT(options_.socket.size(), sizeof address.sun_path);
    std::memcpy(address.sun_path, options_.socket.data(), options_.socket.size());
    journald_ = base::UniqueFd(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    ASSERT_EQ(::bind(journald_.get(), reinterpret_cast<const struct sockaddr*>(&address), sizeof address), 0);
  }
  std::optional<Entry> Next() const {
    std::string buffer(size_t{64} * 1024, '\0');
    const ssize_t size = ::recv(journald_.get(), buffer.data(), buffer.size(), 0);
    if (size < 0) return std::nullopt;
    return Parse(std::string_view(buffer).substr(0, static_cast<size_t>(size)));
  }
  std::vector<std::string> Messages() const {
    std::vector<std::string> messages;
    while (const auto entry = Next()) messages.push_back(entry->at("MESSAGE"));
    return messages;
  }
  static std::string Told(int lines) {
    return std::to_string(lines) + " lines of this container before this one are only in its log file";
  }

  JournalOptions options_;
  base::UniqueFd journald_;
};

TEST_F(ContainerJournalTest, ALineHasTheContainersFields) {
  JournalWriter writer(options_);
  ContainerJournal journal({{"CONTAINER_NAME", "web"}, {"K8S_POD_NAME", "two\nlines=1"}, {"IMAGE_NAME", ""}}, 10);
  journal.Write(writer, LogStream::kStdout, false, "a=b", kSecond);
  journal.Write(writer, LogStream::kStderr, true, std::string("\0\x1b", 2), kSecond);
  EXPECT_EQ(
      Next(),
      (Entry{{"CONTAINER_NAME", "web"}, {"K8S_POD_NAME", "two\nlines=1"}, {"PRIORITY", "6"}, {"MESSAGE", "a=b"}}));
  EXPECT_EQ(Next(), (Entry{{"CONTAINER_NAME", "web"},
                           {"K8S_POD_NAME", "two\nlines=1"},
                           {"PRIORITY", "3"},
                           {"CONTAINER_PARTIAL_MESSAGE", "true"},
                           {"MESSAGE", std::string("\0\x1b", 2)}}));
  EXPECT_EQ(Next(), std::nullopt);
}

TEST_F(ContainerJournalTest, AContainerHasItsLinesInThirtySecondsAndTheRestIsCounted) {
  JournalWriter writer(options_);
  ContainerJournal journal({}, 2);
  for (const char* text : {"1", "2", "3", "4"}) journal.Write(writer, LogStream::kStdout, false, text, kBegin);
  EXPECT_THAT(Messages(), ElementsAre("1", "2"));
  journal.Write(writer, LogStream::kStdout, false, "5", kBegin + 29 * kSecond);
  journal.Write(writer, LogStream::kStdout, false, "6", kBegin + 30 * kSecond);
  EXPECT_THAT(Messages(), ElementsAre(Told(3), "6"));
  journal.Write(writer, LogStream::kStdout, false, "7", kBegin + 31 * kSecond);
  journal.Write(writer, LogStream::kStdout, false, "8", kBegin + 32 * kSecond);
  journal.Finish(writer);
  EXPECT_THAT(Messages(), ElementsAre("7", Told(1)));
}

TEST_F(ContainerJournalTest, AllContainersShareALimit) {
  options_.all_lines = 3;
  JournalWriter writer(options_);
  ContainerJournal first({}, 10);
  ContainerJournal second({}, 10);
  for (const char* text : {"1", "2"}) first.Write(writer, LogStream::kStdout, false, text, kSecond);
  for (const char* text : {"3", "4"}) second.Write(writer, LogStream::kStdout, false, text, kSecond);
  EXPECT_THAT(Messages(), ElementsAre("1", "2", "3"));
}

TEST_F(ContainerJournalTest, AClockThatIsSetBackBeginsALimitAnew) {
  LineBudget budget(1);
  EXPECT_TRUE(budget.Take(100 * kSecond));
  EXPECT_FALSE(budget.Take(100 * kSecond));
  EXPECT_TRUE(budget.Take(50 * kSecond));
  EXPECT_FALSE(budget.Take(51 * kSecond));
}

TEST_F(ContainerJournalTest, AJournalThatDoesNotReadIsNotWaitedForLong) {
  options_.all_lines = 1'000'000;
  JournalWriter writer(options_);
  ContainerJournal journal({}, 1'000'000);
  const auto begin = std::chrono::steady_clock::now();
  constexpr int kLines = 20'000;
  for (int i = 0; i < kLines; ++i) journal.Write(writer, LogStream::kStdout, false, "line", kSecond);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(5));
  const auto read = static_cast<int>(Messages().size());
  EXPECT_LT(read, kLines);
  journal.Write(writer, LogStream::kStdout, false, "last", kSecond);
  EXPECT_THAT(Messages(), ElementsAre(Told(kLines - read), "last"));
}

TEST_F(ContainerJournalTest, AnotherJournalIsFound) {
  JournalWriter writer(options_);
  ContainerJournal journal({}, 10);
  journal.Write(writer, LogStream::kStdout, false, "1", kSecond);
  Listen();
  journal.Write(writer, LogStream::kStdout, false, "2", kSecond);
  EXPECT_THAT(Messages(), ElementsAre("2"));
  journald_.reset();
  journal.Write(writer, LogStream::kStdout, false, "3", kSecond);
  Listen();
  journal.Write(writer, LogStream::kStdout, false, "4", kSecond);
  EXPECT_THAT(Messages(), ElementsAre(Told(1), "4"));
}

TEST_F(ContainerJournalTest, LogsSendWhatTheyWrite) {
  auto logs = Logs::Create(store_, {}, options_);
  ASSERT_TRUE(logs.ok());
  LogTarget target = Target();
  target.journal_fields = {{"CONTAINER_NAME", "web"}};
  ASSERT_TRUE((*logs)->Open(target).ok());
  const base::UniqueFd out = Writer(target);
  const base::UniqueFd error = Writer(target, "stderr");
  const std::string most(kMostRecordText, 'x');
  Write(out, "first\n" + most + "end\n");
  Write(error, "unfinished");
  (*logs)->Close(target.name, 1000);
  std::vector<Entry> entries;
  while (auto entry = Next()) entries.push_back(*std::move(entry));
  ASSERT_EQ(entries.size(), 4U);
  EXPECT_EQ(entries[0], (Entry{{"CONTAINER_NAME", "web"}, {"PRIORITY", "6"}, {"MESSAGE", "first"}}));
  EXPECT_THAT(entries[1], Contains(Pair("CONTAINER_PARTIAL_MESSAGE", "true")));
  EXPECT_EQ(entries[1].at("MESSAGE"), most);
  EXPECT_EQ(entries[2].at("MESSAGE"), "end");
  EXPECT_THAT(entries[3], Contains(Pair("PRIORITY", "3")));
  EXPECT_EQ(entries[3].at("MESSAGE"), "unfinished");
  EXPECT_EQ(Records(target).size(), 4U);
}

TEST_F(ContainerJournalTest, NothingIsSentUnlessThatIsConfigured) {
  Start();
  const LogTarget target = Target();
  ASSERT_TRUE(logs_->Open(target).ok());
  Write(Writer(target), "line\n");
  logs_->Close(target.name, 1000);
  EXPECT_EQ(Records(target).size(), 1U);
  EXPECT_EQ(Next(), std::nullopt);
}

}  // namespace
}  // namespace nspawn
