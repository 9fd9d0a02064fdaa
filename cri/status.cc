// Version, Status, RuntimeConfig and UpdateRuntimeConfig.

#include <nlohmann/json.hpp>

#include "base/log.h"
#include "cri/rpc.h"
#include "cri/runtime_service.h"

namespace cri {

grpc::Status RuntimeService::Version(grpc::ServerContext* context, const v1::VersionRequest*,
                                     v1::VersionResponse* out) {
  return Answer(*context, RpcKind::kQuery, "Version", [&]() -> base::Status {
    out->set_version("0.1.0");  // of the kubelet's runtime API, which never changed it
    out->set_runtime_name("cri-nspawn");
    out->set_runtime_version(CRI_NSPAWN_VERSION);
    out->set_runtime_api_version("v1");
    return base::Ok();
  });
}

grpc::Status RuntimeService::Status(grpc::ServerContext* context, const v1::StatusRequest* in,
                                    v1::StatusResponse* out) {
  return Answer(*context, RpcKind::kQuery, "Status", [&]() -> base::Status {
    v1::RuntimeCondition& runtime = *out->mutable_status()->add_conditions();
    runtime.set_type("RuntimeReady");
    runtime.set_status(true);
    v1::RuntimeCondition& network = *out->mutable_status()->add_conditions();
    network.set_type("NetworkReady");
    const base::Status ready = runtime_.parts.network.Ready();
    network.set_status(ready.ok());
    if (!ready.ok()) {
      network.set_reason("NetworkPluginNotReady");
      network.set_message(ready.error().message());
    }
    out->mutable_features()->set_supplemental_groups_policy(true);
    for (const auto& [name, handler] : runtime_.config.runtime_handlers) {
      v1::RuntimeHandler& reported = *out->add_runtime_handlers();
      reported.set_name(name);
      v1::RuntimeHandlerFeatures& features = *reported.mutable_features();
      features.set_recursive_read_only_mounts(runtime_.parts.kernel.recursive_read_only_mounts);
      features.set_user_namespaces(runtime_.parts.kernel.user_namespaces &&
                                   handler.user_namespaces != RuntimeHandler::UserNamespaces::kRefused);
    }
    if (in->verbose()) {
      nlohmann::json info;
      info["version"] = CRI_NSPAWN_VERSION;
      info["config"] = nlohmann::json::parse(ConfigJson(runtime_.config));
      if (!runtime_.parts.kernel.user_namespaces) {
        info["whyNoUserNamespaces"] = runtime_.parts.kernel.why_no_user_namespaces;
      }
      info["droppedLogLines"] = runtime_.parts.logs.DroppedLines();
      info["cni"] = nlohmann::json::parse(runtime_.parts.network.ConfigurationJson(), nullptr, false);
      if (info["cni"].is_discarded()) info["cni"] = nullptr;
      (*out->mutable_info())["info"] = info.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
    }
    return base::Ok();
  });
}

grpc::Status RuntimeService::RuntimeConfig(grpc::ServerContext* context, const v1::RuntimeConfigRequest*,
                                           v1::RuntimeConfigResponse* out) {
  return Answer(*context, RpcKind::kQuery, "RuntimeConfig", [&]() -> base::Status {
    out->mutable_linux()->set_cgroup_driver(v1::SYSTEMD);
    return base::Ok();
  });
}

grpc::Status RuntimeService::UpdateRuntimeConfig(grpc::ServerContext* context, const v1::UpdateRuntimeConfigRequest* in,
                                                 v1::UpdateRuntimeConfigResponse*) {
  return Answer(*context, RpcKind::kQuery, "UpdateRuntimeConfig", [&]() -> base::Status {
    // The pod CIDR is the network configuration's business, which is a file on the node.
    base::Log(base::LogLevel::kDebug,
              "pod CIDR " + in->runtime_config().network_config().pod_cidr() + " is left to the CNI configuration");
    return base::Ok();
  });
}

}  // namespace cri
