// The CRI RuntimeService. Each method is defined in the file that has its name: RunPodSandbox in sandbox_run.cc,
// CreateContainer in container_create.cc and so on.
#pragma once

#include "cri/list_items.h"
#include "cri/runtime.h"
#include "cri/streaming/server.h"
#include "proto/runtime.grpc.pb.h"

namespace cri {

class RuntimeService final : public v1::RuntimeService::WithAsyncMethod_GetContainerEvents<
                                 v1::RuntimeService::WithAsyncMethod_ExecSync<v1::RuntimeService::Service>> {
 public:
  RuntimeService(Runtime& runtime, streaming::Server& streaming) : runtime_(runtime), streaming_(streaming) {}

#define CRI_RPC(name, request, response) \
  grpc::Status name(grpc::ServerContext* context, const v1::request* in, v1::response* out) override
#define CRI_STREAM_RPC(name, request, response) \
  grpc::Status name(grpc::ServerContext* context, const v1::request* in, grpc::ServerWriter<v1::response>* out) override

  CRI_RPC(Version, VersionRequest, VersionResponse);
  CRI_RPC(Status, StatusRequest, StatusResponse);
  CRI_RPC(RuntimeConfig, RuntimeConfigRequest, RuntimeConfigResponse);
  CRI_RPC(UpdateRuntimeConfig, UpdateRuntimeConfigRequest, UpdateRuntimeConfigResponse);

  CRI_RPC(RunPodSandbox, RunPodSandboxRequest, RunPodSandboxResponse);
  CRI_RPC(StopPodSandbox, StopPodSandboxRequest, StopPodSandboxResponse);
  CRI_RPC(RemovePodSandbox, RemovePodSandboxRequest, RemovePodSandboxResponse);
  CRI_RPC(PodSandboxStatus, PodSandboxStatusRequest, PodSandboxStatusResponse);
  CRI_RPC(ListPodSandbox, ListPodSandboxRequest, ListPodSandboxResponse);
  CRI_RPC(UpdatePodSandboxResources, UpdatePodSandboxResourcesRequest, UpdatePodSandboxResourcesResponse);

  CRI_RPC(CreateContainer, CreateContainerRequest, CreateContainerResponse);
  CRI_RPC(StartContainer, StartContainerRequest, StartContainerResponse);
  CRI_RPC(StopContainer, StopContainerRequest, StopContainerResponse);
  CRI_RPC(RemoveContainer, RemoveContainerRequest, RemoveContainerResponse);
  CRI_RPC(ListContainers, ListContainersRequest, ListContainersResponse);
  CRI_RPC(ContainerStatus, ContainerStatusRequest, ContainerStatusResponse);
  CRI_RPC(UpdateContainerResources, UpdateContainerResourcesRequest, UpdateContainerResourcesResponse);
  CRI_RPC(ReopenContainerLog, ReopenContainerLogRequest, ReopenContainerLogResponse);
  CRI_RPC(CheckpointContainer, CheckpointContainerRequest, CheckpointContainerResponse);

  CRI_RPC(Exec, ExecRequest, ExecResponse);
  CRI_RPC(Attach, AttachRequest, AttachResponse);
  CRI_RPC(PortForward, PortForwardRequest, PortForwardResponse);

  CRI_RPC(ContainerStats, ContainerStatsRequest, ContainerStatsResponse);
  CRI_RPC(ListContainerStats, ListContainerStatsRequest, ListContainerStatsResponse);
  CRI_RPC(PodSandboxStats, PodSandboxStatsRequest, PodSandboxStatsResponse);
  CRI_RPC(ListPodSandboxStats, ListPodSandboxStatsRequest, ListPodSandboxStatsResponse);
  CRI_RPC(ListMetricDescriptors, ListMetricDescriptorsRequest, ListMetricDescriptorsResponse);
  CRI_RPC(ListPodSandboxMetrics, ListPodSandboxMetricsRequest, ListPodSandboxMetricsResponse);

  CRI_STREAM_RPC(StreamPodSandboxes, StreamPodSandboxesRequest, StreamPodSandboxesResponse);
  CRI_STREAM_RPC(StreamContainers, StreamContainersRequest, StreamContainersResponse);
  CRI_STREAM_RPC(StreamContainerStats, StreamContainerStatsRequest, StreamContainerStatsResponse);
  CRI_STREAM_RPC(StreamPodSandboxStats, StreamPodSandboxStatsRequest, StreamPodSandboxStatsResponse);
  CRI_STREAM_RPC(StreamPodSandboxMetrics, StreamPodSandboxMetricsRequest, StreamPodSandboxMetricsResponse);

  // ExecSync, which ends with its client (see CancellableCalls).
  grpc::Status ExecuteSync(const grpc::ServerContext& context, const v1::ExecSyncRequest& in, v1::ExecSyncResponse& out,
                           std::stop_token cancelled);
  // GetContainerEvents: writes events until the client goes or `write` says that it has.
  grpc::Status FollowEvents(const grpc::ServerContext& context,
                            const std::function<bool(const v1::ContainerEventResponse&)>& write,
                            const std::stop_token& cancelled);
  // Ends the answers that have no end of their own: the daemon stops.
  void CloseEvents() {
    runtime_.events.Close();
  }

#undef CRI_RPC
#undef CRI_STREAM_RPC

 private:
  Runtime& runtime_;
  streaming::Server& streaming_;
  ListItems<SandboxRecord> sandbox_items_{runtime_.sandboxes};
  ListItems<ContainerRecord> container_items_{runtime_.containers};
};

}  // namespace cri
