#include "nspawn/bus.h"

#include <poll.h>
#include <sdbus-c++/sdbus-c++.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <future>
#include <list>
#include <map>
#include <mutex>
#include <optional>
#include <semaphore>
#include <string_view>
#include <thread>

#include "base/fd.h"
#include "base/log.h"
#include "base/trace.h"

namespace nspawn {
namespace {

using base::Code;
using base::Error;
using base::Result;
using base::Status;

constexpr char kSystemd[] = "org.freedesktop.systemd1";
constexpr char kSystemdPath[] = "/org/freedesktop/systemd1";
constexpr char kManager[] = "org.freedesktop.systemd1.Manager";
constexpr char kService[] = "org.freedesktop.systemd1.Service";
constexpr char kMachined[] = "org.freedesktop.machine1";
constexpr char kMachinedPath[] = "/org/freedesktop/machine1";
constexpr char kMachineManager[] = "org.freedesktop.machine1.Manager";
constexpr char kPortabled[] = "org.freedesktop.portable1";
constexpr char kPortabledPath[] = "/org/freedesktop/portable1";
constexpr char kPortableManager[] = "org.freedesktop.portable1.Manager";
constexpr char kProperties[] = "org.freedesktop.DBus.Properties";

// A call that takes longer than this has failed; systemd answers in milliseconds, also with thousands of units.
constexpr std::chrono::seconds kCallTimeout(60);
// Longer than the start and stop timeouts that units of ours have, after which systemd itself ends a job.
constexpr std::chrono::seconds kJobTimeout(110);
// More jobs at a time do not finish sooner: PID 1 runs them one after another.
constexpr std::ptrdiff_t kMostJobs = 64;

std::string EscapeLabel(std::string_view text) {
  static constexpr char kDigits[] = "0123456789abcdef";
  if (text.empty()) return "_";
  std::string out;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    const bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
    const bool digit = c >= '0' && c <= '9';
    if (letter || (digit && i > 0)) {
      out += c;
    } else {
      out += '_';
      out += kDigits[static_cast<unsigned char>(c) >> 4];
      out += kDigits[static_cast<unsigned char>(c) & 15];
    }
  }
  return out;
}

Error FromBusError(const sdbus::Error& error) {
  std::string message = error.getMessage().empty() ? error.getName() : error.getMessage();
  return {CodeOfBusError(error.getName()), std::move(message)};
}

// Runs `function`, whose only failures are sdbus-c++'s exceptions.
template <typename Function>
Status CatchBusErrors(Function&& function) {
  try {
    function();
    return {};
  } catch (const sdbus::Error& error) {
    return FromBusError(error);
  }
}

struct Append {
  sdbus::Message& message;

