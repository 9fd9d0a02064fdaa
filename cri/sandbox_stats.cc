// PodSandboxStats, ListPodSandboxStats and StreamPodSandboxStats.

#include "cri/sandbox_stats.h"

#include <algorithm>

#include "base/log.h"
#include "cri/batches.h"
#include "cri/container_stats.h"
#include "cri/filters.h"
#include "cri/rpc.h"
#include "cri/runtime_service.h"

namespace cri {
namespace {

constexpr char kDefaultInterface[] = "eth0";

void FillInterface(const nspawn::NetworkInterface& from, v1::NetworkInterfaceUsage& to) {
  to.set_name(from.name);
  Set(*to.mutable_rx_bytes(), from.received_bytes);
  Set(*to.mutable_rx_errors(), from.received_errors);
  Set(*to.mutable_tx_bytes(), from.sent_bytes);
  Set(*to.mutable_tx_errors(), from.sent_errors);
}

void FillSandboxStats(Runtime& runtime, const SandboxRecord& record, v1::PodSandboxStats& stats) {
  v1::PodSandboxAttributes& attributes = *stats.mutable_attributes();
  attributes.set_id(record.id());
  *attributes.mutable_metadata() = record.config().metadata();
  *attributes.mutable_labels() = record.config().labels();
  *attributes.mutable_annotations() = record.config().annotations();
  v1::LinuxPodSandboxStats& linux_stats = *stats.mutable_linux();
  for (const auto& container : runtime.ContainersOf(record.id())) {
    if (container->state() != ContainerRecord::RUNNING) continue;
    FillContainerStats(runtime, *container, *linux_stats.add_containers());
  }
  const auto usage = ReadSandbox(runtime, record);
  if (!usage) return;
  const nspawn::Statistics& read = usage->statistics;
  std::optional<uint64_t> rate;
  if (read.cpu_nanoseconds) rate = runtime.cpu_rates.Update(record.id(), read.timestamp, *read.cpu_nanoseconds);
  FillUsage(read, rate, linux_stats);
  if (read.processes) {
    v1::ProcessUsage& process = *linux_stats.mutable_process();
    process.set_timestamp(read.timestamp);
    Set(*process.mutable_process_count(), *read.processes);
  }
  if (usage->interfaces.empty()) return;
  v1::NetworkUsage& network = *linux_stats.mutable_network();
  network.set_timestamp(read.timestamp);
  for (const nspawn::NetworkInterface& interface : usage->interfaces) {
    FillInterface(interface, interface.name == kDefaultInterface ? *network.mutable_default_interface()
                                                                 : *network.add_interfaces());
  }
}

bool Matches(const SandboxRecord& record, const v1::PodSandboxStatsFilter& filter) {
  return record.state() == SandboxRecord::READY && MatchesId(record.id(), filter.id()) &&
         MatchesLabels(record.config().labels(), filter.label_selector());
}

}  // namespace

bool HasOwnSlice(const Runtime& runtime, const SandboxRecord& record) {
  if (record.slice().empty()) return false;
  const auto all = runtime.sandboxes.All();
  return std::none_of(all.begin(), all.end(), [&](const auto& other) {
    return other->id() != record.id() && other->slice() == record.slice() &&
           other->config().metadata().uid() != record.config().metadata().uid();
  });
}

std::optional<SandboxUsage> ReadSandbox(const Runtime& runtime, const SandboxRecord& record) {
  if (record.state() != SandboxRecord::READY || record.cgroup().empty()) return std::nullopt;
  SandboxUsage usage;
  usage.cgroup = record.cgroup();
  const bool own_slice = HasOwnSlice(runtime, record);
  if (own_slice) usage.cgroup.erase(usage.cgroup.rfind('/'));
  auto read = nspawn::ReadStatistics(usage.cgroup, runtime.cgroup_root);
  if (!read.ok()) {
    base::Log(base::LogLevel::kDebug, "statistics of pod sandbox " + record.id() + ": " + read.error().message());
    return std::nullopt;
  }
  usage.statistics = *std::move(read);
  if (!own_slice) {
    std::vector<nspawn::Statistics> all = {usage.statistics};
    for (const auto& container : runtime.ContainersOf(record.id())) {
      if (const auto one = ReadContainer(runtime, *container)) all.push_back(*one);
    }
    usage.statistics = nspawn::Sum(all);
  }
  if (record.network_namespace().empty()) return usage;
  auto interfaces = nspawn::ReadNetworkInterfaces(record.leader());
  if (!interfaces.ok()) return usage;
  std::erase_if(*interfaces, [](const auto& interface) { return interface.name == "lo"; });
  usage.interfaces = *std::move(interfaces);
  return usage;
}

grpc::Status RuntimeService::PodSandboxStats(grpc::ServerContext* context, const v1::PodSandboxStatsRequest* in,
                                             v1::PodSandboxStatsResponse* out) {
  return Answer(*context, RpcKind::kQuery, "PodSandboxStats", [&]() -> base::Status {
    ASSIGN_OR_RETURN(const auto record, runtime_.sandboxes.Find(in->pod_sandbox_id()));
    FillSandboxStats(runtime_, *record, *out->mutable_stats());
    return base::Ok();
  });
}

grpc::Status RuntimeService::ListPodSandboxStats(grpc::ServerContext* context, const v1::ListPodSandboxStatsRequest* in,
                                                 v1::ListPodSandboxStatsResponse* out) {
  return Answer(*context, RpcKind::kQuery, "ListPodSandboxStats", [&]() -> base::Status {
    for (const auto& record : runtime_.sandboxes.All()) {
      if (Matches(*record, in->filter())) FillSandboxStats(runtime_, *record, *out->add_stats());
    }
    return base::Ok();
  });
}

grpc::Status RuntimeService::StreamPodSandboxStats(grpc::ServerContext* context,
                                                   const v1::StreamPodSandboxStatsRequest* in,
                                                   grpc::ServerWriter<v1::StreamPodSandboxStatsResponse>* out) {
  return Answer(*context, RpcKind::kQuery, "StreamPodSandboxStats", [&]() -> base::Status {
    Batches batches(*out, &v1::StreamPodSandboxStatsResponse::add_pod_sandbox_stats);
    for (const auto& record : runtime_.sandboxes.All()) {
      if (!Matches(*record, in->filter())) continue;
      v1::PodSandboxStats stats;
      FillSandboxStats(runtime_, *record, stats);
      if (!batches.Add(std::move(stats))) return base::Ok();
    }
    batches.Finish();
    return base::Ok();
  });
}

}  // namespace cri
