// PodSandboxStatus, ListPodSandbox and StreamPodSandboxes.

#include "cri/sandbox_list.h"

#include <nlohmann/json.hpp>

#include "base/clock.h"
#include "cri/batches.h"
#include "cri/container_list.h"
#include "cri/filters.h"
#include "cri/rpc.h"
#include "cri/runtime_service.h"

namespace cri {
namespace {

v1::PodSandboxState StateOf(const SandboxRecord& record) {
  return record.state() == SandboxRecord::READY ? v1::SANDBOX_READY : v1::SANDBOX_NOTREADY;
}

// Which sandboxes `filter` means, for as long as that lives; null when it means all.
ListItems<SandboxRecord>::Selects SelectorOf(const v1::PodSandboxFilter& filter) {
  if (filter.ByteSizeLong() == 0) return nullptr;
  return [&filter](const SandboxRecord& record) {
    return MatchesId(record.id(), filter.id()) && (!filter.has_state() || filter.state().state() == StateOf(record)) &&
           MatchesLabels(record.config().labels(), filter.label_selector());
  };
}

std::optional<v1::PodSandbox> ItemOf(const SandboxRecord& record) {
  if (record.state() == SandboxRecord::CREATING) return std::nullopt;  // not acknowledged yet
  v1::PodSandbox item;
  item.set_id(record.id());
  *item.mutable_metadata() = record.config().metadata();
  item.set_state(StateOf(record));
  item.set_created_at(record.created_at());
  *item.mutable_labels() = record.config().labels();
  *item.mutable_annotations() = record.config().annotations();
  item.set_runtime_handler(record.runtime_handler());
  return item;
}

// What `crictl inspectp` shows beside the status: where systemd knows the pod.
std::string VerboseInfo(const Runtime& runtime, const SandboxRecord& record) {
  nlohmann::json info;
  info["machine"] = record.machine();
  info["unit"] = record.machine() + ".service";
  info["pid"] = record.leader();
  info["cgroup"] = record.cgroup();
  info["networkNamespace"] = record.network_namespace();
  info["cniResult"] = nlohmann::json::parse(record.network_result(), nullptr, /*allow_exceptions=*/false);
  if (info["cniResult"].is_discarded()) info["cniResult"] = nullptr;
  if (record.state() == SandboxRecord::READY && !record.network_namespace().empty()) {
    const base::Status checked = runtime.parts.network.Check(record.id());
    info["networkCheck"] = checked.ok() ? "ok" : checked.error().message();
  }
  return info.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace

void FillSandboxStatus(const SandboxRecord& record, v1::PodSandboxStatus& status) {
  const v1::PodSandboxConfig& config = record.config();
  status.set_id(record.id());
  *status.mutable_metadata() = config.metadata();
  status.set_state(StateOf(record));
  status.set_created_at(record.created_at());
  *status.mutable_labels() = config.labels();
  *status.mutable_annotations() = config.annotations();
  status.set_runtime_handler(record.runtime_handler());
  *status.mutable_linux()->mutable_namespaces()->mutable_options() =
      config.linux().security_context().namespace_options();
  // Addresses of a sandbox that is stopped belong to somebody else by now.
  auto* network = status.mutable_network();
  if (record.state() != SandboxRecord::READY) return;
  for (int i = 0; i < record.addresses_size(); ++i) {
    if (i == 0) {
      network->set_ip(record.addresses(i));
    } else {
      network->add_additional_ips()->set_ip(record.addresses(i));
    }
  }
}

grpc::Status RuntimeService::PodSandboxStatus(grpc::ServerContext* context, const v1::PodSandboxStatusRequest* in,
                                              v1::PodSandboxStatusResponse* out) {
  return Answer(*context, RpcKind::kQuery, "PodSandboxStatus", [&]() -> base::Status {
    ASSIGN_OR_RETURN(const auto record, runtime_.sandboxes.Find(in->pod_sandbox_id()));
    FillSandboxStatus(*record, *out->mutable_status());
    // A kubelet that follows events asks for no container by itself.
    out->set_timestamp(base::NowNanoseconds());
    for (const auto& container : runtime_.ContainersOf(record->id())) {
      if (container->state() == ContainerRecord::CREATING) continue;
      FillContainerStatus(runtime_, *container, *out->add_containers_statuses());
    }
    if (in->verbose()) (*out->mutable_info())["info"] = VerboseInfo(runtime_, *record);
    return base::Ok();
  });
}

grpc::Status RuntimeService::ListPodSandbox(grpc::ServerContext* context, const v1::ListPodSandboxRequest* in,
                                            v1::ListPodSandboxResponse* out) {
  return Answer(*context, RpcKind::kQuery, "ListPodSandbox", [&]() -> base::Status {
    sandbox_items_.AddTo(*out, v1::ListPodSandboxResponse::kItemsFieldNumber, /*generation=*/0,
                         SelectorOf(in->filter()), ItemOf);
    return base::Ok();
  });
}

grpc::Status RuntimeService::StreamPodSandboxes(grpc::ServerContext* context, const v1::StreamPodSandboxesRequest* in,
                                                grpc::ServerWriter<v1::StreamPodSandboxesResponse>* out) {
  return Answer(*context, RpcKind::kQuery, "StreamPodSandboxes", [&]() -> base::Status {
    Batches batches(*out, &v1::StreamPodSandboxesResponse::add_pod_sandboxes);
    const auto selects = SelectorOf(in->filter());
    for (const auto& record : runtime_.sandboxes.All()) {
      if (selects && !selects(*record)) continue;
      auto item = ItemOf(*record);
      if (item && !batches.Add(*std::move(item))) return base::Ok();
    }
    batches.Finish();
    return base::Ok();
  });
}

}  // namespace cri
