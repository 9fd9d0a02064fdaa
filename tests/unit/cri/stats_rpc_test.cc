// Statistics, metrics, pod resources and the streaming lists.

#include <gmock/gmock.h>

#include <map>

#include "served_node.h"

namespace cri {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

class StatsRpc : public ServedNode {
 protected:
  StatsRpc() : pod_(RunPod("web", "kubepods-pod1.slice")), container_(RunContainer(pod_, "app")) {
    unit_ = "/pod.slice/" + node_.containers.created.front().name + ".service";
    machine_ = node_.machines.started.front().name + ".service";
  }
  void WriteUsage(const std::string& cgroup, uint64_t factor) {
    const auto text = [&](uint64_t value) { return std::to_string(value * factor); };
    WriteCgroup(cgroup, "cpu.stat", "usage_usec " + text(7'000'000) + "\nuser_usec " + text(5'000'000) + "\n");
    WriteCgroup(cgroup, "memory.current", text(1000) + "\n");
    WriteCgroup(cgroup, "memory.stat", "anon " + text(300) + "\ninactive_file " + text(400) + "\npgfault 9\n");
    WriteCgroup(cgroup, "memory.events", "low 0\nmax 5\noom_kill 2\n");
    WriteCgroup(cgroup, "pids.current", text(3) + "\n");
    WriteCgroup(cgroup, "cpu.pressure", "some avg10=1.00 avg60=0.00 avg300=0.00 total=3000000\n");
    WriteCgroup(cgroup, "io.stat", "8:16 rbytes=4096 wbytes=" + text(8192) + " rios=1 wios=2 dbytes=0 dios=0\n");
  }
  v1::PodSandboxStats Stats(const std::string& id) {
    v1::PodSandboxStatsRequest request;
    request.set_pod_sandbox_id(id);
    v1::PodSandboxStatsResponse response;
    Expect(runtime_->PodSandboxStats(Context().get(), request, &response));
    return response.stats();
  }
  v1::PodSandboxMetrics Metrics() {
    v1::ListPodSandboxMetricsResponse response;
    Expect(runtime_->ListPodSandboxMetrics(Context().get(), {}, &response));
    EXPECT_EQ(response.pod_metrics_size(), 1);
    return response.pod_metrics(0);
  }

