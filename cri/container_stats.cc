// ContainerStats, ListContainerStats and StreamContainerStats.

#include "cri/container_stats.h"

#include "base/clock.h"
#include "base/log.h"
#include "cri/batches.h"
#include "cri/filters.h"
#include "cri/rpc.h"
#include "cri/runtime_service.h"

namespace cri {
namespace {

// A writable layer of more files than this is not counted on every call of a kubelet.
constexpr uint64_t kMostLayerEntries = 200'000;

bool Matches(const ContainerRecord& record, const v1::ContainerStatsFilter& filter) {
  return record.state() == ContainerRecord::RUNNING && MatchesId(record.id(), filter.id()) &&
         MatchesId(record.sandbox_id(), filter.pod_sandbox_id()) &&
         MatchesLabels(record.config().labels(), filter.label_selector());
}

}  // namespace

std::optional<nspawn::Statistics> ReadContainer(const Runtime& runtime, const ContainerRecord& record) {
  if (record.state() != ContainerRecord::RUNNING || record.cgroup().empty()) return std::nullopt;
  auto read = nspawn::ReadStatistics(record.cgroup(), runtime.cgroup_root);
  if (read.ok()) return *std::move(read);
  base::Log(base::LogLevel::kDebug, "statistics of container " + record.id() + ": " + read.error().message());
  return std::nullopt;
}

std::optional<nspawn::DiskUsage> ReadWritableLayer(const Runtime& runtime, const ContainerRecord& record) {
  const auto usage = nspawn::ReadDiskUsage(runtime.containers.Directory(record.id()) + "/upper", kMostLayerEntries);
  if (!usage.ok()) return std::nullopt;
  return *usage;
}

void FillContainerStats(Runtime& runtime, const ContainerRecord& record, v1::ContainerStats& stats) {
  v1::ContainerAttributes& attributes = *stats.mutable_attributes();
  attributes.set_id(record.id());
  *attributes.mutable_metadata() = record.config().metadata();
  *attributes.mutable_labels() = record.config().labels();
  *attributes.mutable_annotations() = record.config().annotations();

  const int64_t timestamp = base::NowNanoseconds();
  if (const auto usage = ReadWritableLayer(runtime, record)) {
    v1::FilesystemUsage& layer = *stats.mutable_writable_layer();
    layer.set_timestamp(timestamp);
    layer.mutable_fs_id()->set_mountpoint(runtime.config.state_directory);
    Set(*layer.mutable_used_bytes(), usage->bytes);
    Set(*layer.mutable_inodes_used(), usage->inodes);
  }
  const auto read = ReadContainer(runtime, record);
  if (!read) return;
  std::optional<uint64_t> rate;
  if (read->cpu_nanoseconds) rate = runtime.cpu_rates.Update(record.id(), read->timestamp, *read->cpu_nanoseconds);
  FillUsage(*read, rate, stats);
  if (read->swap_usage) {
    v1::SwapUsage& swap = *stats.mutable_swap();
    swap.set_timestamp(read->timestamp);
    Set(*swap.mutable_swap_usage_bytes(), *read->swap_usage);
    if (read->swap_available) Set(*swap.mutable_swap_available_bytes(), *read->swap_available);
  }
}

grpc::Status RuntimeService::ContainerStats(grpc::ServerContext* context, const v1::ContainerStatsRequest* in,
                                            v1::ContainerStatsResponse* out) {
  return Answer(*context, RpcKind::kQuery, "ContainerStats", [&]() -> base::Status {
    ASSIGN_OR_RETURN(const auto record, runtime_.containers.Find(in->container_id()));
    FillContainerStats(runtime_, *record, *out->mutable_stats());
    return base::Ok();
  });
}

grpc::Status RuntimeService::ListContainerStats(grpc::ServerContext* context, const v1::ListContainerStatsRequest* in,
                                                v1::ListContainerStatsResponse* out) {
  return Answer(*context, RpcKind::kQuery, "ListContainerStats", [&]() -> base::Status {
    for (const auto& record : runtime_.containers.All()) {
      if (Matches(*record, in->filter())) FillContainerStats(runtime_, *record, *out->add_stats());
    }
    return base::Ok();
  });
}

grpc::Status RuntimeService::StreamContainerStats(grpc::ServerContext* context,
                                                  const v1::StreamContainerStatsRequest* in,
                                                  grpc::ServerWriter<v1::StreamContainerStatsResponse>* out) {
  return Answer(*context, RpcKind::kQuery, "StreamContainerStats", [&]() -> base::Status {
    Batches batches(*out, &v1::StreamContainerStatsResponse::add_container_stats);
    for (const auto& record : runtime_.containers.All()) {
      if (!Matches(*record, in->filter())) continue;
      v1::ContainerStats stats;
      FillContainerStats(runtime_, *record, stats);
      if (!batches.Add(std::move(stats))) return base::Ok();
    }
    batches.Finish();
    return base::Ok();
  });
}

}  // namespace cri