  void As(const char* signature, const auto& value) const {
    message.openVariant(signature);
    message << value;
    message.closeVariant();
  }
  void operator()(bool value) const { As("b", value); }
  void operator()(int32_t value) const { As("i", value); }
  void operator()(uint32_t value) const { As("u", value); }
  void operator()(uint64_t value) const { As("t", value); }
  void operator()(const std::string& value) const { As("s", value); }
  void operator()(const std::vector<std::string>& value) const { As("as", value); }
  void operator()(const std::vector<uint8_t>& value) const { As("ay", value); }
  void operator()(const std::vector<Command>& commands) const {
    message.openVariant("a(sasb)");
    message.openContainer("(sasb)");
    for (const Command& command : commands) {
      message.openStruct("sasb");
      message << command.at(0) << command << false;
      message.closeStruct();
    }
    message.closeContainer();
    message.closeVariant();
  }
};

void AppendSettings(sdbus::Message& message, const std::vector<Setting>& settings) {
  message.openContainer("(sv)");
  for (const Setting& setting : settings) {
    message.openStruct("sv");
    message << setting.name;
    std::visit(Append{message}, setting.value);
    message.closeStruct();
  }
  message.closeContainer();
}

template <typename T>
T ReadVariant(sdbus::Message& message, const std::string& signature) {
  T value{};
  message.enterVariant(signature);
  message >> value;
  message.exitVariant();
  return value;
}

// Reads a{sv} of the Service interface, taking what ServiceState has.
ServiceState ReadService(sdbus::Message& message) {
  ServiceState state;
  message.enterContainer("{sv}");
  while (message.enterDictEntry("sv")) {
    std::string key;
    std::string type;
    std::string contents;
    message >> key;
    message.peekType(type, contents);
    if (contents == "u") {
      const auto value = ReadVariant<uint32_t>(message, contents);
      if (key == "MainPID") state.main_pid = static_cast<pid_t>(value);
    } else if (contents == "i") {
      const auto value = ReadVariant<int32_t>(message, contents);
      if (key == "ExecMainCode") {
        state.exit_code = value;
      } else if (key == "ExecMainStatus") {
        state.exit_status = value;
      }
    } else if (contents == "t") {
      const auto value = ReadVariant<uint64_t>(message, contents);
      if (key == "ExecMainStartTimestamp") {
        state.started_at = value;
      } else if (key == "ExecMainExitTimestamp") {
        state.exited_at = value;
      }
    } else if (contents == "s") {
      auto value = ReadVariant<std::string>(message, contents);
      if (key == "Result") {
        state.result = std::move(value);
      } else if (key == "StatusText") {
        state.status_text = std::move(value);
      } else if (key == "ControlGroup") {
        state.cgroup = std::move(value);
      }
    } else {
      sdbus::Variant other;
      message >> other;
    }
    message.exitDictEntry();
  }
  message.clearFlags();
  message.exitContainer();
  return state;
}

// sdbus-c++ objects are touched only by the bus thread, which runs what callers post: version 1.2 has a race between
// an asynchronous call and its reply when they happen on two threads, and a synchronous call would hold the connection.
class SystemBus : public Bus {
 public:
  explicit SystemBus(std::function<void(const Error&)> lost) : lost_handler_(std::move(lost)) {}
  ~SystemBus() override;

  Status Open();

  Result<std::string> StartUnit(const std::string& unit) override;
  Result<std::string> StartTransientUnit(const std::string& unit, const std::vector<Setting>& settings) override;
  Result<std::string> StopUnit(const std::string& unit) override;
  Result<bool> IsLoaded(const std::string& unit) override;
  Status KillMainProcess(const std::string& unit, int signal) override;
  Status ResetFailedUnit(const std::string& unit) override;
  Status SetUnitProperties(const std::string& unit, const std::vector<Setting>& settings) override;
  Result<std::vector<std::string>> ListUnits(const std::string& pattern) override;
  Result<ServiceState> GetService(const std::string& unit) override;
  Result<std::string> GetControlGroup(const std::string& unit) override;
  void Watch(const std::string& unit, std::function<void(const ServiceState&)> changed) override;
  void Unwatch(const std::string& unit) override;
  Status RegisterMachine(const std::string& name, const std::vector<uint8_t>& id, pid_t leader,
                         const std::string& root) override;
  Status AttachImage(const std::string& path, const std::string& prefix, const std::string& profile) override {
    return Attach(path, prefix, profile, true);
  }
  Status DetachImage(const std::string& path) override { return Detach(path, true); }
  Status AttachImageForGood(const std::string& path, const std::string& prefix, const std::string& profile) override {
    return Attach(path, prefix, profile, false);
  }
  Status DetachImageForGood(const std::string& path) override { return Detach(path, false); }
  Status EnableUnit(const std::string& unit) override;
  Status DisableUnit(const std::string& unit) override;
  Status Reload() override;

 private:
  // `until_boot`: in /run, else in /etc.
  Status Attach(const std::string& path, const std::string& prefix, const std::string& profile, bool until_boot);
  Status Detach(const std::string& path, bool until_boot);

  struct Target {
    const char* destination;
    std::string path;
    const char* interface;
    const char* method;
  };
  using Fill = std::function<void(sdbus::MethodCall&)>;
  using Reply = std::function<void(sdbus::MethodReply&)>;
  using Finish = std::function<void(Status)>;
  using Promise = std::promise<Result<std::string>>;
  using Watcher = std::function<void(const ServiceState&)>;

  // Has the bus thread run `task` soon; false when it never will.
  bool Post(std::function<void()> task);
  // On the bus thread. `read` gets the reply and may throw sdbus::Error; `finish` is called once, whatever happens.
  void Begin(const Target& target, const Fill& fill, Reply read, Finish finish);
  Status Call(const Target& target, Fill fill, Reply read);
  Result<std::string> RunJob(const char* method, Fill fill);

