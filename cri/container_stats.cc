// ContainerStats and ListContainerStats.

#include "cri/container_stats.h"

#include "base/clock.h"
#include "base/log.h"
#include "cri/filters.h"
#include "cri/rpc.h"
#include "cri/runtime_service.h"
#include "nspawn/statistics.h"

namespace cri {
namespace {

// A writable layer of more files than this is not counted on every call of a kubelet.
constexpr uint64_t kMostLayerEntries = 200'000;

void Set(v1::UInt64Value& target, uint64_t value) {
  target.set_value(value);
}

// `owner` is any message with pressure (CpuUsage, MemoryUsage, IoUsage).
template <typename Owner>
void FillPressure(const std::optional<nspawn::Pressure>& pressure, Owner& owner) {
  if (!pressure) return;
  const auto fill = [](const nspawn::PressureLine& line, v1::PsiData& data) {
    data.set_total(line.total);
    data.set_avg10(line.average10);
    data.set_avg60(line.average60);
    data.set_avg300(line.average300);
  };
  fill(pressure->some, *owner.mutable_psi()->mutable_some());
  fill(pressure->full, *owner.mutable_psi()->mutable_full());
}

}  // namespace

void FillContainerStats(Runtime& runtime, const ContainerRecord& record, v1::ContainerStats& stats) {
  v1::ContainerAttributes& attributes = *stats.mutable_attributes();
  attributes.set_id(record.id());
  *attributes.mutable_metadata() = record.config().metadata();
  *attributes.mutable_labels() = record.config().labels();
  *attributes.mutable_annotations() = record.config().annotations();

  const int64_t timestamp = base::NowNanoseconds();
  const auto usage = nspawn::ReadDiskUsage(runtime.containers.Directory(record.id()) + "/upper", kMostLayerEntries);
  if (usage.ok()) {
    v1::FilesystemUsage& layer = *stats.mutable_writable_layer();
    layer.set_timestamp(timestamp);
    layer.mutable_fs_id()->set_mountpoint(runtime.config.state_directory);
    Set(*layer.mutable_used_bytes(), usage->bytes);
    Set(*layer.mutable_inodes_used(), usage->inodes);
  }
  if (record.state() != ContainerRecord::RUNNING || record.cgroup().empty()) return;
  const auto read = nspawn::ReadStatistics(record.cgroup());
  if (!read.ok()) {
    base::Log(base::LogLevel::kDebug, "statistics of container " + record.id() + ": " + read.error().message());
    return;
  }
  if (read->cpu_nanoseconds) {
    v1::CpuUsage& cpu = *stats.mutable_cpu();
    cpu.set_timestamp(read->timestamp);
    Set(*cpu.mutable_usage_core_nano_seconds(), *read->cpu_nanoseconds);
    FillPressure(read->cpu_pressure, cpu);
  }
  if (read->memory_usage) {
    v1::MemoryUsage& memory = *stats.mutable_memory();
    memory.set_timestamp(read->timestamp);
    Set(*memory.mutable_usage_bytes(), *read->memory_usage);
    if (read->memory_working_set) Set(*memory.mutable_working_set_bytes(), *read->memory_working_set);
    if (read->memory_available) Set(*memory.mutable_available_bytes(), *read->memory_available);
    if (read->memory_rss) Set(*memory.mutable_rss_bytes(), *read->memory_rss);
    if (read->page_faults) Set(*memory.mutable_page_faults(), *read->page_faults);
    if (read->major_page_faults) Set(*memory.mutable_major_page_faults(), *read->major_page_faults);
    FillPressure(read->memory_pressure, memory);
  }
  if (read->swap_usage) {
    v1::SwapUsage& swap = *stats.mutable_swap();
    swap.set_timestamp(read->timestamp);
    Set(*swap.mutable_swap_usage_bytes(), *read->swap_usage);
    if (read->swap_available) Set(*swap.mutable_swap_available_bytes(), *read->swap_available);
  }
  if (read->io_pressure) {
    v1::IoUsage& io = *stats.mutable_io();
    io.set_timestamp(read->timestamp);
    FillPressure(read->io_pressure, io);
  }
}

grpc::Status RuntimeService::ContainerStats(grpc::ServerContext*, const v1::ContainerStatsRequest* in,
                                            v1::ContainerStatsResponse* out) {
  return Answer(RpcKind::kQuery, "ContainerStats", [&]() -> base::Status {
    ASSIGN_OR_RETURN(const auto record, runtime_.containers.Find(in->container_id()));
    FillContainerStats(runtime_, *record, *out->mutable_stats());
    return base::Ok();
  });
}

grpc::Status RuntimeService::ListContainerStats(grpc::ServerContext*, const v1::ListContainerStatsRequest* in,
                                                v1::ListContainerStatsResponse* out) {
  return Answer(RpcKind::kQuery, "ListContainerStats", [&]() -> base::Status {
    const v1::ContainerStatsFilter& filter = in->filter();
    for (const auto& record : runtime_.containers.All()) {
      if (record->state() != ContainerRecord::RUNNING) continue;
      if (!MatchesId(record->id(), filter.id())) continue;
      if (!MatchesId(record->sandbox_id(), filter.pod_sandbox_id())) continue;
      if (!MatchesLabels(record->config().labels(), filter.label_selector())) continue;
      FillContainerStats(runtime_, *record, *out->add_stats());
    }
    return base::Ok();
  });
}

}  // namespace cri
