// ContainerStatus, ListContainers and StreamContainers.

#include "cri/container_list.h"

#include <nlohmann/json.hpp>

#include "cri/batches.h"
#include "cri/filters.h"
#include "cri/rpc.h"
#include "cri/runtime_service.h"

namespace cri {
namespace {

v1::ContainerState StateOf(const ContainerRecord& record) {
  switch (record.state()) {
    case ContainerRecord::CREATED:
      return v1::CONTAINER_CREATED;
    case ContainerRecord::RUNNING:
      return v1::CONTAINER_RUNNING;
    default:
      return v1::CONTAINER_EXITED;
  }
}

// What a person calls the image, when it still has a name; image.image must not be empty.
v1::ImageSpec ImageOf(const Runtime& runtime, const ContainerRecord& record) {
  v1::ImageSpec spec = record.config().image();
  if (auto tag = runtime.parts.images.TagOf(record.image_id())) spec.set_image(*std::move(tag));
  return spec;
}

// Which containers `filter` means, for as long as that lives; null when it means all.
ListItems<ContainerRecord>::Selects SelectorOf(const v1::ContainerFilter& filter) {
  if (filter.ByteSizeLong() == 0) return nullptr;
  return [&filter](const ContainerRecord& record) {
    return MatchesId(record.id(), filter.id()) && MatchesId(record.sandbox_id(), filter.pod_sandbox_id()) &&
           (!filter.has_state() || filter.state().state() == StateOf(record)) &&
           MatchesLabels(record.config().labels(), filter.label_selector());
  };
}

std::optional<v1::Container> ItemOf(const Runtime& runtime, const ContainerRecord& record) {
  if (record.state() == ContainerRecord::CREATING) return std::nullopt;  // not acknowledged yet
  v1::Container item;
  item.set_id(record.id());
  item.set_pod_sandbox_id(record.sandbox_id());
  *item.mutable_metadata() = record.config().metadata();
  *item.mutable_image() = ImageOf(runtime, record);
  item.set_image_ref(record.image_ref());
  item.set_image_id(record.image_id());
  item.set_state(StateOf(record));
  item.set_created_at(record.created_at());
  *item.mutable_labels() = record.config().labels();
  *item.mutable_annotations() = record.config().annotations();
  return item;
}

std::string VerboseInfo(const Runtime& runtime, const ContainerRecord& record) {
  nlohmann::json info;
  info["sandboxID"] = record.sandbox_id();
  info["pid"] = record.pid();
  info["unit"] = record.name() + ".service";
  info["portableImage"] = record.name();
  info["bundle"] = runtime.parts.containers.BundleDirectory(record.name());
  info["cgroup"] = record.cgroup();
  info["writableLayer"] = runtime.containers.Directory(record.id()) + "/upper";
  return info.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace

void FillContainerStatus(const Runtime& runtime, const ContainerRecord& record, v1::ContainerStatus& status) {
  const v1::ContainerConfig& config = record.config();
  status.set_id(record.id());
  *status.mutable_metadata() = config.metadata();
  status.set_state(StateOf(record));
  status.set_created_at(record.created_at());
  status.set_started_at(record.started_at());
  status.set_finished_at(record.finished_at());
  status.set_exit_code(record.exit_code());
  *status.mutable_image() = ImageOf(runtime, record);
  status.set_image_ref(record.image_ref());
  status.set_image_id(record.image_id());
  status.set_reason(record.reason());
  status.set_message(record.message());
  *status.mutable_labels() = config.labels();
  *status.mutable_annotations() = config.annotations();
  *status.mutable_mounts() = config.mounts();
  status.set_log_path(record.log_path());
  if (record.has_user()) *status.mutable_user() = record.user();
  if (record.has_resources()) *status.mutable_resources()->mutable_linux() = record.resources();
  status.set_stop_signal(record.stop_signal());
}

grpc::Status RuntimeService::ContainerStatus(grpc::ServerContext* context, const v1::ContainerStatusRequest* in,
                                             v1::ContainerStatusResponse* out) {
  return Answer(*context, RpcKind::kQuery, "ContainerStatus", [&]() -> base::Status {
    ASSIGN_OR_RETURN(const auto record, runtime_.containers.Find(in->container_id()));
    FillContainerStatus(runtime_, *record, *out->mutable_status());
    if (in->verbose()) (*out->mutable_info())["info"] = VerboseInfo(runtime_, *record);
    return base::Ok();
  });
}

grpc::Status RuntimeService::ListContainers(grpc::ServerContext* context, const v1::ListContainersRequest* in,
                                            v1::ListContainersResponse* out) {
  return Answer(*context, RpcKind::kQuery, "ListContainers", [&]() -> base::Status {
    container_items_.AddTo(*out, v1::ListContainersResponse::kContainersFieldNumber, runtime_.parts.images.Generation(),
                           SelectorOf(in->filter()),
                           [&](const ContainerRecord& record) { return ItemOf(runtime_, record); });
    return base::Ok();
  });
}

grpc::Status RuntimeService::StreamContainers(grpc::ServerContext* context, const v1::StreamContainersRequest* in,
                                              grpc::ServerWriter<v1::StreamContainersResponse>* out) {
  return Answer(*context, RpcKind::kQuery, "StreamContainers", [&]() -> base::Status {
    Batches batches(*out, &v1::StreamContainersResponse::add_containers);
    const auto selects = SelectorOf(in->filter());
    for (const auto& record : runtime_.containers.All()) {
      if (selects && !selects(*record)) continue;
      auto item = ItemOf(runtime_, *record);
      if (item && !batches.Add(*std::move(item))) return base::Ok();
    }
    batches.Finish();
    return base::Ok();
  });
}

}  // namespace cri
