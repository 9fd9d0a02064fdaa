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
#include <list>
#include <mutex>
#include <optional>
#include <set>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "base/log.h"
#include "base/trace.h"
#include "nspawn/attached_client.h"
#include "nspawn/container_input.h"
#include "nspawn/container_log.h"
#include "nspawn/container_terminal.h"

namespace nspawn {
namespace {

constexpr char kStoredPrefix[] = "log-";
// Enough turns to read what a pipe can hold (pipe-max-size, 1 MiB) and to find it empty then.
constexpr int kLeastClosingRounds = 17;

constexpr size_t kSmallPass = 16 * 1024;
constexpr std::chrono::microseconds kTrickleInterval{500};
// What a pipe takes.
constexpr size_t kMostMoved = 64 * 1024;
// A pipe holds what a fast writer of short lines writes in that time.
constexpr std::chrono::microseconds kGatherTime{150};

constexpr char kTerminalStore[] = "terminal";
constexpr char kInputStore[] = "stdin";

std::string StoredName(const std::string& container, const char* what) {
  return kStoredPrefix + container + "-" + what;
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
  LogsImpl(FdStore& store, std::map<std::string, base::UniqueFd> stored, const JournalOptions& journal,
           base::UniqueFd epoll, base::UniqueFd wake)
      : store_(store),
        stored_(std::move(stored)),
        epoll_(std::move(epoll)),
        wake_(std::move(wake)),
        workspace_(journal) {}
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
  base::Result<std::unique_ptr<Stream>> Attach(const std::string& name, const StreamOptions& options) override;
  uint64_t DroppedLines() const override { return workspace_.dropped_records.load(std::memory_order_relaxed); }

 private:
  // What epoll hands back. Gives the number of bytes of output that were taken.
  using Handler = std::function<size_t()>;

  struct Entry;
  struct Client {
    std::unique_ptr<AttachedClient> attached;
    Entry* entry = nullptr;  // none once the container has ended
    Handler control;
    std::array<Handler, 2> writable;
    std::array<bool, 2> watched = {};
    bool departed = false;
  };
  struct Entry {
    std::unique_ptr<ContainerLog> log;
    std::optional<ContainerTerminal> terminal;
    std::optional<ContainerInput> input;
    bool hung_up = false;  // no process has the terminal open
    std::list<Client> clients;
    std::array<Handler, 2> output;
    Handler listener, connection, master;
  };
  using Entries = std::map<std::string, Entry>;

  // In the caller's thread.
  base::Status Prepare(const LogTarget& target);
  base::UniqueFd TakeStored(const std::string& name);
  // Whether `fd` is not what an earlier run has stored under this name, which is dropped then.
  bool IsNew(const std::string& name, int fd);
  base::Status ClaimTerminal(const LogTarget& target, std::optional<ContainerTerminal>& terminal);
  base::Status ClaimInput(const LogTarget& target, std::optional<ContainerInput>& input);
  void Store(const std::string& name, int fd);
  // A FIFO of the bundle is kept by the pod's unit as well.
  void StorePipe(const LogTarget& target, const char* what, int fd);
  void RemovePipe(const LogTarget& target, const char* what);
  void RemoveStored(const LogTarget& target);
  void OnThread(std::function<void()> command);

  // In the thread that serves the containers.
  void Run();
  void RunCommands();
  base::Status Add(int fd, uint32_t events, Handler& handler, int operation = EPOLL_CTL_ADD);
  base::Status Watch(Entry&& opened);
  base::Status WatchTerminal(Entry& entry);
  void Unwatch(Entries::iterator entry);
  size_t TakeOutput(Entry& entry, LogStream stream);
  void AcceptConsole(Entry& entry);
  void ReceiveTerminal(Entry& entry);
  void SetHungUp(Entry& entry, bool hung_up);
  base::Result<std::unique_ptr<Stream>> Connect(Entry& entry, const StreamOptions& options);
  void ListenTo(Client& client);
  void LoseInput(Entry& entry);
  void AwaitRoom(Client& client, LogStream stream);
  void Depart(Client& client);
  void RemoveDeparted();
  void FinishClients(Entry& entry);

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
  Entries entries_;
  std::list<Client> ended_clients_;  // of ended containers, still to be told what they have missed
  std::vector<Client*> departed_;    // removed after all events that are at hand, which may name them
  bool stop_ = false;
};

base::Status LogsImpl::StartThread() {
  struct epoll_event event {};
  event.events = EPOLLIN;
  event.data.ptr = nullptr;
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
      const auto* handler = static_cast<const Handler*>(events[static_cast<size_t>(i)].data.ptr);
      if (handler != nullptr) {
        taken += (*handler)();
      } else {
        commands = true;
      }
    }
    RemoveDeparted();
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
  const base::TraceSpan span("log", "open", target.name);
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

base::UniqueFd LogsImpl::TakeStored(const std::string& name) {
  const std::lock_guard lock(mutex_);
  const auto found = stored_.find(name);
  if (found == stored_.end()) return base::UniqueFd();
  base::UniqueFd stored = std::move(found->second);
  stored_.erase(found);
  return stored;
}

bool LogsImpl::IsNew(const std::string& name, int fd) {
  // The stored descriptor has kept the pipe's content; now that the pipe is open again either serves.
  const base::UniqueFd stored = TakeStored(name);
  struct stat opened {};
  struct stat kept {};
  const bool is_new =
      !stored || ::fstat(fd, &opened) != 0 || ::fstat(stored.get(), &kept) != 0 || !SameFile(opened, kept);
  if (stored && is_new) store_.Remove(name);
  return is_new;
}

void LogsImpl::Store(const std::string& name, int fd) {
  // Without it all works but for the end of the daemon and of the container at the same time.
  if (auto put = store_.Put(name, fd); !put) base::Log(base::LogLevel::kWarning, put.error().message());
}

void LogsImpl::StorePipe(const LogTarget& target, const char* what, int fd) {
  const std::string name = StoredName(target.name, what);
  Store(name, fd);
  if (target.pod_process <= 0) return;
  // There is one already when the daemon has been stopped in between, in whose own store there was none any more.
  store_.TakeBack(target.pod_process, name);
  if (auto lent = store_.Lend(target.pod_process, name, fd); !lent) {
    base::Log(base::LogLevel::kWarning, lent.error().message());
  }
}

void LogsImpl::RemovePipe(const LogTarget& target, const char* what) {
  const std::string name = StoredName(target.name, what);
  store_.Remove(name);
  if (target.pod_process > 0) store_.TakeBack(target.pod_process, name);
}

void LogsImpl::RemoveStored(const LogTarget& target) {
  for (const LogStream stream : kLogStreams) RemovePipe(target, LogStreamName(stream));
  if (target.terminal) store_.Remove(StoredName(target.name, kTerminalStore));
  if (target.input && !target.terminal) RemovePipe(target, kInputStore);
}

base::Status LogsImpl::ClaimTerminal(const LogTarget& target, std::optional<ContainerTerminal>& terminal) {
  base::UniqueFd stored = TakeStored(StoredName(target.name, kTerminalStore));
  auto made = stored ? ContainerTerminal::Resume(std::move(stored)) : ContainerTerminal::Listen(target.bundle);
  if (!made.ok()) return std::move(made).error();
  terminal.emplace(*std::move(made));
  return base::Ok();
}

base::Status LogsImpl::ClaimInput(const LogTarget& target, std::optional<ContainerInput>& input) {
  ASSIGN_OR_RETURN(input, ContainerInput::Open(target.bundle, target.input_once));
  if (IsNew(StoredName(target.name, kInputStore), input->writer()) && input->writer() >= 0) {
    StorePipe(target, kInputStore, input->writer());
  }
  return base::Ok();
}

base::Status LogsImpl::Prepare(const LogTarget& target) {
  std::array<base::UniqueFd, 2> fifos;
  std::array<bool, 2> is_new = {};
  for (const LogStream stream : kLogStreams) {
    const auto index = static_cast<size_t>(stream);
    ASSIGN_OR_RETURN(fifos[index], OpenFifo(target.bundle + "/" + LogStreamName(stream)));
    is_new[index] = IsNew(StoredName(target.name, LogStreamName(stream)), fifos[index].get());
  }
  Entry entry;
  if (target.terminal) RETURN_IF_ERROR(ClaimTerminal(target, entry.terminal));
  ASSIGN_OR_RETURN(entry.log, ContainerLog::Open(target, std::move(fifos)));
  if (target.input && !target.terminal) RETURN_IF_ERROR(ClaimInput(target, entry.input));
  for (const LogStream stream : kLogStreams) {
    if (is_new[static_cast<size_t>(stream)]) {
      StorePipe(target, LogStreamName(stream), entry.log->fifo(stream));
    }
  }
  base::Status status;
  OnThread([&] { status = Watch(std::move(entry)); });
  if (!status) RemoveStored(target);
  return status;
}

base::Status LogsImpl::Add(int fd, uint32_t events, Handler& handler, int operation) {
  struct epoll_event event {};
  event.events = events;
  event.data.ptr = &handler;
  if (::epoll_ctl(epoll_.get(), operation, fd, &event) != 0) return base::ErrnoError("watching a container's streams");
  return base::Ok();
}

base::Status LogsImpl::Watch(Entry&& opened) {
  const auto place = entries_.try_emplace(opened.log->name(), std::move(opened)).first;
  Entry& entry = place->second;
  entry.listener = [this, &entry] { return AcceptConsole(entry), size_t{0}; };
  entry.connection = [this, &entry] { return ReceiveTerminal(entry), size_t{0}; };
  entry.master = [this, &entry] { return TakeOutput(entry, LogStream::kStdout); };
  base::Status status = entry.terminal ? WatchTerminal(entry) : base::Ok();
  for (const LogStream stream : kLogStreams) {
    Handler& handler = entry.output[static_cast<size_t>(stream)];
    handler = [this, &entry, stream] { return TakeOutput(entry, stream); };
    if (status) status = Add(entry.log->fifo(stream), EPOLLIN, handler);
  }
  if (!status) {
    Unwatch(place);
    return status;
  }
  entry.log->CatchUp(workspace_);
  return base::Ok();
}

base::Status LogsImpl::WatchTerminal(Entry& entry) {
  if (entry.terminal->master() >= 0) return Add(entry.terminal->master(), EPOLLIN, entry.master);
  return Add(entry.terminal->listener(), EPOLLIN, entry.listener);
}

void LogsImpl::Unwatch(Entries::iterator entry) {
  // Closing alone does not take these from the set: the store holds the same open files.
  for (const LogStream stream : kLogStreams) {
    ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, entry->second.log->fifo(stream), nullptr);
  }
  if (entry->second.terminal) ::epoll_ctl(epoll_.get(), EPOLL_CTL_DEL, entry->second.terminal->master(), nullptr);
  entries_.erase(entry);
}

size_t LogsImpl::TakeOutput(Entry& entry, LogStream stream) {
  if (stream == LogStream::kStdout && entry.terminal && entry.terminal->master() >= 0) {
    // By way of the FIFO, so that a terminal's output is as safe from a kill of this process as that of pipes.
    const auto moved = entry.terminal->MoveOutput(entry.log->fifo(stream), kMostMoved);
    if (!moved.ok() && moved.error().number() != EIO && !entry.hung_up) {
      base::Log(base::LogLevel::kError, "container " + entry.log->name() + ": " + moved.error().message());
    }
    SetHungUp(entry, !moved.ok());
  }
  return entry.log->Turn(stream, workspace_);
}

// A terminal that no process has open is readable for ever. It may be opened again.
void LogsImpl::SetHungUp(Entry& entry, bool hung_up) {
  if (entry.hung_up == hung_up) return;
  entry.hung_up = hung_up;
  const uint32_t edge = hung_up ? static_cast<uint32_t>(EPOLLET) : 0;
  (void)Add(entry.terminal->master(), EPOLLIN | edge, entry.master, EPOLL_CTL_MOD);
}

void LogsImpl::AcceptConsole(Entry& entry) {
  base::Status status = entry.terminal->Accept();
  if (status && entry.terminal->connection() >= 0) {
    status = Add(entry.terminal->connection(), EPOLLIN, entry.connection);
  }
  if (!status) base::Log(base::LogLevel::kError, "container " + entry.log->name() + ": " + status.error().message());
}

void LogsImpl::ReceiveTerminal(Entry& entry) {
  ContainerTerminal& terminal = *entry.terminal;
  if (terminal.connection() < 0) return;
  base::Status status = terminal.Receive();
  if (status && terminal.master() >= 0) {
    const std::string name = StoredName(entry.log->name(), kTerminalStore);
    // A start that failed may have left one.
    store_.Remove(name);
    Store(name, terminal.master());
    status = WatchTerminal(entry);
    if (status) terminal.Acknowledge();
  }
  if (!status) base::Log(base::LogLevel::kError, "container " + entry.log->name() + ": " + status.error().message());
}

base::Result<std::unique_ptr<Stream>> LogsImpl::Attach(const std::string& name, const StreamOptions& options) {
  base::Result<std::unique_ptr<Stream>> stream =
      base::Error(base::Code::kFailedPrecondition, "container " + name + " does not run");
  OnThread([&] {
    const auto entry = entries_.find(name);
    if (entry != entries_.end()) stream = Connect(entry->second, options);
  });
  return std::move(stream).Wrap("attach to container " + name);
}

base::Result<std::unique_ptr<Stream>> LogsImpl::Connect(Entry& entry, const StreamOptions& options) {
  AttachedClient::Ends ends;
  ends.output = options.output;
  if (entry.terminal) {
    if (entry.terminal->master() < 0) {
      return base::Error(base::Code::kFailedPrecondition, "its terminal is not there yet");
    }
    ends.terminal.reset(::fcntl(entry.terminal->master(), F_DUPFD_CLOEXEC, 0));
    if (!ends.terminal) return base::ErrnoError("duplicate its terminal");
    ends.input_is_terminal = options.input && entry.log->target().input;
  } else {
    ends.error = options.error;
    if (options.input && entry.input) ends.input = entry.input->Connect();
  }
  std::unique_ptr<Stream> stream;
  Client& client = entry.clients.emplace_back();
  auto attached = AttachedClient::Connect(std::move(ends), stream);
  base::Status status = attached.ok() ? base::Ok() : std::move(attached).error();
  if (status) {
    client.attached = *std::move(attached);
    client.entry = &entry;
    client.control = [this, &client] { return ListenTo(client), size_t{0}; };
    for (const LogStream log_stream : kLogStreams) {
      client.writable[static_cast<size_t>(log_stream)] = [this, &client, log_stream] {
        return AwaitRoom(client, log_stream), size_t{0};
      };
    }
    status = Add(client.attached->control(), EPOLLIN, client.control);
  }
  if (!status) {
    entry.clients.pop_back();
    return std::move(status).error();
  }
  entry.log->SetTap([this, &entry](LogStream log_stream, std::string_view bytes) {
    for (Client& each : entry.clients) {
      if (each.attached->Deliver(log_stream, bytes)) AwaitRoom(each, log_stream);
    }
  });
  return stream;
}

void LogsImpl::ListenTo(Client& client) {
  if (client.attached->control() < 0) return;
  const bool had_input = client.attached->has_input();
  const AttachedClient::News news = client.attached->Listen();
  if (news == AttachedClient::News::kNothing) return;
  if (had_input && client.entry != nullptr) LoseInput(*client.entry);
  if (news == AttachedClient::News::kGone) Depart(client);
}

void LogsImpl::Depart(Client& client) {
  if (!std::exchange(client.departed, true)) departed_.push_back(&client);
}

void LogsImpl::LoseInput(Entry& entry) {
  if (entry.input->Disconnect()) RemovePipe(entry.log->target(), kInputStore);
}

// Tells a client what it has missed, now or as soon as there is room for it.
void LogsImpl::AwaitRoom(Client& client, LogStream stream) {
  const auto index = static_cast<size_t>(stream);
  if (!client.attached->TellSkipped(stream)) {
    const int operation = std::exchange(client.watched[index], true) ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
    (void)Add(client.attached->socket(stream), EPOLLOUT | EPOLLONESHOT, client.writable[index], operation);
  } else if (client.attached->finished()) {
    Depart(client);
  }
}

void LogsImpl::RemoveDeparted() {
  for (Client* const client : departed_) {
    Entry* const entry = client->entry;
    std::list<Client>& clients = entry != nullptr ? entry->clients : ended_clients_;
    clients.remove_if([&](const Client& each) { return &each == client; });
    if (entry != nullptr && clients.empty()) entry->log->SetTap({});
  }
  departed_.clear();
}

void LogsImpl::FinishClients(Entry& entry) {
  for (auto client = entry.clients.begin(); client != entry.clients.end();) {
    const auto next = std::next(client);
    client->attached->Finish();
    client->entry = nullptr;
    if (client->attached->finished()) {
      entry.clients.erase(client);
    } else {
      ended_clients_.splice(ended_clients_.end(), entry.clients, client);
    }
    client = next;
  }
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
  const base::TraceSpan span("log", "close", name);
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
      for (const LogStream stream : kLogStreams) more |= TakeOutput(entry->second, stream) > 0;
    });
  }
  if (!known) return;
  if (more) {
    base::Log(base::LogLevel::kWarning, "container " + name + " still writes, its log ends here",
              {{"OBJECT_SYSTEMD_UNIT", name + ".service"}});
  }
  LogTarget target;
  OnThread([&] {
    const auto entry = entries_.find(name);
    if (entry == entries_.end()) return;
    target = entry->second.log->target();
    entry->second.log->Finish(workspace_);
    FinishClients(entry->second);
    Unwatch(entry);
  });
  RemoveStored(target);
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

base::Result<std::unique_ptr<Logs>> Logs::Create(FdStore& store, std::map<std::string, base::UniqueFd> stored,
                                                 const JournalOptions& journal) {
  std::erase_if(stored, [](const auto& entry) { return !entry.first.starts_with(kStoredPrefix); });
  base::UniqueFd epoll(::epoll_create1(EPOLL_CLOEXEC));
  base::UniqueFd wake(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!epoll || !wake) return base::ErrnoError("preparing the log thread");
  auto logs = std::make_unique<LogsImpl>(store, std::move(stored), journal, std::move(epoll), std::move(wake));
  RETURN_IF_ERROR(logs->StartThread());
  return std::unique_ptr<Logs>(std::move(logs));
}

}  // namespace nspawn
