#include "nspawn/logs.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>

#include <array>
#include <atomic>
#include <chrono>
#include <functional>
#include <future>
#include <mutex>
#include <set>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "base/log.h"
#include "nspawn/container_log.h"

namespace nspawn {
namespace {

constexpr char kStoredPrefix[] = "log-";
// Enough turns to read what a pipe can hold (pipe-max-size, 1 MiB) and to find it empty then.
constexpr int kLeastClosingRounds = 17;

constexpr size_t kSmallPass = 16 * 1024;
constexpr std::chrono::microseconds kTrickleInterval{500};
// A pipe holds what a fast writer of short lines writes in that time.
constexpr std::chrono::microseconds kGatherTime{150};

std::string StoredName(const std::string& container, LogStream stream) {
  return kStoredPrefix + container + "-" + LogStreamName(stream);
}

bool SameFile(const struct stat& a, const struct stat& b) {
  return a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

// Opened for both directions, so that it neither ends nor reports a hang-up when the container's side closes it.
base::Result<base::UniqueFd> OpenFifo(const std::string& path) {
  base::UniqueFd fifo(::open(path.c_str(), O_RDWR | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC));
  struct stat info {};
  if (!fifo || ::fstat(fifo.get(), &info) != 0) return base::ErrnoError("opening " + path);
  if (!S_ISFIFO(info.st_mode)) return base::Internal(path + " is not a FIFO");
  return fifo;
}

class LogsImpl : public Logs {
 public:
  LogsImpl(FdStore& store, std::map<std::string, base::UniqueFd> stored, base::UniqueFd epoll, base::UniqueFd wake)
      : store_(store), stored_(std::move(stored)), epoll_(std::move(epoll)), wake_(std::move(wake)) {}
  LogsImpl(const LogsImpl&) = delete;
  LogsImpl& operator=(const LogsImpl&) = delete;
  ~LogsImpl() override {
    if (!thread_.joinable()) return;
    OnThread([this] { stop_ = true; });
    thread_.join();
  }

  base::Status StartThread();

  base::Status Open(const LogTarget& target) override;
  void DropUnclaimed() override;
  void Close(const std::string& name, int grace_milliseconds) override;
  base::Status Reopen(const std::string& name) override;
  base::Result<std::unique_ptr<Stream>> Attach(const std::string&, const StreamOptions&) override {
    return base::Error(base::Code::kUnimplemented, "attaching to containers is not implemented yet");
  }
  uint64_t DroppedLines() const override { return workspace_.dropped_records.load(std::memory_order_relaxed); }

 private:
  // What epoll hands back: a container's stream. No container is the eventfd.
  struct Source {
    ContainerLog* container = nullptr;
    LogStream stream = LogStream::kStdout;
  };
  struct Entry {
    std::unique_ptr<ContainerLog> log;
    std::array<Source, 2> sources;
  };

  base::Status Prepare(const LogTarget& target);
  base::Result<base::UniqueFd> ClaimFifo(const LogTarget& target, LogStream stream, bool* is_new);
  base::Status Watch(std::unique_ptr<ContainerLog> log);
  void Unwatch(std::map<std::string, Entry>::iterator entry);
  void OnThread(std::function<void()> command);
  void Run();
  void RunCommands();

  FdStore& store_;
  std::mutex mutex_;
  std::map<std::string, base::UniqueFd> stored_;      // guarded by mutex_
  std::set<std::string> names_;                       // guarded by mutex_
  std::vector<std::packaged_task<void()>> commands_;  // guarded by mutex_
  const base::UniqueFd epoll_;
  const base::UniqueFd wake_;
  std::thread thread_;
  LogWorkspace workspace_;  // of the thread, but for the counter

  // Of the thread alone.
  std::map<std::string, Entry> entries_;
  Source wake_source_;
  bool stop_ = false;
};

base::Status LogsImpl::StartThread() {
  struct epoll_event event {};
  event.events = EPOLLIN;
  event.data.ptr = &wake_source_;
  if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, wake_.get(), &event) != 0) {
    return base::ErrnoError("watching the log thread's event descriptor");
  }
  // Signals are for the other threads.
  sigset_t all;
  sigset_t before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  base::Status status;
  try {
    thread_ = std::thread([this] { Run(); });
    ::pthread_setname_np(thread_.native_handle(), "logs");
  } catch (const std::system_error& error) {
    status = base::Error::FromErrno(error.code().value(), "starting the log thread");
  }
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return status;
}

void LogsImpl::OnThread(std::function<void()> command) {
  std::packaged_task<void()> task(std::move(command));
  std::future<void> done = task.get_future();
  {
    const std::lock_guard lock(mutex_);
    commands_.push_back(std::move(task));
  }
  const uint64_t one = 1;
  // Fails only when the counter is full, and then the thread is awake.
  static_cast<void>(::write(wake_.get(), &one, sizeof one) == sizeof one);
  done.get();
}

void LogsImpl::RunCommands() {
  uint64_t count = 0;
  static_cast<void>(::read(wake_.get(), &count, sizeof count) == sizeof count);
  std::vector<std::packaged_task<void()>> commands;
  {
    const std::lock_guard lock(mutex_);
    commands.swap(commands_);
  }
  for (auto& command : commands) command();
}

void LogsImpl::Run() {
  std::array<struct epoll_event, 64> events;
  std::chrono::steady_clock::time_point last_pass;
  while (!stop_) {
    const int count = ::epoll_wait(epoll_.get(), events.data(), static_cast<int>(events.size()), -1);
    bool commands = false;
    size_t taken = 0;
    // One bounded turn for each that has something: a container that writes without end delays the others by one turn.
    for (int i = 0; i < count; ++i) {
      const auto* source = static_cast<const Source*>(events[static_cast<size_t>(i)].data.ptr);
      if (source->container != nullptr) {
        taken += source->container->Turn(source->stream, workspace_);
      } else {
        commands = true;
      }
    }
    // Afterwards, since they may remove a container that is among the events.
    if (commands) {
      RunCommands();
      continue;
    }
    // A container that writes line by line would wake this thread for every one of them. While output comes in small
    // pieces one right after the other, some of it is let gather in the pipes; with none there is nothing to wake up
    // for.
    const auto now = std::chrono::steady_clock::now();
    const bool trickle = taken < kSmallPass && now < last_pass + kTrickleInterval;
    if (trickle) std::this_thread::sleep_for(kGatherTime);
    last_pass = trickle ? now + kGatherTime : now;
  }
}

base::Status LogsImpl::Open(const LogTarget& target) {
  {
    const std::lock_guard lock(mutex_);
    if (!names_.insert(target.name).second) {
      return base::Error(base::Code::kAlreadyExists, "the output of container " + target.name + " is already read");
    }
  }
  auto status = Prepare(target).Wrap("reading the output of container " + target.name);
  if (!status) {
    const std::lock_guard lock(mutex_);
    names_.erase(target.name);
  }
  return status;
}

base::Result<base::UniqueFd> LogsImpl::ClaimFifo(const LogTarget& target, LogStream stream, bool* is_new) {
  ASSIGN_OR_RETURN(base::UniqueFd fifo, OpenFifo(target.bundle + "/" + LogStreamName(stream)));
  const std::string name = StoredName(target.name, stream);
  base::UniqueFd stored;
  {
    const std::lock_guard lock(mutex_);
    if (const auto found = stored_.find(name); found != stored_.end()) {
      stored = std::move(found->second);
      stored_.erase(found);
    }
  }
  // The stored descriptor has kept the pipe's content; now that the pipe is open again either serves.
  struct stat opened {};
  struct stat kept {};
  *is_new =
      !stored || ::fstat(fifo.get(), &opened) != 0 || ::fstat(stored.get(), &kept) != 0 || !SameFile(opened, kept);
  if (stored && *is_new) store_.Remove(name);
  return fifo;
}

base::Status LogsImpl::Prepare(const LogTarget& target) {
  std::array<base::UniqueFd, 2> fifos;
  std::array<bool, 2> is_new = {};
  for (const LogStream stream : kLogStreams) {
    const auto index = static_cast<size_t>(stream);
    ASSIGN_OR_RETURN(fifos[index], ClaimFifo(target, stream, &is_new[index]));
  }
  ASSIGN_OR_RETURN(std::unique_ptr<ContainerLog> log, ContainerLog::Open(target, std::move(fifos)));
  for (const LogStream stream : kLogStreams) {
    if (!is_new[static_cast<size_t>(stream)]) continue;
    // Without it all works but for the end of the daemon and of the container at the same time.
    if (auto put = store_.Put(StoredName(target.name, stream), log->fifo(stream)); !put) {
      base::Log(base::LogLevel::kWarning, put.error().message());
    }
  }
  base::Status status;
  OnThread([&] { status = Watch(std::move(log)); });
  if (!status) {
    for (const LogStream stream : kLogStreams) store_.Remove(StoredName(target.name, stream));
  }
  return status;
}

base::Status LogsImpl::Watch(std::unique_ptr<ContainerLog> log) {
  const auto entry = entries_.try_emplace(log->name()).first;
  entry->second.log = std::move(log);
  for (const LogStream stream : kLogStreams) {
    Source& source = entry->second.sources[static_cast<size_t>(stream)];
    source = {entry->second.log.get(), stream};
    struct epoll_event event {};
    event.events = EPOLLIN;
    event.data.ptr = &source;
    if (::epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, source.container->fifo(stream), &event) != 0) {
      const base::Error error = base::ErrnoError("watching a FIFO");
      Unwatch(entry);
      return error;
    }
  }
  entry->second.log->CatchUp(workspace_);
  return base::Ok();
}

