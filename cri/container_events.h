// The events of GetContainerEvents, which a kubelet follows instead of listing (its evented PLEG).
#pragma once

#include <atomic>
#include <condition_variable>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <vector>

#include "base/result.h"
#include "proto/runtime.pb.h"

namespace cri {

// Hands each event to all who listen at that moment. Thread-safe.
class ContainerEvents {
 public:
  using Event = std::shared_ptr<const runtime::v1::ContainerEventResponse>;

  // What one client has still to be told. Ends when it goes out of scope; must not outlive the events.
  class Subscription {
   public:
    explicit Subscription(ContainerEvents& events);
    ~Subscription();
    Subscription(const Subscription&) = delete;
    Subscription& operator=(const Subscription&) = delete;

    // Waits for the next event; nothing when `stopping` or after Close(). kResourceExhausted when the client was too
    // slow and events had to be dropped: it has to list, and to subscribe anew.
    base::Result<std::optional<Event>> Next(const std::stop_token& stopping);

   private:
    friend class ContainerEvents;
    ContainerEvents& events_;
    std::condition_variable_any changed_;
    std::deque<Event> waiting_;  // guarded by events_.mutex_
    bool overrun_ = false;       // the same
  };

  // Whether making an event is worth its while.
  bool AnyoneListens() const { return listening_.load(std::memory_order_relaxed) > 0; }
  void Publish(runtime::v1::ContainerEventResponse event);
  // Ends all subscriptions, for good.
  void Close();

 private:
  std::mutex mutex_;
  bool closed_ = false;  // guarded by mutex_, as what follows
  std::vector<Subscription*> subscriptions_;
  std::atomic<size_t> listening_ = 0;
};

}  // namespace cri
