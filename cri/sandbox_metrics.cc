// ListMetricDescriptors, ListPodSandboxMetrics and StreamPodSandboxMetrics.

#include "cri/batches.h"
#include "cri/container_stats.h"
#include "cri/image_name.h"
#include "cri/metrics.h"
#include "cri/rpc.h"
#include "cri/runtime_service.h"
#include "cri/sandbox_stats.h"

namespace cri {
namespace {

void FillContainerMetrics(const Runtime& runtime, const SandboxRecord& sandbox, const ContainerRecord& record,
                          v1::ContainerMetrics& out) {
  out.set_container_id(record.id());
  MetricOwner owner;
  owner.container = record.config().metadata().name();
  owner.cgroup = record.cgroup();
  owner.image = ImageName(record.config().image());
  owner.id = record.id();
  owner.pod_namespace = sandbox.config().metadata().namespace_();
  owner.pod = sandbox.config().metadata().name();
  Metrics metrics(std::move(owner), *out.mutable_metrics());
  if (const auto read = ReadContainer(runtime, record)) metrics.AddUsage(*read);
  if (const auto layer = ReadWritableLayer(runtime, record)) {
    metrics.AddWritableLayer(*layer, runtime.config.state_directory);
  }
  metrics.AddStart(record.started_at());
  metrics.AddSpecification(record.resources());
}

v1::PodSandboxMetrics SandboxMetrics(const Runtime& runtime, const SandboxRecord& record) {
  v1::PodSandboxMetrics out;
  out.set_pod_sandbox_id(record.id());
  if (const auto usage = ReadSandbox(runtime, record)) {
    const v1::PodSandboxMetadata& metadata = record.config().metadata();
    Metrics metrics({"", usage->cgroup, "", record.id(), metadata.namespace_(), metadata.name()},
                    *out.mutable_metrics());
    metrics.AddUsage(usage->statistics);
    metrics.AddNetwork(usage->interfaces);
    metrics.AddStart(record.created_at());
  }
  for (const auto& container : runtime.ContainersOf(record.id())) {
    if (container->state() != ContainerRecord::RUNNING) continue;
    FillContainerMetrics(runtime, record, *container, *out.add_container_metrics());
  }
  return out;
}

}  // namespace

grpc::Status RuntimeService::ListMetricDescriptors(grpc::ServerContext* context,
                                                   const v1::ListMetricDescriptorsRequest*,
                                                   v1::ListMetricDescriptorsResponse* out) {
  return Answer(*context, RpcKind::kQuery, "ListMetricDescriptors", [&]() -> base::Status {
    FillMetricDescriptors(*out);
    return base::Ok();
  });
}

grpc::Status RuntimeService::ListPodSandboxMetrics(grpc::ServerContext* context,
                                                   const v1::ListPodSandboxMetricsRequest*,
                                                   v1::ListPodSandboxMetricsResponse* out) {
  return Answer(*context, RpcKind::kQuery, "ListPodSandboxMetrics", [&]() -> base::Status {
    for (const auto& record : runtime_.sandboxes.All()) {
      if (record->state() == SandboxRecord::READY) *out->add_pod_metrics() = SandboxMetrics(runtime_, *record);
    }
    return base::Ok();
  });
}

grpc::Status RuntimeService::StreamPodSandboxMetrics(grpc::ServerContext* context,
                                                     const v1::StreamPodSandboxMetricsRequest*,
                                                     grpc::ServerWriter<v1::StreamPodSandboxMetricsResponse>* out) {
  return Answer(*context, RpcKind::kQuery, "StreamPodSandboxMetrics", [&]() -> base::Status {
    Batches batches(*out, &v1::StreamPodSandboxMetricsResponse::add_pod_sandbox_metrics);
    for (const auto& record : runtime_.sandboxes.All()) {
      if (record->state() == SandboxRecord::READY && !batches.Add(SandboxMetrics(runtime_, *record))) {
        return base::Ok();
      }
    }
    batches.Finish();
    return base::Ok();
  });
}

}  // namespace cri
