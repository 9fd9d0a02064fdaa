#include "pods.h"

#include "base/files.h"
#include "tests/cri_client/requests.h"

namespace bench {
namespace {

constexpr char kNamespace[] = "bench";
constexpr int64_t kGraceSeconds = 10;

using Stub = v1::RuntimeService::Stub;

template <typename Request, typename Response>
base::Result<Response> Timed(const Target& target, const char* name,
                             grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                             const Request& request, Timings* timings) {
  auto answer = target.client->Call(method, request);
  if (!answer.ok()) {
    return base::Error(base::Code::kInternal,
                       std::string(name) + " of " + target.name + ": " + answer.status.error_message());
  }
  if (timings != nullptr) (*timings)[name] += std::chrono::duration<double>(answer.took).count();
  return std::move(answer.response);
}

// As a kubelet of 1.36 asks for containers of which the pod says nothing.
void HideKernelFiles(v1::LinuxContainerSecurityContext& security) {
  for (const char* path :
       {"/proc/asound", "/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/latency_stats", "/proc/timer_list",
        "/proc/timer_stats", "/proc/sched_debug", "/proc/scsi", "/sys/firmware", "/sys/devices/virtual/powercap"}) {
    security.add_masked_paths(path);
  }
  for (const char* path : {"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"}) {
    security.add_readonly_paths(path);
  }
}

}  // namespace

std::vector<std::string> IdleCommand() {
  return {"sh", "-c", std::string("trap 'exit 0' TERM; while :; do sleep ") + kWorkloadMark + " & wait; done"};
}

base::Result<Pod> StartPod(const Target& target, const std::string& name, const PodOptions& options, Timings* timings) {
  Pod pod;
  const std::string uid = cri_client::RandomUid();
  const std::string logs = "/var/log/pods/" + std::string(kNamespace) + "_" + name;
  RETURN_IF_ERROR(base::MakeDirectories(target.root + logs, 0755));
  pod.config = cri_client::PodConfig(name, uid, logs);
  pod.config.mutable_metadata()->set_namespace_(kNamespace);
  v1::LinuxPodSandboxConfig& linux_config = *pod.config.mutable_linux();
  linux_config.set_cgroup_parent(target.cgroup_parent);
  linux_config.mutable_security_context()->mutable_seccomp()->set_profile_type(v1::SecurityProfile::RuntimeDefault);
  if (options.host_network) {
    linux_config.mutable_security_context()->mutable_namespace_options()->set_network(v1::NODE);
    pod.config.clear_hostname();
  }
  v1::RunPodSandboxRequest run = cri_client::RunPod(pod.config);
  run.set_runtime_handler(target.handler);
  ASSIGN_OR_RETURN(const auto ran, Timed(target, "RunPodSandbox", &Stub::RunPodSandbox, run, timings));
  pod.id = ran.pod_sandbox_id();
  v1::ContainerConfig container = cri_client::ContainerConfig("main", options.image, options.command);
  HideKernelFiles(*container.mutable_linux()->mutable_security_context());
  if (options.host_network) {
    container.mutable_linux()->mutable_security_context()->mutable_namespace_options()->set_network(v1::NODE);
  }
  ASSIGN_OR_RETURN(const auto created, Timed(target, "CreateContainer", &Stub::CreateContainer,
                                             cri_client::CreateContainer(pod.id, pod.config, container), timings));
  pod.container = created.container_id();
  RETURN_IF_ERROR(
      Timed(target, "StartContainer", &Stub::StartContainer, cri_client::StartContainer(pod.container), timings));
  return pod;
}

base::Status StopPod(const Target& target, const Pod& pod, Timings* timings) {
  RETURN_IF_ERROR(Timed(target, "StopContainer", &Stub::StopContainer,
                        cri_client::StopContainer(pod.container, kGraceSeconds), timings));
  RETURN_IF_ERROR(Timed(target, "StopPodSandbox", &Stub::StopPodSandbox, cri_client::StopPod(pod.id), timings));
  RETURN_IF_ERROR(
      Timed(target, "RemoveContainer", &Stub::RemoveContainer, cri_client::RemoveContainer(pod.container), timings));
  RETURN_IF_ERROR(Timed(target, "RemovePodSandbox", &Stub::RemovePodSandbox, cri_client::RemovePod(pod.id), timings));
  return base::RemoveTree(target.root + pod.config.log_directory());
}

base::Status RemoveAllPods(const Target& target) {
  ASSIGN_OR_RETURN(const auto pods,
                   Timed(target, "ListPodSandbox", &Stub::ListPodSandbox, v1::ListPodSandboxRequest(), nullptr));
  for (const v1::PodSandbox& pod : pods.items()) {
    if (pod.metadata().namespace_() != kNamespace) continue;
    RETURN_IF_ERROR(Timed(target, "StopPodSandbox", &Stub::StopPodSandbox, cri_client::StopPod(pod.id()), nullptr));
    RETURN_IF_ERROR(
        Timed(target, "RemovePodSandbox", &Stub::RemovePodSandbox, cri_client::RemovePod(pod.id()), nullptr));
  }
  return base::Ok();
}

}  // namespace bench
