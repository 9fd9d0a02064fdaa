// The daemon's own log: to the journal with structured fields, or to standard error when that is no journal stream.
#pragma once

#include <cstddef>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

namespace base {

// As in syslog(3).
enum class LogLevel { kError = 3, kWarning = 4, kNotice = 5, kInfo = 6, kDebug = 7 };

// Journal fields, for example {"CRI_CONTAINER_ID", id}. Names are upper-case letters, digits and underscores.
using LogFields = std::initializer_list<std::pair<std::string_view, std::string_view>>;

// Lines below this level are dropped. kInfo at first.
void SetLogLevel(LogLevel level);
bool LogEnabled(LogLevel level);

// Writes one line. The text is made printable first, so it may hold text from outside. Thread-safe. Fields of the
// LogScopes of this thread are added.
void Log(LogLevel level, std::string_view message, LogFields fields = {});

// While it lives, fields added by AddLogField() in this thread go with every line that the thread logs.
class LogScope {
 public:
  LogScope();
  ~LogScope();
  LogScope(const LogScope&) = delete;
  LogScope& operator=(const LogScope&) = delete;

 private:
  size_t outer_fields_;
};

// Adds a field to the innermost LogScope of this thread, for example the container that an RPC turns out to be about.
void AddLogField(std::string_view name, std::string_view value);

}  // namespace base