  std::string pod_, container_, unit_, machine_;
};

TEST_F(StatsRpc, APodWithASliceOfItsOwnIsMeasuredByIt) {
  WriteUsage("/machine.slice", 10);  // where the machine of the fakes lies: its parent stands for the slice
  WriteUsage(unit_, 1);
  const v1::PodSandboxStats stats = Stats(pod_);
  EXPECT_EQ(stats.attributes().id(), pod_);
  EXPECT_EQ(stats.attributes().metadata().name(), "web");
  EXPECT_EQ(stats.attributes().labels().at("app"), "web");
  EXPECT_EQ(stats.linux().cpu().usage_core_nano_seconds().value(), 70'000'000'000u);
  EXPECT_EQ(stats.linux().memory().usage_bytes().value(), 10'000u);
  EXPECT_EQ(stats.linux().memory().working_set_bytes().value(), 6'000u);
  EXPECT_EQ(stats.linux().process().process_count().value(), 30u);
  EXPECT_GT(stats.linux().process().timestamp(), 0);
  ASSERT_EQ(stats.linux().containers_size(), 1);
  EXPECT_EQ(stats.linux().containers(0).attributes().id(), container_);
  EXPECT_EQ(stats.linux().containers(0).cpu().usage_core_nano_seconds().value(), 7'000'000'000u);
  EXPECT_FALSE(stats.linux().has_network()) << "on the host's network there is nothing of the pod's";
}

TEST_F(StatsRpc, APodInASharedSliceIsTheSumOfItsUnits) {
  const std::string other = RunPod("other");
  RunContainer(other, "app");
  const std::string second = "/pod.slice/" + node_.containers.created.back().name + ".service";
  WriteUsage("/machine.slice/" + node_.machines.started.back().name + ".service", 1);
  WriteUsage(second, 2);
  WriteUsage("/machine.slice", 100);
  const v1::PodSandboxStats stats = Stats(other);
  EXPECT_EQ(stats.linux().cpu().usage_core_nano_seconds().value(), 21'000'000'000u);
  EXPECT_EQ(stats.linux().memory().usage_bytes().value(), 3'000u);
  EXPECT_EQ(stats.linux().process().process_count().value(), 9u);
}

TEST_F(StatsRpc, TotalsOfPressureAreNanoseconds) {
  WriteUsage(unit_, 1);
  const v1::PodSandboxStats stats = Stats(pod_);
  EXPECT_EQ(stats.linux().containers(0).cpu().psi().some().total(), 3'000'000'000u);
  EXPECT_DOUBLE_EQ(stats.linux().containers(0).cpu().psi().some().avg10(), 1.0);
}

TEST_F(StatsRpc, ListsSelectByIdAndLabel) {
  RunPod("other");
  v1::ListPodSandboxStatsRequest request;
  const auto ids = [&] {
    v1::ListPodSandboxStatsResponse response;
    Expect(runtime_->ListPodSandboxStats(Context().get(), request, &response));
    std::vector<std::string> names;
    for (const auto& stats : response.stats()) names.push_back(stats.attributes().metadata().name());
    return names;
  };
  EXPECT_THAT(ids(), UnorderedElementsAre("web", "other"));
  request.mutable_filter()->set_id(pod_);
  EXPECT_THAT(ids(), ElementsAre("web"));
  request.mutable_filter()->clear_id();
  (*request.mutable_filter()->mutable_label_selector())["app"] = "other";
  EXPECT_THAT(ids(), ElementsAre("other"));
}

TEST_F(StatsRpc, EveryMetricHasADescriptorAndAsManyLabels) {
  WriteUsage("/machine.slice", 1);
  WriteUsage(unit_, 1);
  v1::ListMetricDescriptorsResponse described;
  Expect(runtime_->ListMetricDescriptors(Context().get(), {}, &described));
  std::map<std::string, int> labels;
  for (const auto& descriptor : described.descriptors()) {
    EXPECT_FALSE(descriptor.help().empty()) << descriptor.name();
    EXPECT_TRUE(labels.emplace(descriptor.name(), descriptor.label_keys_size()).second) << descriptor.name();
  }
  const v1::PodSandboxMetrics metrics = Metrics();
  EXPECT_EQ(metrics.pod_sandbox_id(), pod_);
  ASSERT_EQ(metrics.container_metrics_size(), 1);
  EXPECT_GT(metrics.metrics_size(), 10);
  for (const auto* list : {&metrics.metrics(), &metrics.container_metrics(0).metrics()}) {
    for (const v1::Metric& metric : *list) {
      ASSERT_EQ(labels.count(metric.name()), 1u) << metric.name();
      EXPECT_EQ(metric.label_values_size(), labels[metric.name()]) << metric.name();
    }
  }
}

TEST_F(StatsRpc, MetricsAreNamedAndLabelledAsCadvisorHasThem) {
  WriteUsage(unit_, 1);
  std::map<std::string, v1::Metric> by_name;
  const v1::PodSandboxMetrics metrics = Metrics();
  EXPECT_EQ(metrics.container_metrics(0).container_id(), container_);
  for (const v1::Metric& metric : metrics.container_metrics(0).metrics()) by_name[metric.name()] = metric;
  const v1::Metric& cpu = by_name.at("container_cpu_usage_seconds_total");
  EXPECT_EQ(cpu.value().value(), 7u);
  EXPECT_EQ(cpu.metric_type(), v1::COUNTER);
  EXPECT_THAT(cpu.label_values(),
              ElementsAre("app", unit_, node_.store.images.front().id, container_, "default", "web", "total"));
  EXPECT_EQ(by_name.at("container_memory_working_set_bytes").value().value(), 600u);
  EXPECT_EQ(by_name.at("container_memory_working_set_bytes").metric_type(), v1::GAUGE);
  EXPECT_EQ(by_name.at("container_oom_events_total").value().value(), 2u);
  EXPECT_EQ(by_name.at("container_fs_writes_bytes_total").value().value(), 8192u);
  EXPECT_EQ(by_name.at("container_pressure_cpu_waiting_seconds_total").value().value(), 3u);
}

TEST_F(StatsRpc, PodResourcesReachTheSliceAndTheRecord) {
  v1::UpdatePodSandboxResourcesRequest request;
  request.set_pod_sandbox_id(pod_);
  request.mutable_resources()->set_memory_limit_in_bytes(1 << 20);
  request.mutable_overhead()->set_cpu_shares(10);
  v1::UpdatePodSandboxResourcesResponse response;
  Expect(runtime_->UpdatePodSandboxResources(Context().get(), request, &response));
  ASSERT_EQ(node_.containers.slice_updates.size(), 1u);
  EXPECT_EQ(node_.containers.slice_updates[0].first, "kubepods-pod1.slice");
  EXPECT_EQ(node_.containers.slice_updates[0].second.memory_limit, 1 << 20);
  const auto record = node_.runtime->sandboxes.Get(pod_);
  EXPECT_EQ(record->config().linux().resources().memory_limit_in_bytes(), 1 << 20);
  EXPECT_EQ(record->config().linux().overhead().cpu_shares(), 10);
}

TEST_F(StatsRpc, ASliceOfManyPodsIsNotLimitedByOne) {
  const std::string other = RunPod("other");
  v1::UpdatePodSandboxResourcesRequest request;
  request.set_pod_sandbox_id(other);
  request.mutable_resources()->set_memory_limit_in_bytes(1 << 20);
  v1::UpdatePodSandboxResourcesResponse response;
  Expect(runtime_->UpdatePodSandboxResources(Context().get(), request, &response));
  EXPECT_THAT(node_.containers.slice_updates, IsEmpty());
  request.set_pod_sandbox_id("none");
  EXPECT_EQ(runtime_->UpdatePodSandboxResources(Context().get(), request, &response).error_code(),
            grpc::StatusCode::NOT_FOUND);
}

TEST_F(StatsRpc, StreamsGiveWhatTheListsGive) {
  const std::string other = RunPod("other");
  RunContainer(other, "app");
  {
    const auto context = Context();
    const auto reader = runtime_->StreamPodSandboxes(context.get(), {});
    v1::StreamPodSandboxesResponse part;
    std::vector<std::string> names;
    while (reader->Read(&part)) {
      for (const auto& item : part.pod_sandboxes()) names.push_back(item.metadata().name());
    }
    Expect(reader->Finish());
    EXPECT_THAT(names, UnorderedElementsAre("web", "other"));
  }
  {
    const auto context = Context();
    v1::StreamContainersRequest request;
    request.mutable_filter()->set_pod_sandbox_id(other);
    const auto reader = runtime_->StreamContainers(context.get(), request);
    v1::StreamContainersResponse part;
    ASSERT_TRUE(reader->Read(&part));
    EXPECT_EQ(part.containers_size(), 1);
    EXPECT_FALSE(reader->Read(&part));
    Expect(reader->Finish());
  }
  {
    const auto context = Context();
    const auto reader = runtime_->StreamContainerStats(context.get(), {});
    v1::StreamContainerStatsResponse part;
    ASSERT_TRUE(reader->Read(&part));
    EXPECT_EQ(part.container_stats_size(), 2);
    EXPECT_FALSE(reader->Read(&part));
    Expect(reader->Finish());
  }
  {
    const auto context = Context();
    const auto reader = runtime_->StreamPodSandboxStats(context.get(), {});
    v1::StreamPodSandboxStatsResponse part;
    ASSERT_TRUE(reader->Read(&part));
    EXPECT_EQ(part.pod_sandbox_stats_size(), 2);
    EXPECT_FALSE(reader->Read(&part));
    Expect(reader->Finish());
  }
  {
    const auto context = Context();
    const auto reader = runtime_->StreamPodSandboxMetrics(context.get(), {});
    v1::StreamPodSandboxMetricsResponse part;
    ASSERT_TRUE(reader->Read(&part));
    EXPECT_EQ(part.pod_sandbox_metrics_size(), 2);
    EXPECT_FALSE(reader->Read(&part));
    Expect(reader->Finish());
  }
  {
    const auto context = Context();
    const auto reader = images_->StreamImages(context.get(), {});
    v1::StreamImagesResponse part;
    ASSERT_TRUE(reader->Read(&part));
    EXPECT_EQ(part.images_size(), 1);
    EXPECT_FALSE(reader->Read(&part));
    Expect(reader->Finish());
  }
}

TEST_F(StatsRpc, AStreamOfNothingEndsWell) {
  const auto context = Context();
  v1::StreamContainersRequest request;
  request.mutable_filter()->set_id("none");
  const auto reader = runtime_->StreamContainers(context.get(), request);
  v1::StreamContainersResponse part;
  EXPECT_FALSE(reader->Read(&part));
  Expect(reader->Finish());
}

TEST_F(StatsRpc, StreamsAreCutIntoMessagesThatEveryClientTakes) {
  for (int i = 0; i < 12; ++i) CreateContainer(pod_, "big-" + std::to_string(i), 300'000);
  const auto context = Context();
  const auto reader = runtime_->StreamContainers(context.get(), {});
  v1::StreamContainersResponse part;
  int containers = 0;
  int messages = 0;
  while (reader->Read(&part)) {
    EXPECT_LT(part.ByteSizeLong(), 2u << 20);
    containers += part.containers_size();
    ++messages;
  }
  Expect(reader->Finish());
  EXPECT_EQ(containers, 13);
  EXPECT_GT(messages, 1);
}

TEST(CpuRatesTest, AreTheCpuTimeOfASecondBetweenReadings) {
  constexpr int64_t kSecond = 1'000'000'000;
  CpuRates rates;
  EXPECT_EQ(rates.Update("a", 10 * kSecond, 0), std::nullopt);
  EXPECT_EQ(rates.Update("a", 12 * kSecond, 1'000'000'000), 500'000'000u);
  // Too soon for a rate of its own.
  EXPECT_EQ(rates.Update("a", 12 * kSecond + 1000, 1'000'500'000), 500'000'000u);
  EXPECT_EQ(rates.Update("a", 13 * kSecond, 3'000'000'000), 2'000'000'000u);
  // A clock that was set back.
  EXPECT_EQ(rates.Update("a", 5 * kSecond, 4'000'000'000), std::nullopt);
  EXPECT_EQ(rates.Update("a", 6 * kSecond, 4'000'000'000), 0u);
  rates.Forget("a");
  EXPECT_EQ(rates.Update("a", 7 * kSecond, 5'000'000'000), std::nullopt);
}

}  // namespace
}  // namespace cri
