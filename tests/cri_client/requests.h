// Requests as a kubelet makes them, for the caller to change where it wants something else.
#pragma once

#include <string>
#include <vector>

#include "proto/runtime.pb.h"

namespace cri_client {

namespace v1 = runtime::v1;

// A pod in namespace "tests" with a slice of its own below kubepods-burstable.slice. `log_directory` may be empty.
v1::PodSandboxConfig PodConfig(const std::string& name, const std::string& uid, const std::string& log_directory = "");
v1::RunPodSandboxRequest RunPod(const v1::PodSandboxConfig& pod);

// A container with a PID namespace of its own; its log is <log_directory of the pod>/<name>.log.
v1::ContainerConfig ContainerConfig(const std::string& name, const std::string& image,
                                    const std::vector<std::string>& command);
v1::CreateContainerRequest CreateContainer(const std::string& pod_id, const v1::PodSandboxConfig& pod,
                                           const v1::ContainerConfig& container);

v1::StartContainerRequest StartContainer(const std::string& id);
v1::StopContainerRequest StopContainer(const std::string& id, int64_t grace_seconds);
v1::RemoveContainerRequest RemoveContainer(const std::string& id);
v1::ExecSyncRequest ExecSync(const std::string& id, const std::vector<std::string>& command, int64_t timeout_seconds);
v1::StopPodSandboxRequest StopPod(const std::string& id);
v1::RemovePodSandboxRequest RemovePod(const std::string& id);

v1::PullImageRequest PullImage(const std::string& image);

// A version 4 UUID.
std::string RandomUid();

}  // namespace cri_client
