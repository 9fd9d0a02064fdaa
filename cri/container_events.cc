#include "cri/container_events.h"

#include <algorithm>

#include "base/clock.h"
#include "base/log.h"
#include "cri/container_list.h"
#include "cri/rpc.h"
#include "cri/runtime_service.h"
#include "cri/sandbox_list.h"

namespace cri {
namespace {

// A kubelet takes events at once. Each holds the status of a whole pod, so a client that does not must not gather many.
constexpr size_t kMostWaiting = 1000;

v1::ContainerEventResponse MakeEvent(const Runtime& runtime, v1::ContainerEventType type, const std::string& id,
                                     const SandboxRecord& sandbox) {
  v1::ContainerEventResponse event;
  event.set_container_id(id);
  event.set_container_event_type(type);
  event.set_created_at(base::NowNanoseconds());
  FillSandboxStatus(sandbox, *event.mutable_pod_sandbox_status());
  for (const auto& container : runtime.ContainersOf(sandbox.id())) {
    if (container->state() == ContainerRecord::CREATING) continue;
    FillContainerStatus(runtime, *container, *event.add_containers_statuses());
  }
  return event;
}

}  // namespace

ContainerEvents::Subscription::Subscription(ContainerEvents& events) : events_(events) {
  const std::lock_guard lock(events_.mutex_);
  events_.subscriptions_.push_back(this);
  events_.listening_ = events_.subscriptions_.size();
}

ContainerEvents::Subscription::~Subscription() {
  const std::lock_guard lock(events_.mutex_);
  std::erase(events_.subscriptions_, this);
  events_.listening_ = events_.subscriptions_.size();
}

base::Result<std::optional<ContainerEvents::Event>> ContainerEvents::Subscription::Next(
    const std::stop_token& stopping) {
  std::unique_lock lock(events_.mutex_);
  changed_.wait(lock, stopping, [&] { return events_.closed_ || overrun_ || !waiting_.empty(); });
  if (stopping.stop_requested() || events_.closed_) return std::optional<Event>();
  if (overrun_) {
    return base::Error(base::Code::kResourceExhausted,
                       "events were dropped because they were not read; list everything and subscribe again");
  }
  Event event = std::move(waiting_.front());
  waiting_.pop_front();
  return std::optional<Event>(std::move(event));
}

void ContainerEvents::Publish(v1::ContainerEventResponse event) {
  const auto shared = std::make_shared<const v1::ContainerEventResponse>(std::move(event));
  const std::lock_guard lock(mutex_);
  for (Subscription* subscription : subscriptions_) {
    subscription->overrun_ |= subscription->waiting_.size() >= kMostWaiting;
    if (subscription->overrun_) {
      subscription->waiting_.clear();
    } else {
      subscription->waiting_.push_back(shared);
    }
    subscription->changed_.notify_one();
  }
}

void ContainerEvents::Close() {
  const std::lock_guard lock(mutex_);
  closed_ = true;
  for (Subscription* subscription : subscriptions_) subscription->changed_.notify_one();
}

void Runtime::HandleContainerChange(const ContainerRecord* before, const ContainerRecord* after) {
  if (after == nullptr) cpu_rates.Forget(before->id());
  if (!events.AnyoneListens()) return;
  const ContainerRecord& record = after == nullptr ? *before : *after;
  const auto sandbox = sandboxes.Get(record.sandbox_id());
  if (!sandbox) return;
  const auto publish = [&](v1::ContainerEventType type) {
    events.Publish(MakeEvent(*this, type, record.id(), *sandbox));
  };
  if (after == nullptr) return publish(v1::CONTAINER_DELETED_EVENT);
  if (before == nullptr || before->state() == after->state()) return;
  // A program may have ended before its start was recorded.
  const bool started = after->started_at() > 0 && before->state() == ContainerRecord::CREATED;
  if (after->state() == ContainerRecord::CREATED) publish(v1::CONTAINER_CREATED_EVENT);
  if (started) publish(v1::CONTAINER_STARTED_EVENT);
  if (after->state() == ContainerRecord::EXITED) publish(v1::CONTAINER_STOPPED_EVENT);
}

void Runtime::HandleSandboxChange(const SandboxRecord* before, const SandboxRecord* after) {
  if (after == nullptr) cpu_rates.Forget(before->id());
  if (!events.AnyoneListens()) return;
  const SandboxRecord& record = after == nullptr ? *before : *after;
  const auto publish = [&](v1::ContainerEventType type) {
    events.Publish(MakeEvent(*this, type, record.id(), record));
  };
  if (after == nullptr) return publish(v1::CONTAINER_DELETED_EVENT);
  if (before == nullptr || before->state() == after->state()) return;
  if (after->state() == SandboxRecord::READY) {
    publish(v1::CONTAINER_CREATED_EVENT);
    publish(v1::CONTAINER_STARTED_EVENT);
  }
  if (before->state() == SandboxRecord::READY) publish(v1::CONTAINER_STOPPED_EVENT);
}

grpc::Status RuntimeService::FollowEvents(const grpc::ServerContext& context,
                                          const std::function<bool(const v1::ContainerEventResponse&)>& write,
                                          const std::stop_token& cancelled) {
  return Answer(context, RpcKind::kQuery, "GetContainerEvents", [&]() -> base::Status {
    ContainerEvents::Subscription subscription(runtime_.events);
    while (true) {
      ASSIGN_OR_RETURN(const auto event, subscription.Next(cancelled));
      if (!event || !write(**event)) return base::Ok();
    }
  });
}

}  // namespace cri