  void Loop();
  Status RunOnce();
  void RunPosted();
  void Lose(const Error& error);
  void OnJobRemoved(sdbus::Message& message);
  void OnPropertiesChanged(sdbus::Message& message);
  void OnSystemdOwner(sdbus::Message& message);
  std::shared_ptr<Watcher> WatcherOf(const std::string& path);

  std::function<void(const Error&)> lost_handler_;
  std::unique_ptr<sdbus::IConnection> connection_;
  base::UniqueFd wake_;
  std::counting_semaphore<kMostJobs> job_slots_{kMostJobs};

  // Of the bus thread. A proxy must outlive the callback of its call: it is moved to `finished_` there and dropped
  // after.
  std::list<std::unique_ptr<sdbus::IProxy>> calling_;
  std::list<std::unique_ptr<sdbus::IProxy>> finished_;
  std::multimap<std::string, std::shared_ptr<Promise>> jobs_;  // by the job's object path

  std::mutex mutex_;
  std::vector<std::function<void()>> posted_;                // guarded by mutex_
  std::map<std::string, std::shared_ptr<Watcher>> watched_;  // by the unit's object path; guarded by mutex_
  bool closed_ = false;                                      // no task is taken any more; guarded by mutex_

  std::atomic<bool> stop_{false};
  std::thread thread_;
};

SystemBus::~SystemBus() {
  stop_ = true;
  if (thread_.joinable()) {
    const uint64_t one = 1;
    (void)!write(wake_.get(), &one, sizeof one);
    thread_.join();
  }
}

Status SystemBus::Open() {
  wake_.reset(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake_) return base::ErrnoError("eventfd");
  RETURN_IF_ERROR(CatchBusErrors([this] {
    connection_ = sdbus::createSystemBusConnection();
    const auto match = [this](const std::string& rule, void (SystemBus::*handle)(sdbus::Message&)) {
      connection_->addMatch(
          rule,
          [this, handle](sdbus::Message& message) {
            if (auto status = CatchBusErrors([&] { (this->*handle)(message); }); !status.ok()) {
              base::Log(base::LogLevel::kError, "reading a bus signal: " + status.error().message());
            }
          },
          sdbus::floating_slot);
    };
    const std::string from_systemd = "type='signal',sender='org.freedesktop.systemd1',";
    match(from_systemd + "interface='org.freedesktop.systemd1.Manager',member='JobRemoved'", &SystemBus::OnJobRemoved);
    match(from_systemd +
              "interface='org.freedesktop.DBus.Properties',member='PropertiesChanged',"
              "path_namespace='/org/freedesktop/systemd1/unit',arg0='org.freedesktop.systemd1.Service'",
          &SystemBus::OnPropertiesChanged);
    match(
        "type='signal',sender='org.freedesktop.DBus',interface='org.freedesktop.DBus',member='NameOwnerChanged',"
        "arg0='org.freedesktop.systemd1'",
        &SystemBus::OnSystemdOwner);
  }));
  thread_ = std::thread([this] { Loop(); });
  return Call({kSystemd, kSystemdPath, kManager, "Subscribe"}, {}, {}).Wrap("subscribing to systemd's signals");
}

bool SystemBus::Post(std::function<void()> task) {
  const std::lock_guard lock(mutex_);
  if (closed_) return false;
  posted_.push_back(std::move(task));
  const uint64_t one = 1;
  (void)!write(wake_.get(), &one, sizeof one);
  return true;
}

void SystemBus::RunPosted() {
  uint64_t count = 0;
  (void)!read(wake_.get(), &count, sizeof count);
  std::vector<std::function<void()>> tasks;
  {
    const std::lock_guard lock(mutex_);
    tasks.swap(posted_);
  }
  for (const auto& task : tasks) task();
}

Status SystemBus::RunOnce() {
  RunPosted();
  bool processed = true;
  while (processed && !stop_) {
    RETURN_IF_ERROR(CatchBusErrors([&] { processed = connection_->processPendingRequest(); }));
    finished_.clear();
  }
  if (stop_) return {};
  sdbus::IConnection::PollData data{};
  RETURN_IF_ERROR(CatchBusErrors([&] { data = connection_->getEventLoopPollData(); }));
  pollfd fds[] = {{data.fd, data.events, 0}, {wake_.get(), POLLIN, 0}};
  if (poll(fds, std::size(fds), data.getPollTimeout()) < 0 && errno != EINTR) return base::ErrnoError("poll");
  return {};
}

void SystemBus::Loop() {
  Status status;
  while (!stop_ && status.ok()) status = RunOnce();
  Lose(status.ok() ? Error(Code::kCancelled, "the bus connection is being closed") : status.error());
}

void SystemBus::Lose(const Error& error) {
  const Error lost(Code::kUnavailable, "the connection to the system bus is lost: " + error.message());
  std::vector<std::function<void()>> tasks;
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
    tasks.swap(posted_);
  }
  // Their calls fail at once, as does every call that waits for a reply.
  for (const auto& task : tasks) task();
  calling_.clear();
  finished_.clear();
  for (auto& [path, promise] : jobs_) promise->set_value(lost);
  jobs_.clear();
  if (!stop_ && lost_handler_) lost_handler_(lost);
}

