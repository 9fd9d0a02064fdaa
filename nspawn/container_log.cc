#include "nspawn/container_log.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <utility>

#include "base/fault.h"
#include "base/log.h"

namespace nspawn {
namespace {

// The capacity of a pipe as the kernel makes it. It is left at that: what a larger one takes counts against the pipes
// of every process of the same user (pipe-user-pages-soft), so those in containers too.
constexpr size_t kTurnSize = 64 * 1024;
// A turn and an unfinished line before it.
constexpr size_t kInputSize = 128 * 1024;
static_assert(kInputSize >= kTurnSize + kMostRecordInput);

constexpr int64_t kReportInterval = 10'000'000'000;

int64_t Now() {
  struct timespec now {};
  ::clock_gettime(CLOCK_REALTIME, &now);
  return now.tv_sec * int64_t{1'000'000'000} + now.tv_nsec;
}

}  // namespace

const char* LogStreamName(LogStream stream) {
  return stream == LogStream::kStdout ? "stdout" : "stderr";
}

LogWorkspace::LogWorkspace(const JournalOptions& journal_options)
    : input(std::make_unique<char[]>(kInputSize)), journal(journal_options) {}

std::string ContainerLog::SpoolPath(LogStream stream) const {
  return target_.bundle + "/" + LogStreamName(stream) + ".spool";
}

std::string ContainerLog::StatePath() const {
  return target_.bundle + "/log.state";
}

base::Result<std::unique_ptr<ContainerLog>> ContainerLog::Open(const LogTarget& target,
                                                               std::array<base::UniqueFd, 2> fifos) {
  std::unique_ptr<ContainerLog> log(new ContainerLog(target));
  for (const LogStream stream : kLogStreams) {
    const auto index = static_cast<size_t>(stream);
    log->streams_[index].fifo = std::move(fifos[index]);
  }
  if (target.path.empty()) return log;

  // The log file comes first: without it nothing is left behind in the bundle. An earlier run's state file says that
  // the container is already there, so its output is drained whatever happened to the log file.
  const bool earlier = ::access(log->StatePath().c_str(), F_OK) == 0;
  if (!earlier) {
    ASSIGN_OR_RETURN(log->file_, LogFile::Open(target.path));
  }
  ASSIGN_OR_RETURN(log->state_, LogState::Open(log->StatePath()));
  log->progress_ = log->state_->Load();
  for (const LogStream stream : kLogStreams) {
    const auto index = static_cast<size_t>(stream);
    ASSIGN_OR_RETURN(log->streams_[index].spool, LogSpool::Open(log->SpoolPath(stream)));
    // Shorter than what was parsed: Finish() was killed when it had removed the spool. To be known before the new spool
    // has grown to that size.
    log->progress_.parsed[index] = std::min(log->progress_.parsed[index], log->streams_[index].spool->taken());
  }
  log->state_->Publish(log->progress_);
  if (log->file_) {
    log->Use(*std::exchange(log->file_, std::nullopt));
  } else if (auto opened = log->OpenFile(); !opened) {
    log->ReportFailure(opened.error(), Now());
  }
  return log;
}

void ContainerLog::Use(LogFile file) {
  file_ = std::move(file);
  progress_.file = file_->identity();
  progress_.file_size = file_->size();
  state_->Publish(progress_);
}

base::Status ContainerLog::OpenFile() {
  if (progress_.file.inode != 0) {
    if (auto found = LogFile::Find(target_.path, progress_.file)) {
      // What cannot be cut off now is cut off before the next record.
      static_cast<void>(found->Cut(progress_.file_size).ok());
      file_ = *std::move(found);
      return base::Ok();
    }
  }
  ASSIGN_OR_RETURN(LogFile file, LogFile::Open(target_.path));
  Use(std::move(file));
  return base::Ok();
}

void ContainerLog::CatchUp(LogWorkspace& workspace) {
  for (const LogStream stream : kLogStreams) WriteTaken(stream, /*end=*/false, workspace);
}

size_t ContainerLog::Turn(LogStream stream, LogWorkspace& workspace) {
  Stream& from = streams_[static_cast<size_t>(stream)];
  if (!from.spool) {
    const ssize_t size = ::read(from.fifo.get(), workspace.input.get(), kInputSize);
    if (size > 0 && tap_) tap_(stream, {workspace.input.get(), static_cast<size_t>(size)});
    return size > 0 ? static_cast<size_t>(size) : 0;
  }
  auto taken = from.spool->Take(from.fifo.get(), kTurnSize);
  if (!taken) {
    if (!std::exchange(spool_failure_reported_, true)) {
      base::Log(base::LogLevel::kWarning,
                "output of container " + target_.name +
                    " goes to its log without a spool, a kill of this process now would lose a part: " +
                    taken.error().message(),
                {{"OBJECT_SYSTEMD_UNIT", target_.name + ".service"}});
    }
    return TakeWithoutSpool(stream, workspace);
  }
  if (*taken == 0) return 0;
  FAULT_POINT("log: output taken");
  if (tap_) Copy(stream, *taken, workspace);
  WriteTaken(stream, /*end=*/false, workspace);
  return *taken;
}

void ContainerLog::Copy(LogStream stream, size_t size, LogWorkspace& workspace) {
  const LogSpool& spool = *streams_[static_cast<size_t>(stream)].spool;
  const auto read = spool.Read(spool.taken() - size, workspace.input.get(), size);
  // What cannot be read is reported where it is missed in the log.
  if (read.ok()) tap_(stream, {workspace.input.get(), *read});
}

void ContainerLog::WriteTaken(LogStream stream, bool end, LogWorkspace& workspace) {
  const auto index = static_cast<size_t>(stream);
  if (!streams_[index].spool) return;
  LogSpool& spool = *streams_[index].spool;
  uint64_t& parsed = progress_.parsed[index];
  while (parsed < spool.taken()) {
    const auto size = spool.Read(parsed, workspace.input.get(), kInputSize);
    if (!size || *size == 0) {
      base::Log(base::LogLevel::kError,
                "output of container " + target_.name +
                    " is lost: " + (size ? "its spool file is shorter than it was" : size.error().message()),
                {{"OBJECT_SYSTEMD_UNIT", target_.name + ".service"}});
      parsed = spool.taken();
      state_->Publish(progress_);
      return;
    }
    const bool all = parsed + *size >= spool.taken();
    WriteRecords(stream, {workspace.input.get(), *size}, end && all, parsed, workspace);
    spool.Discard(parsed);
    if (all) break;
  }
}

// The way on when /run is full. Unfinished lines are not kept back, since they would have to be kept in memory: they
// become partial records, which a reader joins.
size_t ContainerLog::TakeWithoutSpool(LogStream stream, LogWorkspace& workspace) {
  WriteTaken(stream, /*end=*/true, workspace);
  const ssize_t size = ::read(fifo(stream), workspace.input.get(), kInputSize);
  if (size <= 0) return 0;
  if (tap_) tap_(stream, {workspace.input.get(), static_cast<size_t>(size)});
  uint64_t not_in_spool = 0;
  WriteRecords(stream, {workspace.input.get(), static_cast<size_t>(size)}, /*end=*/true, not_in_spool, workspace);
  return static_cast<size_t>(size);
}

void ContainerLog::WriteRecords(LogStream stream, std::string_view input, bool end, uint64_t& parsed,
                                LogWorkspace& workspace) {
  while (!input.empty()) {
    const int64_t now = Now();
    const size_t used = workspace.formatter.Format(stream, now, input, end);
    if (used == 0) return;
    Append(workspace.formatter.records(), now, workspace);
    FAULT_POINT("log: records written");
    parsed += used;
    if (file_) progress_.file_size = file_->size();
    state_->Publish(progress_);
    // Afterwards: a daemon that is killed here does not send the same lines again.
    if (workspace.journal.options().enabled) CopyToJournal(stream, now, workspace);
    input.remove_prefix(used);
  }
}

void ContainerLog::CopyToJournal(LogStream stream, int64_t now, LogWorkspace& workspace) {
  if (!journal_) journal_.emplace(target_.journal_fields, workspace.journal.options().container_lines);
  workspace.formatter.ForEach(
      [&](bool partial, std::string_view text) { journal_->Write(workspace.journal, stream, partial, text, now); });
}

void ContainerLog::Append(std::string_view records, int64_t now, LogWorkspace& workspace) {
  size_t written = 0;
  base::Status status = file_ ? base::Ok() : OpenFile();
  if (status.ok()) status = file_->Append(records, &written);
  if (status.ok()) {
    if (failure_reported_) ReportSuccess(now);
    return;
  }
  const std::string_view lost = records.substr(written);
  const auto count = static_cast<uint64_t>(std::count(lost.begin(), lost.end(), '\n'));
  dropped_records_ += count;
  workspace.dropped_records.fetch_add(count, std::memory_order_relaxed);
  ReportFailure(status.error(), now);
}

void ContainerLog::ReportFailure(const base::Error& error, int64_t now) {
  if (failure_reported_ || now < next_report_) return;
  failure_reported_ = true;
  base::Log(
      base::LogLevel::kError,
      "the log of container " + target_.name + " cannot be written, its output is read and dropped: " + error.message(),
      {{"OBJECT_SYSTEMD_UNIT", target_.name + ".service"}});
}

void ContainerLog::ReportSuccess(int64_t now) {
  failure_reported_ = false;
  next_report_ = now + kReportInterval;
  base::Log(base::LogLevel::kNotice,
            "the log of container " + target_.name + " is written again, " +
                std::to_string(std::exchange(dropped_records_, 0)) + " records were dropped",
            {{"OBJECT_SYSTEMD_UNIT", target_.name + ".service"}});
}

base::Status ContainerLog::Reopen() {
  if (!state_) return base::Ok();
  ASSIGN_OR_RETURN(LogFile file, LogFile::Open(target_.path));
  FAULT_POINT("log: reopened");
  Use(std::move(file));
  return base::Ok();
}

void ContainerLog::Finish(LogWorkspace& workspace) {
  for (const LogStream stream : kLogStreams) WriteTaken(stream, /*end=*/true, workspace);
  if (journal_) journal_->Finish(workspace.journal);
  // The state goes last: a spool without it would be formatted again.
  FAULT_POINT("log: finished");
  for (const LogStream stream : kLogStreams) ::unlink(SpoolPath(stream).c_str());
  FAULT_POINT("log: spool removed");
  ::unlink(StatePath().c_str());
}

}  // namespace nspawn
