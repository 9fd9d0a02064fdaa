#include "log_check.h"

#include <string_view>
#include <vector>

#include "base/files.h"
#include "base/text.h"

namespace faults {
namespace {

constexpr size_t kMostLog = size_t{256} << 20;
constexpr std::string_view kText = "line ";

// Goes through one file; `next` is the number that the next line must have.
base::Status CheckFile(const std::string& path, uint64_t& next) {
  ASSIGN_OR_RETURN(const std::string content, base::ReadFile(path, kMostLog));
  std::string_view rest = content;
  int number = 0;
  while (!rest.empty()) {
    const size_t end = rest.find('\n');
    if (end == std::string_view::npos) return base::Ok();  // a record that is being written
    std::string_view record = rest.substr(0, end);
    rest.remove_prefix(end + 1);
    ++number;
    const std::string where = path + ":" + std::to_string(number);
    // "2026-11-25T20:00:00.000000000Z stdout F line 17"
    const size_t stream = record.find(' ');
    if (stream == std::string_view::npos || record.substr(stream, 8) != " stdout ") {
      return base::Internal(where + " is no record: " + base::Printable(record, 200));
    }
    const bool whole = record.substr(stream + 8, 2) == "F ";
    std::string_view text = record.substr(std::min(record.size(), stream + 10));
    if (text.ends_with('\r')) text.remove_suffix(1);
    // What a container had begun when it was killed.
    if (!whole && rest.empty()) return base::Ok();
    const auto value = text.starts_with(kText) ? base::ParseUnsigned(text.substr(kText.size())) : std::nullopt;
    if (!whole || !value) return base::Internal(where + " is no whole line: " + base::Printable(record, 200));
    if (*value != next) {
      return base::Internal(where + " has line " + std::to_string(*value) + " where line " + std::to_string(next) +
                            " should be");
    }
    ++next;
  }
  return base::Ok();
}

}  // namespace

base::Status CheckLog(const ContainerModel& container, bool ended) {
  using Kind = ContainerModel::Kind;
  if (container.kind != Kind::kWriter && container.kind != Kind::kTerminal && container.kind != Kind::kCounted) {
    return base::Ok();
  }
  uint64_t next = 0;
  for (int i = 1; i <= container.rotations; ++i) {
    RETURN_IF_ERROR(CheckFile(container.log + "." + std::to_string(i), next));
  }
  if (auto last = CheckFile(container.log, next); !last.ok()) {
    // Before its start there is none, and between a renaming and the reopening neither.
    if (last.error().code() != base::Code::kNotFound || (ended && !container.start_unsure)) return last;
  }
  if (!ended) return base::Ok();
  uint64_t written = 0;
  if (container.kind == Kind::kCounted && !container.stop_asked) {
    written = static_cast<uint64_t>(container.lines);
  } else if (const auto told = base::ReadFile(container.folder + "/written", 64); told.ok()) {
    // Empty when it was killed in writing that.
    written = base::ParseUnsigned(base::Trim(*told)).value_or(0);
  }
  if (next < written) {
    return base::Internal(container.log + " ends before line " + std::to_string(next) + ", but " +
                          std::to_string(written) + " lines were written");
  }
  if (container.kind == Kind::kCounted && next > static_cast<uint64_t>(container.lines)) {
    return base::Internal(container.log + " has " + std::to_string(next) + " lines, but " +
                          std::to_string(container.lines) + " were written");
  }
  return base::Ok();
}

}  // namespace faults