void LogsImpl::Unwatch(std::map<std::string, Entry>::iterator entry) {
  // Closing alone does not take a FIFO from the set: the store holds the same open file.
  for (const LogStream stream : kLogStreams) {
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, entry->second.log->fifo(stream), nullptr);
  }
  entries_.erase(entry);
}

void LogsImpl::DropUnclaimed() {
  std::map<std::string, base::UniqueFd> unclaimed;
  {
    const std::lock_guard lock(mutex_);
    unclaimed.swap(stored_);
  }
  for (const auto& [name, fd] : unclaimed) store_.Remove(name);
}

void LogsImpl::Close(const std::string& name, int grace_milliseconds) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::milliseconds(grace_milliseconds);
  bool known = true;
  bool more = true;
  // A command for each turn, so that other containers have theirs in between.
  for (int round = 0; more && (round < kLeastClosingRounds || std::chrono::steady_clock::now() < deadline); ++round) {
    OnThread([&] {
      more = false;
      const auto entry = entries_.find(name);
      known = entry != entries_.end();
      if (!known) return;
      for (const LogStream stream : kLogStreams) more |= entry->second.log->Turn(stream, workspace_) > 0;
    });
  }
  if (!known) return;
  if (more) {
    base::Log(base::LogLevel::kWarning, "container " + name + " still writes, its log ends here",
              {{"OBJECT_SYSTEMD_UNIT", name + ".service"}});
  }
  OnThread([&] {
    const auto entry = entries_.find(name);
    if (entry == entries_.end()) return;
    entry->second.log->Finish(workspace_);
    Unwatch(entry);
  });
  for (const LogStream stream : kLogStreams) store_.Remove(StoredName(name, stream));
  const std::lock_guard lock(mutex_);
  names_.erase(name);
}

base::Status LogsImpl::Reopen(const std::string& name) {
  base::Status status;
  OnThread([&] {
    const auto entry = entries_.find(name);
    if (entry == entries_.end()) {
      status = base::Error(base::Code::kFailedPrecondition, "container " + name + " has no log that is being written");
    } else {
      status = entry->second.log->Reopen();
    }
  });
  return status;
}

}  // namespace

base::Result<std::unique_ptr<Logs>> Logs::Create(FdStore& store, std::map<std::string, base::UniqueFd> stored) {
  std::erase_if(stored, [](const auto& entry) { return !entry.first.starts_with(kStoredPrefix); });
  base::UniqueFd epoll(::epoll_create1(EPOLL_CLOEXEC));
  base::UniqueFd wake(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!epoll || !wake) return base::ErrnoError("preparing the log thread");
  auto logs = std::make_unique<LogsImpl>(store, std::move(stored), std::move(epoll), std::move(wake));
  RETURN_IF_ERROR(logs->StartThread());
  return std::unique_ptr<Logs>(std::move(logs));
}

}  // namespace nspawn
