#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <set>
#include <string>

#include "base/log.h"
#include "base/text.h"
#include "nspawn/unit_text.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/message.h"
#include "tests/unit/cri/fakes.h"

namespace {

using namespace cri;
using fuzz::Require;
using fuzz::Source;

// What the checks of requests look for, and what they must keep out of units, paths and file names.
const std::vector<std::string>& Words() {
  static const std::vector<std::string> words = {
      "",
      "a",
      "web",
      "default",
      "uid-1",
      "/",
      "/dev/null",
      "/dev",
      "/data",
      "/etc/hosts",
      "/proc",
      "/sys/fs/cgroup",
      "..",
      "/../etc",
      "/a/../../b",
      "a/b",
      ".",
      "-",
      "a\nExecStart=/bin/sh",
      "a\n[Service]\nUser=0",
      "%n%i%%",
      "$HOME ${X} $$",
      "\\",
      "\\x41\\",
      "\"",
      "'",
      ";",
      "a b",
      std::string("\0x", 2),
      "\x7f\x1b[2J",
      "\xe2\x80\xae",
      "\r",
      std::string(300, 'x'),
      std::string(5000, 'y'),
      "/kubepods.slice",
      "/kubepods.slice/kubepods-pod_1.slice",
      "-.slice",
      "x.slice",
      "kernel.shm_rmid_forced",
      "kernel.msgmax",
      "net.ipv4.ip_forward",
      "net/ipv4/ip_forward",
      "kernel.core_pattern",
      "fs.mqueue.msg_max",
      "CAP_SYS_ADMIN",
      "NET_RAW",
      "ALL",
      "cap_chown",
      "SIGTERM",
      "RTMIN+3",
      "unconfined",
      "runtime/default",
      "localhost/profile",
      "0-3",
      "0,2-1",
      "2MB",
      "1GB",
      "memory.max",
      "memory.oom.group",
      "cpu.weight",
      "../memory.max",
      "max",
      "100",
      "sha256:" + std::string(64, 'a'),
      "docker.io/library/app:1",
      "host-gateway",
      "10.0.0.1",
      "fd00::1",
      "example.com",
      "vendor.com/class=device",
      "vendor.com/class=all",
      "cdi.k8s.io/x",
      "io.kubernetes.pod.name",
      "rw",
      "rwm",
      "m",
      "system_u",
      "s0:c1,c2",
      "container_t",
      "1000",
      "root",
      "4294967295",
      "app:app",
      "main.log",
      "../main.log",
      "a/main.log",
      "/var/log/pods",
      "sh",
      "-c",
      "HOSTNAME",
      "PATH",
      "A=B",
  };
  return words;
}

template <typename Request, typename Response>
using Rpc = grpc::Status (RuntimeService::*)(grpc::ServerContext*, const Request*, Response*);

class Node {
 public:
  Node() {
    node_.config.network_namespace_directory = "/proc/nowhere";
    node_.config.cdi_directories = {node_.directory.path() + "/cdi"};
    std::filesystem::create_directories(node_.config.cdi_directories.front());
    node_.Restart();
    node_.runtime->cgroup_root = node_.directory.path() + "/cgroup";
  }

  void Serve(Source source) {
    const std::string pod = RunPod(source);
    std::string container;
    for (int calls = 0; !pod.empty() && calls < 12 && !source.IsEmpty(); ++calls) Call(pod, container, source);
    Any(&RuntimeService::ListPodSandbox, {}, source);
    Any(&RuntimeService::ListContainers, {}, source);
    v1::RemovePodSandboxRequest remove;
    v1::RemovePodSandboxResponse removed;
    for (const auto& sandbox : node_.runtime->sandboxes.All()) {
      remove.set_pod_sandbox_id(sandbox->id());
      grpc::ServerContext context;
      const auto status = node_.service->RemovePodSandbox(&context, &remove, &removed);
      Require(status.ok(), "a pod can be removed");
    }
    Require(node_.runtime->containers.All().empty(), "its containers go with it");
    Require(node_.machines.running.empty() && node_.containers.units.empty() && node_.network.attached.empty() &&
                node_.store.held.empty() && node_.logs.open.empty(),
            "nothing is left of a pod");
    node_.machines.started.clear();
    node_.containers.created.clear();
    node_.containers.updates.clear();
    node_.containers.slice_updates.clear();
    node_.containers.grace_periods.clear();
    node_.logs.reopened.clear();
    node_.spawner.requests.clear();
    std::filesystem::remove_all(volumes_);
  }