void SystemBus::Begin(const Target& target, const Fill& fill, Reply read, Finish finish) {
  const auto status = CatchBusErrors([&] {
    auto proxy = sdbus::createProxy(*connection_, target.destination, target.path);
    auto call = proxy->createMethodCall(target.interface, target.method);
    if (fill) fill(call);
    const auto place = calling_.insert(calling_.end(), std::move(proxy));
    const auto done = [this, place, read = std::move(read), finish](sdbus::MethodReply& reply,
                                                                    const sdbus::Error* error) {
      finished_.splice(finished_.end(), calling_, place);
      if (error != nullptr) {
        finish(FromBusError(*error));
      } else {
        finish(CatchBusErrors([&] {
          if (read) read(reply);
        }));
      }
    };
    try {
      (*place)->callMethod(call, done, kCallTimeout);
    } catch (const sdbus::Error&) {
      calling_.erase(place);
      throw;
    }
  });
  if (!status.ok()) finish(status);
}

Status SystemBus::Call(const Target& target, Fill fill, Reply read) {
  const base::TraceSpan span("bus", target.method);
  auto promise = std::make_shared<std::promise<Status>>();
  auto future = promise->get_future();
  // Should the loop end with the call under way, dropping the callback breaks the promise.
  const bool posted =
      Post([this, target, fill = std::move(fill), read = std::move(read), promise = std::move(promise)]() mutable {
        Begin(target, fill, std::move(read),
              [promise = std::move(promise)](Status status) { promise->set_value(std::move(status)); });
      });
  if (!posted) return Error(Code::kUnavailable, "the connection to the system bus is lost");
  try {
    return future.get();
  } catch (const std::future_error&) {
    return Error(Code::kUnavailable, "the connection to the system bus was lost during a call");
  }
}

Result<std::string> SystemBus::RunJob(const char* method, Fill fill) {
  const base::TraceSpan span("job", method);
  job_slots_.acquire();
  const struct Release {
    std::counting_semaphore<kMostJobs>& slots;
    ~Release() { slots.release(); }
  } release{job_slots_};

  auto promise = std::make_shared<Promise>();
  auto future = promise->get_future();
  auto job = std::make_shared<std::string>();
  // The waiter is entered while the reply is handled: the signal of the job's end comes after it on this thread.
  RETURN_IF_ERROR(Call({kSystemd, kSystemdPath, kManager, method}, std::move(fill),
                       [this, promise, job](sdbus::MethodReply& reply) {
                         sdbus::ObjectPath path;
                         reply >> path;
                         *job = path;
                         jobs_.emplace(path, promise);
                       }));
  if (future.wait_for(kJobTimeout) != std::future_status::ready) {
    (void)Post([this, promise, job] {
      const auto [begin, end] = jobs_.equal_range(*job);
      const auto found = std::find_if(begin, end, [&](const auto& entry) { return entry.second == promise; });
      if (found != end) jobs_.erase(found);
    });
    return Error(Code::kDeadlineExceeded,
                 "systemd's job has not ended after " + std::to_string(kJobTimeout.count()) + " seconds");
  }
  return future.get();
}

