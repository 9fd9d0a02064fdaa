#include "requests.h"

#include <algorithm>
#include <random>

namespace cri_client {

v1::PodSandboxConfig PodConfig(const std::string& name, const std::string& uid, const std::string& log_directory) {
  v1::PodSandboxConfig config;
  config.mutable_metadata()->set_name(name);
  config.mutable_metadata()->set_namespace_("tests");
  config.mutable_metadata()->set_uid(uid);
  config.set_hostname(name);
  config.set_log_directory(log_directory);
  std::string unit = uid;
  std::replace(unit.begin(), unit.end(), '-', '_');
  config.mutable_linux()->set_cgroup_parent("/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" + unit +
                                            ".slice");
  return config;
}

v1::RunPodSandboxRequest RunPod(const v1::PodSandboxConfig& pod) {
  v1::RunPodSandboxRequest request;
  *request.mutable_config() = pod;
  return request;
}

v1::ContainerConfig ContainerConfig(const std::string& name, const std::string& image,
                                    const std::vector<std::string>& command) {
  v1::ContainerConfig config;
  config.mutable_metadata()->set_name(name);
  config.mutable_image()->set_image(image);
  config.mutable_command()->Assign(command.begin(), command.end());
  config.set_log_path(name + ".log");
  config.mutable_linux()->mutable_security_context()->mutable_namespace_options()->set_pid(v1::CONTAINER);
  return config;
}

v1::CreateContainerRequest CreateContainer(const std::string& pod_id, const v1::PodSandboxConfig& pod,
                                           const v1::ContainerConfig& container) {
  v1::CreateContainerRequest request;
  request.set_pod_sandbox_id(pod_id);
  *request.mutable_sandbox_config() = pod;
  *request.mutable_config() = container;
  return request;
}

v1::StartContainerRequest StartContainer(const std::string& id) {
  v1::StartContainerRequest request;
  request.set_container_id(id);
  return request;
}

v1::StopContainerRequest StopContainer(const std::string& id, int64_t grace_seconds) {
  v1::StopContainerRequest request;
  request.set_container_id(id);
  request.set_timeout(grace_seconds);
  return request;
}

v1::RemoveContainerRequest RemoveContainer(const std::string& id) {
  v1::RemoveContainerRequest request;
  request.set_container_id(id);
  return request;
}

v1::ExecSyncRequest ExecSync(const std::string& id, const std::vector<std::string>& command, int64_t timeout_seconds) {
  v1::ExecSyncRequest request;
  request.set_container_id(id);
  request.mutable_cmd()->Assign(command.begin(), command.end());
  request.set_timeout(timeout_seconds);
  return request;
}

v1::StopPodSandboxRequest StopPod(const std::string& id) {
  v1::StopPodSandboxRequest request;
  request.set_pod_sandbox_id(id);
  return request;
}

v1::RemovePodSandboxRequest RemovePod(const std::string& id) {
  v1::RemovePodSandboxRequest request;
  request.set_pod_sandbox_id(id);
  return request;
}

v1::PullImageRequest PullImage(const std::string& image) {
  v1::PullImageRequest request;
  request.mutable_image()->set_image(image);
  return request;
}

std::string RandomUid() {
  std::random_device random;
  constexpr char kDigits[] = "0123456789abcdef";
  std::string uid = "xxxxxxxx-xxxx-4xxx-8xxx-xxxxxxxxxxxx";
  for (char& c : uid) {
    if (c == 'x') c = kDigits[random() % 16];
  }
  return uid;
}

}  // namespace cri_client
