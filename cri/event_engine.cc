#include "cri/event_engine.h"

#include <absl/synchronization/mutex.h>
#include <grpc/grpc.h>
#include <sys/prctl.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>
#include <thread>
#include <utility>

namespace cri {
namespace {

using grpc_event_engine::experimental::EndpointConfig;
using grpc_event_engine::experimental::EventEngine;
using grpc_event_engine::experimental::MemoryAllocator;
using grpc_event_engine::experimental::MemoryAllocatorFactory;
using Clock = std::chrono::steady_clock;

constexpr unsigned long kTimerSlackNanoseconds = 500'000'000;

// What is to be done, and when. The threads own it together with the engine, which one of them may be the last to let
// go.
class Tasks {
 public:
  EventEngine::TaskHandle Add(Clock::time_point at, absl::AnyInvocable<void()> closure) {
    Key key{at.time_since_epoch().count(), 0};
    {
      const std::lock_guard lock(mutex_);
      key.second = ++last_id_;
      tasks_.emplace(key, std::move(closure));
    }
    changed_.notify_one();
    return {{key.first, key.second}};
  }

  bool Cancel(EventEngine::TaskHandle handle) {
    const std::lock_guard lock(mutex_);
    return tasks_.erase({handle.keys[0], handle.keys[1]}) != 0;
  }

  void Work() {
    std::unique_lock lock(mutex_);
    while (true) {
      const auto first = tasks_.begin();
      const auto at =
          first == tasks_.end() ? Clock::time_point::max() : Clock::time_point(Clock::duration(first->first.first));
      if (at <= Clock::now()) {
        auto closure = std::move(first->second);
        tasks_.erase(first);
        lock.unlock();
        closure();
        closure = nullptr;
        lock.lock();
      } else if (ending_) {
        return;
      } else if (at == Clock::time_point::max()) {
        changed_.wait(lock);
      } else {
        changed_.wait_until(lock, at);
      }
    }
  }

  void End() {
    {
      const std::lock_guard lock(mutex_);
      ending_ = true;
    }
    changed_.notify_all();
  }

 private:
  // When it is due, in nanoseconds of the clock, and a number that no other has; both are in its handle.
  using Key = std::pair<intptr_t, intptr_t>;
  static_assert(sizeof(intptr_t) >= sizeof(Clock::rep));

  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<Key, absl::AnyInvocable<void()>> tasks_;
  intptr_t last_id_ = 0;
  bool ending_ = false;
};

class QuietEventEngine final : public EventEngine {
 public:
  QuietEventEngine() {
    for (std::thread& thread : threads_) thread = std::thread([tasks = tasks_] { tasks->Work(); });
  }

  ~QuietEventEngine() override {
    tasks_->End();
    for (std::thread& thread : threads_) {
      if (thread.get_id() == std::this_thread::get_id()) {
        thread.detach();
      } else {
        thread.join();
      }
    }
  }

  bool IsWorkerThread() override {
    return std::any_of(threads_.begin(), threads_.end(),
                       [](const std::thread& thread) { return thread.get_id() == std::this_thread::get_id(); });
  }

  void Run(Closure* closure) override {
    Run([closure] { closure->Run(); });
  }
  void Run(absl::AnyInvocable<void()> closure) override { tasks_->Add(Clock::now(), std::move(closure)); }
  TaskHandle RunAfter(Duration when, Closure* closure) override {
    return RunAfter(when, [closure] { closure->Run(); });
  }
  TaskHandle RunAfter(Duration when, absl::AnyInvocable<void()> closure) override {
    const auto now = Clock::now();
    // Some ask for as long as there is.
    const auto at = when > Clock::time_point::max() - now ? Clock::time_point::max() : now + when;
    return tasks_->Add(at, std::move(closure));
  }

  bool Cancel(TaskHandle handle) override { return tasks_->Cancel(handle); }

  absl::StatusOr<std::unique_ptr<Listener>> CreateListener(Listener::AcceptCallback,
                                                           absl::AnyInvocable<void(absl::Status)>,
                                                           const EndpointConfig&,
                                                           std::unique_ptr<MemoryAllocatorFactory>) override {
    return absl::UnimplementedError("this engine makes no listeners");
  }
  ConnectionHandle Connect(OnConnectCallback on_connect, const ResolvedAddress&, const EndpointConfig&, MemoryAllocator,
                           Duration) override {
    Run([on_connect = std::move(on_connect)]() mutable {
      on_connect(absl::UnimplementedError("this engine makes no connections"));
    });
    return {{-1, -1}};
  }
  bool CancelConnect(ConnectionHandle) override { return false; }
  std::unique_ptr<DNSResolver> GetDNSResolver(const DNSResolver::ResolverOptions&) override { return nullptr; }

 private:
  const std::shared_ptr<Tasks> tasks_ = std::make_shared<Tasks>();
  std::array<std::thread, 2> threads_;
};

}  // namespace

std::unique_ptr<EventEngine> MakeEventEngine() {
  return std::make_unique<QuietEventEngine>();
}

void StartGrpc() {
  grpc_event_engine::experimental::SetEventEngineFactory(MakeEventEngine);
  // The slack is inherited by the threads that gRPC starts now (PR_SET_TIMERSLACK(2const)).
  const int slack = ::prctl(PR_GET_TIMERSLACK, 0, 0, 0, 0);
  ::prctl(PR_SET_TIMERSLACK, kTimerSlackNanoseconds, 0, 0, 0);
  ::grpc_init();
  // Debian's Abseil keeps, as its debug builds do, a graph of which mutexes are held together, behind a lock that all
  // of gRPC's share.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  if (slack > 0) ::prctl(PR_SET_TIMERSLACK, static_cast<unsigned long>(slack), 0, 0, 0);
}

}  // namespace cri