void SystemBus::OnJobRemoved(sdbus::Message& message) {
  uint32_t id = 0;
  sdbus::ObjectPath path;
  std::string unit;
  std::string result;
  message >> id >> path >> unit >> result;
  const auto [begin, end] = jobs_.equal_range(path);
  for (auto i = begin; i != end; ++i) i->second->set_value(result);
  jobs_.erase(begin, end);
}

std::shared_ptr<SystemBus::Watcher> SystemBus::WatcherOf(const std::string& path) {
  const std::lock_guard lock(mutex_);
  const auto found = watched_.find(path);
  return found == watched_.end() ? nullptr : found->second;
}

void SystemBus::OnPropertiesChanged(sdbus::Message& message) {
  const auto watcher = WatcherOf(message.getPath());
  if (!watcher) return;
  std::string interface;
  message >> interface;
  // systemd sends all properties that can change at once.
  (*watcher)(ReadService(message));
}

// systemd comes back on the bus after being re-executed, as in an upgrade. What it signalled meanwhile is read again.
void SystemBus::OnSystemdOwner(sdbus::Message& message) {
  std::string name;
  std::string before;
  std::string now;
  message >> name >> before >> now;
  if (now.empty()) return;
  base::Log(base::LogLevel::kNotice, "systemd is new on the bus; reading the state of all units again");
  const auto report = [](const Status& status) {
    if (!status.ok()) {
      base::Log(base::LogLevel::kError, "after systemd came back on the bus: " + status.error().message());
    }
  };
  // systemd keeps its subscribers when it is re-executed, but not when it comes up again after a crash.
  Begin({kSystemd, kSystemdPath, kManager, "Subscribe"}, {}, {}, [report](const Status& status) {
    if (status.ok() || status.error().code() != Code::kAlreadyExists) report(status);
  });
  std::vector<std::string> paths;
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [path, watcher] : watched_) paths.push_back(path);
  }
  for (const std::string& path : paths) {
    Begin(
        {kSystemd, path, kProperties, "GetAll"}, [](sdbus::MethodCall& call) { call << kService; },
        [this, path](sdbus::MethodReply& reply) {
          if (const auto watcher = WatcherOf(path)) (*watcher)(ReadService(reply));
        },
        report);
  }
}

Result<std::string> SystemBus::StartUnit(const std::string& unit) {
  return RunJob("StartUnit", [&](sdbus::MethodCall& call) { call << unit << "fail"; }).Wrap("starting unit " + unit);
}

Result<std::string> SystemBus::StartTransientUnit(const std::string& unit, const std::vector<Setting>& settings) {
  return RunJob("StartTransientUnit",
                [&](sdbus::MethodCall& call) {
                  call << unit << "fail";
                  AppendSettings(call, settings);
                  call.openContainer("(sa(sv))");
                  call.closeContainer();
                })
      .Wrap("starting transient unit " + unit);
}

Result<std::string> SystemBus::StopUnit(const std::string& unit) {
  return RunJob("StopUnit", [&](sdbus::MethodCall& call) { call << unit << "replace"; }).Wrap("stopping unit " + unit);
}

Result<bool> SystemBus::IsLoaded(const std::string& unit) {
  const Status found =
      Call({kSystemd, kSystemdPath, kManager, "GetUnit"}, [&](sdbus::MethodCall& call) { call << unit; }, {})
          .Wrap("looking for unit " + unit);
  if (found.ok()) return true;
  if (found.error().code() == Code::kNotFound) return false;
  return found.error();
}

Status SystemBus::KillMainProcess(const std::string& unit, int signal) {
  return Call({kSystemd, kSystemdPath, kManager, "KillUnit"},
              [&](sdbus::MethodCall& call) { call << unit << "main" << int32_t{signal}; }, {})
      .Wrap("sending signal " + std::to_string(signal) + " to unit " + unit);
}

Status SystemBus::ResetFailedUnit(const std::string& unit) {
  return Call({kSystemd, kSystemdPath, kManager, "ResetFailedUnit"}, [&](sdbus::MethodCall& call) { call << unit; }, {})
      .Wrap("resetting unit " + unit);
}