 private:
  // Serves one call, whatever it is answered.
  template <typename Request, typename Response>
  bool Serve(Rpc<Request, Response> rpc, const Request& request, Response& response) {
    grpc::ServerContext context;
    return Judge((node_.service.get()->*rpc)(&context, &request, &response));
  }

  static bool Judge(const grpc::Status& status) {
    if (status.ok()) return true;
    Require(status.error_message().find("BUG") == std::string::npos, "no exception comes that far");
    Require(!status.error_message().empty(), "a refusal has a reason");
    for (const char c : status.error_message()) {
      Require(static_cast<unsigned char>(c) >= 0x20 && c != 0x7F, "a reason has no control characters");
    }
    return false;
  }

  std::string RunPod(Source& source) {
    v1::RunPodSandboxRequest request;
    v1::PodSandboxConfig& config = *request.mutable_config();
    config.mutable_metadata()->set_name("web");
    config.mutable_metadata()->set_namespace_("default");
    config.mutable_metadata()->set_uid("uid-1");
    config.mutable_linux()->mutable_security_context()->mutable_namespace_options()->set_network(v1::NODE);
    fuzz::Fill(request, source, Words());
    v1::RunPodSandboxResponse response;
    if (!Serve(&RuntimeService::RunPodSandbox, request, response)) return {};
    const nspawn::MachineSpec& machine = node_.machines.started.back();
    Require(nspawn::IsReadableName(machine.name), "a machine's name is one");
    Require(machine.slice.find('/') == std::string::npos && machine.slice.find('\n') == std::string::npos,
            "a slice is a name");
    return response.pod_sandbox_id();
  }

  // Paths of the host lie in a folder of this program's own: missing ones are made.
  void Confine(v1::ContainerConfig& config) const {
    for (v1::Mount& mount : *config.mutable_mounts()) {
      if (!mount.host_path().empty()) mount.set_host_path(volumes_ + "/" + mount.host_path());
    }
  }

  void CreateContainer(const std::string& pod, std::string& container, Source& source) {
    v1::CreateContainerRequest request;
    request.mutable_config()->mutable_metadata()->set_name("main");
    request.mutable_config()->mutable_image()->set_image("docker.io/library/app:1");
    fuzz::Fill(request, source, Words());
    request.set_pod_sandbox_id(pod);
    Confine(*request.mutable_config());
    v1::CreateContainerResponse response;
    const size_t before = node_.containers.created.size();
    const bool created = Serve(&RuntimeService::CreateContainer, request, response);
    if (node_.containers.created.size() > before) CheckSpec(node_.containers.created.back());
    if (created) container = response.container_id();
  }

  // What would become of it on a node.
  static void CheckSpec(const nspawn::ContainerSpec& spec) {
    Require(nspawn::IsReadableName(spec.name), "a container's name is one");
    const std::string encoded = nspawn::Encode(spec.process);
    const auto decoded = nspawn::Decode(encoded);
    Require(decoded.ok() && nspawn::Encode(*decoded) == encoded, "init reads what was written for it");
    const auto resources = nspawn::MapResources(spec.resources);
    if (!resources.ok()) return;
    for (const auto& [file, value] : resources->files) {
      Require(!file.empty() && file.find('/') == std::string::npos && file.find('\0') == std::string::npos,
              "a file of the cgroup is one of its own");
    }
    const auto text =
        nspawn::UnitText(spec, *resources, "/usr/lib/cri-nspawn/init", "/run/cri-nspawn/containers/" + spec.name);
    if (text.ok()) CheckUnit(*text);
  }

