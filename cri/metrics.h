// Metrics of containers and pods under the names, meanings and labels that cAdvisor gives them, so that dashboards and
// alerts hold whichever of the two a kubelet asks (its /metrics/cadvisor).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "nspawn/statistics.h"
#include "proto/runtime.pb.h"

namespace cri {

// All metrics that the functions below can make; each value has its labels in the order of its descriptor's.
void FillMetricDescriptors(runtime::v1::ListMetricDescriptorsResponse& response);

// Whose values they are: the labels container, id, image, name, namespace and pod, which every metric has.
struct MetricOwner {
  std::string container;  // name in the pod; empty for the pod itself
  std::string cgroup;
  std::string image;
  std::string id;  // of the container or sandbox
  std::string pod_namespace;
  std::string pod;
};

class Metrics {
 public:
  using Values = google::protobuf::RepeatedPtrField<runtime::v1::Metric>;
  // `values` must live longer.
  Metrics(MetricOwner owner, Values& values) : owner_(std::move(owner)), values_(values) {}

  // CPU, memory, pressure, block devices, processes, OOM kills: what the kernel told of the cgroup.
  void AddUsage(const nspawn::Statistics& read);
  // Requests and limits (container_spec_…).
  void AddSpecification(const runtime::v1::LinuxContainerResources& resources);
  void AddStart(int64_t started_at);  // nanoseconds since the epoch
  void AddWritableLayer(const nspawn::DiskUsage& usage, const std::string& device);
  void AddNetwork(const std::vector<nspawn::NetworkInterface>& interfaces);

 private:
  // `more` are the values of the metric's own labels.
  void Add(const char* name, uint64_t value, const std::vector<std::string>& more = {});
  void Add(const char* name, const std::optional<uint64_t>& value, const std::vector<std::string>& more = {});

  const MetricOwner owner_;
  Values& values_;
};

}  // namespace cri