Status SystemBus::SetUnitProperties(const std::string& unit, const std::vector<Setting>& settings) {
  return Call({kSystemd, kSystemdPath, kManager, "SetUnitProperties"},
              [&](sdbus::MethodCall& call) {
                call << unit << true;
                AppendSettings(call, settings);
              },
              {})
      .Wrap("changing unit " + unit);
}

Result<std::vector<std::string>> SystemBus::ListUnits(const std::string& pattern) {
  std::vector<std::string> units;
  RETURN_IF_ERROR(
      Call(
          {kSystemd, kSystemdPath, kManager, "ListUnitsByPatterns"},
          [&](sdbus::MethodCall& call) { call << std::vector<std::string>{} << std::vector<std::string>{pattern}; },
          [&](sdbus::MethodReply& reply) {
            reply.enterContainer("(ssssssouso)");
            while (reply.enterStruct("ssssssouso")) {
              std::string unit;
              std::string text;
              sdbus::ObjectPath path;
              uint32_t job = 0;
              reply >> unit;
              for (int i = 0; i < 5; ++i) reply >> text;
              reply >> path >> job >> text >> path;
              reply.exitStruct();
              units.push_back(std::move(unit));
            }
            reply.clearFlags();
            reply.exitContainer();
          })
          .Wrap("listing units"));
  return units;
}

Result<ServiceState> SystemBus::GetService(const std::string& unit) {
  ServiceState state;
  RETURN_IF_ERROR(Call(
                      {kSystemd, UnitPath(unit), kProperties, "GetAll"},
                      [](sdbus::MethodCall& call) { call << kService; },
                      [&](sdbus::MethodReply& reply) { state = ReadService(reply); })
                      .Wrap("reading the state of unit " + unit));
  return state;
}

Result<std::string> SystemBus::GetControlGroup(const std::string& unit) {
  std::string cgroup;
  RETURN_IF_ERROR(Call(
                      {kSystemd, UnitPath(unit), kProperties, "Get"},
                      [](sdbus::MethodCall& call) { call << kService << "ControlGroup"; },
                      [&](sdbus::MethodReply& reply) { cgroup = ReadVariant<std::string>(reply, "s"); })
                      .Wrap("reading the control group of unit " + unit));
  return cgroup;
}

void SystemBus::Watch(const std::string& unit, std::function<void(const ServiceState&)> changed) {
  const std::lock_guard lock(mutex_);
  watched_[UnitPath(unit)] = std::make_shared<Watcher>(std::move(changed));
}

void SystemBus::Unwatch(const std::string& unit) {
  const std::lock_guard lock(mutex_);
  watched_.erase(UnitPath(unit));
}

Status SystemBus::RegisterMachine(const std::string& name, const std::vector<uint8_t>& id, pid_t leader,
                                  const std::string& root) {
  return Call({kMachined, kMachinedPath, kMachineManager, "RegisterMachine"},
              [&](sdbus::MethodCall& call) {
                call << name << id << "systemd-nspawn"
                     << "container" << static_cast<uint32_t>(leader) << root;
              },
              {})
      .Wrap("registering machine " + name);
}

Status SystemBus::Attach(const std::string& path, const std::string& prefix, const std::string& profile,
                         bool until_boot) {
  return Call({kPortabled, kPortabledPath, kPortableManager, "AttachImage"},
              [&](sdbus::MethodCall& call) {
                call << path << std::vector<std::string>{prefix} << profile
                     << until_boot
                     // systemd looks through all unit files whenever one is new, and links take it long.
                     << "copy";
              },
              {})
      .Wrap("attaching portable image " + path);
}

Status SystemBus::Detach(const std::string& path, bool until_boot) {
  return Call({kPortabled, kPortabledPath, kPortableManager, "DetachImage"},
              [&](sdbus::MethodCall& call) { call << path << until_boot; }, {})
      .Wrap("detaching portable image " + path);
}

Status SystemBus::EnableUnit(const std::string& unit) {
  return Call({kSystemd, kSystemdPath, kManager, "EnableUnitFiles"},
              [&](sdbus::MethodCall& call) { call << std::vector<std::string>{unit} << false << true; }, {})
      .Wrap("enabling unit " + unit);
}

