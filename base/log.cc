#include "base/log.h"

#include <sys/stat.h>
#include <sys/uio.h>
#include <systemd/sd-journal.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <vector>

#include "base/text.h"

namespace base {
namespace {

std::atomic<LogLevel> threshold{LogLevel::kInfo};

thread_local std::vector<std::string> scope_fields;

// systemd sets JOURNAL_STREAM to the device and inode of the stream it made standard error of (systemd.exec(5)).
bool StandardErrorIsJournal() {
  static const bool answer = [] {
    const char* stream = std::getenv("JOURNAL_STREAM");  // NOLINT(concurrency-mt-unsafe)
    struct stat info {};
    if (stream == nullptr || ::fstat(STDERR_FILENO, &info) != 0) return false;
    return std::string(stream) == std::to_string(info.st_dev) + ":" + std::to_string(info.st_ino);
  }();
  return answer;
}

}  // namespace

void SetLogLevel(LogLevel level) {
  threshold = level;
}

bool LogEnabled(LogLevel level) {
  return level <= threshold.load(std::memory_order_relaxed);
}

void Log(LogLevel level, std::string_view message, LogFields fields) {
  if (!LogEnabled(level)) return;
  const std::string text = Printable(message, 8192);
  if (!StandardErrorIsJournal()) {
    std::string line = "<" + std::to_string(static_cast<int>(level)) + ">" + text;
    for (const auto& [name, value] : fields) line += " " + std::string(name) + "=" + Printable(value);
    for (const std::string& field : scope_fields) line += " " + Printable(field);
    line += "\n";
    [[maybe_unused]] const ssize_t put = ::write(STDERR_FILENO, line.data(), line.size());
    return;
  }
  std::vector<std::string> entries = scope_fields;
  entries.push_back("MESSAGE=" + text);
  entries.push_back("PRIORITY=" + std::to_string(static_cast<int>(level)));
  entries.emplace_back("SYSLOG_IDENTIFIER=cri-nspawnd");
  for (const auto& [name, value] : fields) entries.push_back(std::string(name) + "=" + std::string(value));
  std::vector<iovec> parts;
  parts.reserve(entries.size());
  for (std::string& entry : entries) parts.push_back({entry.data(), entry.size()});
  ::sd_journal_sendv(parts.data(), static_cast<int>(parts.size()));
}

LogScope::LogScope() : outer_fields_(scope_fields.size()) {}

LogScope::~LogScope() {
  scope_fields.resize(outer_fields_);
}

void AddLogField(std::string_view name, std::string_view value) {
  std::string field = std::string(name) + "=" + std::string(value);
  // Said twice, for example by an RPC and a step of it, once is enough.
  if (std::find(scope_fields.begin(), scope_fields.end(), field) == scope_fields.end()) {
    scope_fields.push_back(std::move(field));
  }
}

}  // namespace base