  static void CheckUnit(const std::string& text) {
    static const std::set<std::string, std::less<>> keys = {"Description",
                                                            "DefaultDependencies",
                                                            "Conflicts",
                                                            "Before",
                                                            "IgnoreOnIsolate",
                                                            "StartLimitIntervalSec",
                                                            "Type",
                                                            "NotifyAccess",
                                                            "RemainAfterExit",
                                                            "Restart",
                                                            "ExecStart",
                                                            "TimeoutStartSec",
                                                            "TimeoutStopSec",
                                                            "KillMode",
                                                            "KillSignal",
                                                            "SendSIGKILL",
                                                            "IgnoreSIGPIPE",
                                                            "StandardInput",
                                                            "StandardOutput",
                                                            "StandardError",
                                                            "Slice",
                                                            "NetworkNamespacePath",
                                                            "Delegate",
                                                            "OOMPolicy",
                                                            "OOMScoreAdjust",
                                                            "TasksMax",
                                                            "DevicePolicy",
                                                            "DeviceAllow",
                                                            "CPUWeight",
                                                            "CPUQuota",
                                                            "CPUQuotaPeriodSec",
                                                            "MemoryMax",
                                                            "MemorySwapMax",
                                                            "MemoryMin",
                                                            "MemoryLow",
                                                            "MemoryHigh",
                                                            "AllowedCPUs",
                                                            "AllowedMemoryNodes",
                                                            "IOWeight",
                                                            "IODeviceWeight",
                                                            "IOReadBandwidthMax",
                                                            "IOWriteBandwidthMax",
                                                            "IOReadIOPSMax",
                                                            "IOWriteIOPSMax"};
    std::string section;
    int commands = 0;
    for (const std::string_view line : base::Split(text, '\n')) {
      for (const char c : line) {
        Require(static_cast<unsigned char>(c) >= 0x20 && c != 0x7F, "a unit has no control characters");
      }
      Require(!line.ends_with('\\'), "no line goes on in the next");
      if (line.empty()) continue;
      if (line.front() == '[') {
        section = line;
        Require(section == "[Unit]" || section == "[Service]" || section == "[X-Kubernetes]",
                "a section is one of ours");
        continue;
      }
      const std::string_view key = line.substr(0, line.find('='));
      Require(key.size() < line.size(), "a line sets something");
      if (section == "[X-Kubernetes]") continue;
      Require(keys.count(key) == 1, "a setting is one of ours");
      if (key == "ExecStart") ++commands;
    }
    Require(commands == 1, "there is one command");
  }

  void Call(const std::string& pod, std::string& container, Source& source) {
    switch (source.Byte() % 16) {
      case 1:
        return Any(&RuntimeService::StartContainer, container, source);
      case 2:
        return Any(&RuntimeService::StopContainer, container, source);
      case 3:
        return Any(&RuntimeService::RemoveContainer, container, source);
      case 4:
        return Any(&RuntimeService::ContainerStatus, container, source);
      case 5:
        return Any(&RuntimeService::ReopenContainerLog, container, source);
      case 6:
        return Any(&RuntimeService::ContainerStats, container, source);
      case 7:
        return Any(&RuntimeService::Exec, container, source);
      case 8:
        return Any(&RuntimeService::Attach, container, source);
      case 9:
        return ExecSync(container, source);
      case 10:
        return Any(&RuntimeService::PodSandboxStatus, pod, source);
      case 11:
        return Any(&RuntimeService::PortForward, pod, source);
      case 12:
        return Any(&RuntimeService::UpdatePodSandboxResources, pod, source);
      case 13:
        return Any(&RuntimeService::StopPodSandbox, pod, source);
      case 14:
        Any(&RuntimeService::UpdateContainerResources, container, source);
        for (const nspawn::Resources& resources : node_.containers.updates) (void)nspawn::MapResources(resources);
        return;
      default:
        CreateContainer(pod, container, source);
    }
  }

  // A call about the container or pod of that id, if it is about one, whatever else it says.
  template <typename Request, typename Response>
  void Any(Rpc<Request, Response> rpc, const std::string& id, Source& source) {
    Request request;
    fuzz::Fill(request, source, Words());
    if constexpr (requires { request.set_container_id(id); }) {
      request.set_container_id(id);
    } else if constexpr (requires { request.set_pod_sandbox_id(id); }) {
      request.set_pod_sandbox_id(id);
    }
    Response response;
    (void)Serve(rpc, request, response);
  }

  void ExecSync(const std::string& container, Source& source) {
    v1::ExecSyncRequest request;
    fuzz::Fill(request, source, Words());
    request.set_container_id(container);
    v1::ExecSyncResponse response;
    const grpc::ServerContext context;
    (void)Judge(node_.service->ExecuteSync(context, request, response, {}));
  }

  FakeNode node_;
  const std::string volumes_ = node_.directory.path() + "/volumes";
};

}  // namespace

// A pod, what is done with it, and its removal: each request any message of its type.
int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const auto node = [] {
    ::setenv("TMPDIR", "/dev/shm", 1);
    // Each call is logged, and refusals are what this is about.
    base::SetLogLevel(static_cast<base::LogLevel>(0));
    return std::make_unique<Node>();
  }();
  node->Serve(Source(fuzz::Text(data, size)));
  return 0;
}