Status SystemBus::DisableUnit(const std::string& unit) {
  return Call({kSystemd, kSystemdPath, kManager, "DisableUnitFiles"},
              [&](sdbus::MethodCall& call) { call << std::vector<std::string>{unit} << false; }, {})
      .Wrap("disabling unit " + unit);
}

Status SystemBus::Reload() {
  return Call({kSystemd, kSystemdPath, kManager, "Reload"}, [](sdbus::MethodCall&) {}, {}).Wrap("reloading systemd");
}

}  // namespace

Result<std::unique_ptr<Bus>> Bus::Connect(std::function<void(const Error&)> lost) {
  auto bus = std::make_unique<SystemBus>(std::move(lost));
  RETURN_IF_ERROR(bus->Open().Wrap("connecting to the system bus"));
  return std::unique_ptr<Bus>(std::move(bus));
}

std::string UnitPath(const std::string& unit) {
  return std::string(kSystemdPath) + "/unit/" + EscapeLabel(unit);
}

Code CodeOfBusError(const std::string& name) {
  static const std::map<std::string, Code> codes = {
      {"org.freedesktop.systemd1.NoSuchUnit", Code::kNotFound},
      {"org.freedesktop.systemd1.NoSuchProcess", Code::kNotFound},
      {"org.freedesktop.systemd1.UnitExists", Code::kAlreadyExists},
      {"org.freedesktop.systemd1.AlreadySubscribed", Code::kAlreadyExists},
      {"org.freedesktop.systemd1.BadUnitSetting", Code::kInvalidArgument},
      {"org.freedesktop.systemd1.LoadFailed", Code::kFailedPrecondition},
      {"org.freedesktop.systemd1.UnitMasked", Code::kFailedPrecondition},
      {"org.freedesktop.systemd1.ShuttingDown", Code::kUnavailable},
      {"org.freedesktop.machine1.NoSuchMachine", Code::kNotFound},
      {"org.freedesktop.machine1.MachineExists", Code::kAlreadyExists},
      {"org.freedesktop.portable1.NoSuchImage", Code::kNotFound},
      {"org.freedesktop.DBus.Error.UnknownObject", Code::kNotFound},
      {"org.freedesktop.DBus.Error.FileNotFound", Code::kNotFound},
      {"System.Error.ENOENT", Code::kNotFound},
      {"System.Error.ESRCH", Code::kNotFound},
      {"org.freedesktop.DBus.Error.FileExists", Code::kAlreadyExists},
      {"System.Error.EEXIST", Code::kAlreadyExists},
      {"org.freedesktop.DBus.Error.InvalidArgs", Code::kInvalidArgument},
      {"System.Error.EINVAL", Code::kInvalidArgument},
      {"org.freedesktop.DBus.Error.PropertyReadOnly", Code::kInvalidArgument},
      {"org.freedesktop.DBus.Error.AccessDenied", Code::kPermissionDenied},
      {"System.Error.EPERM", Code::kPermissionDenied},
      {"System.Error.EACCES", Code::kPermissionDenied},
      {"org.freedesktop.DBus.Error.Timeout", Code::kDeadlineExceeded},
      {"org.freedesktop.DBus.Error.TimedOut", Code::kDeadlineExceeded},
      {"org.freedesktop.DBus.Error.NoReply", Code::kDeadlineExceeded},
      {"System.Error.ETIMEDOUT", Code::kDeadlineExceeded},
      {"org.freedesktop.DBus.Error.NoMemory", Code::kResourceExhausted},
      {"org.freedesktop.DBus.Error.LimitsExceeded", Code::kResourceExhausted},
      {"System.Error.ENOSPC", Code::kResourceExhausted},
      {"System.Error.ENOMEM", Code::kResourceExhausted},
      {"org.freedesktop.DBus.Error.Disconnected", Code::kUnavailable},
      {"org.freedesktop.DBus.Error.ServiceUnknown", Code::kUnavailable},
      {"org.freedesktop.DBus.Error.NoServer", Code::kUnavailable},
      {"System.Error.ENOTCONN", Code::kUnavailable},
      {"System.Error.ECONNRESET", Code::kUnavailable},
  };
  const auto found = codes.find(name);
  return found == codes.end() ? Code::kInternal : found->second;
}

}  // namespace nspawn
