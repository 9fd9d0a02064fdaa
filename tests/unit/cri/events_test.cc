// GetContainerEvents.

#include <gmock/gmock.h>

#include <thread>

#include "served_node.h"

namespace cri {
namespace {

using testing::ElementsAre;
using testing::Pair;

class Events : public ServedNode {
 protected:
  Events() : reader_(runtime_->GetContainerEvents(context_.get(), {})) {
    while (!node_.runtime->events.AnyoneListens()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  ~Events() override { context_->TryCancel(); }

  v1::ContainerEventResponse Read() {
    v1::ContainerEventResponse event;
    EXPECT_TRUE(reader_->Read(&event));
    return event;
  }
  std::vector<std::pair<std::string, v1::ContainerEventType>> Read(int count) {
    std::vector<std::pair<std::string, v1::ContainerEventType>> events;
    for (int i = 0; i < count; ++i) {
      const v1::ContainerEventResponse event = Read();
      events.emplace_back(event.container_id(), event.container_event_type());
    }
    return events;
  }

  std::unique_ptr<grpc::ClientContext> context_ = Context();
  std::unique_ptr<grpc::ClientReader<v1::ContainerEventResponse>> reader_;
};

TEST_F(Events, TellTheLifeOfAPodInItsOrder) {
  const std::string pod = RunPod("web");
  EXPECT_THAT(Read(2), ElementsAre(Pair(pod, v1::CONTAINER_CREATED_EVENT), Pair(pod, v1::CONTAINER_STARTED_EVENT)));
  const std::string container = RunContainer(pod, "app");
  EXPECT_THAT(Read(2),
              ElementsAre(Pair(container, v1::CONTAINER_CREATED_EVENT), Pair(container, v1::CONTAINER_STARTED_EVENT)));
  v1::RemovePodSandboxRequest remove;
  remove.set_pod_sandbox_id(pod);
  v1::RemovePodSandboxResponse removed;
  Expect(runtime_->RemovePodSandbox(Context().get(), remove, &removed));
  EXPECT_THAT(Read(4),
              ElementsAre(Pair(pod, v1::CONTAINER_STOPPED_EVENT), Pair(container, v1::CONTAINER_STOPPED_EVENT),
                          Pair(container, v1::CONTAINER_DELETED_EVENT), Pair(pod, v1::CONTAINER_DELETED_EVENT)));
}

TEST_F(Events, CarryTheStatusOfThePodAndItsContainersAfterwards) {
  const std::string pod = RunPod("web");
  Read(2);
  const std::string container = RunContainer(pod, "app");
  const v1::ContainerEventResponse created = Read();
  EXPECT_GT(created.created_at(), 0);
  EXPECT_EQ(created.pod_sandbox_status().metadata().uid(), "uid-web");
  EXPECT_EQ(created.pod_sandbox_status().state(), v1::SANDBOX_READY);
  ASSERT_EQ(created.containers_statuses_size(), 1);
  EXPECT_EQ(created.containers_statuses(0).state(), v1::CONTAINER_CREATED);
  EXPECT_EQ(Read().containers_statuses(0).state(), v1::CONTAINER_RUNNING);
  v1::StopContainerRequest stop;
  stop.set_container_id(container);
  v1::StopContainerResponse stopped;
  Expect(runtime_->StopContainer(Context().get(), stop, &stopped));
  const v1::ContainerEventResponse exited = Read();
  ASSERT_EQ(exited.containers_statuses_size(), 1);
  EXPECT_EQ(exited.containers_statuses(0).state(), v1::CONTAINER_EXITED);
  EXPECT_EQ(exited.containers_statuses(0).exit_code(), 143);
}

TEST_F(Events, AnExitThatNobodyAskedForIsTold) {
  const std::string pod = RunPod("web");
  const std::string container = RunContainer(pod, "app");
  Read(4);
  const std::string unit = node_.containers.created.front().name;
  node_.containers.End(unit, 3);
  node_.containers.on_exit(unit, node_.containers.units[unit].exit);
  const v1::ContainerEventResponse event = Read();
  EXPECT_EQ(event.container_event_type(), v1::CONTAINER_STOPPED_EVENT);
  EXPECT_EQ(event.containers_statuses(0).exit_code(), 3);
}

TEST_F(Events, EveryListenerHearsThem) {
  const auto other_context = Context();
  const auto other = runtime_->GetContainerEvents(other_context.get(), {});
  // The second one has been heard when an event that both could have got comes to it.
  std::string heard;
  std::thread listener([&] {
    v1::ContainerEventResponse event;
    while (other->Read(&event)) heard = event.pod_sandbox_status().metadata().name();
  });
  for (int i = 0; i < 20; ++i) {
    RunPod("pod-" + std::to_string(i));
    Read(2);
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  server_->Stop(std::chrono::seconds(5));
  listener.join();
  EXPECT_EQ(heard, "pod-19");
}

TEST_F(Events, EndWithTheServerAtOnce) {
  const auto begin = std::chrono::steady_clock::now();
  server_->Stop(std::chrono::seconds(10));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(5));
  v1::ContainerEventResponse event;
  EXPECT_FALSE(reader_->Read(&event));
}

TEST_F(Events, AClientThatGoesIsForgotten) {
  context_->TryCancel();
  for (int i = 0; i < 2000 && node_.runtime->events.AnyoneListens(); ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  EXPECT_FALSE(node_.runtime->events.AnyoneListens());
}

TEST(ContainerEventsTest, AClientThatDoesNotReadIsToldThatItMissedSome) {
  ContainerEvents events;
  ContainerEvents::Subscription slow(events);
  for (int i = 0; i < 1001; ++i) events.Publish({});
  const std::stop_source never;
  const auto next = slow.Next(never.get_token());
  ASSERT_FALSE(next.ok());
  EXPECT_EQ(next.error().code(), base::Code::kResourceExhausted);
}

}  // namespace
}  // namespace cri
