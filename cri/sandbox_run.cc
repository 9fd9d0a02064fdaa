// RunPodSandbox.

#include <unistd.h>

#include <algorithm>
#include <climits>
#include <future>

#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/text.h"
#include "base/trace.h"
#include "cri/rpc.h"
#include "cri/runtime_service.h"
#include "cri/sandbox_files.h"
#include "cri/sysctls.h"
#include "cri/user_namespace.h"
#include "nspawn/cgroup_moves.h"
#include "nspawn/hostname.h"

namespace cri {
namespace {

// "/kubepods.slice/kubepods-burstable.slice" → "kubepods-burstable.slice". The kubelet gives a path in the cgroup tree;
// systemd knows from the name alone where a slice lies.
base::Result<std::string> SliceOf(const std::string& cgroup_parent) {
  if (cgroup_parent.empty()) return std::string();
  const size_t end = cgroup_parent.find_last_not_of('/');
  const std::string path = end == std::string::npos ? "" : cgroup_parent.substr(0, end + 1);
  const std::string name = path.substr(path.rfind('/') + 1);
  constexpr std::string_view kSuffix = ".slice";
  const bool fits =
      name.size() > kSuffix.size() && name.size() <= 255 && name.ends_with(kSuffix) &&
      std::all_of(name.begin(), name.end(), [](unsigned char c) {
        return std::isalnum(c) != 0 || std::string_view("-_.:\\@").find(static_cast<char>(c)) != std::string_view::npos;
      });
  if (!fits) {
    return base::InvalidArgument("cgroup_parent \"" + cgroup_parent +
                                 "\" does not end in a slice's name; systemd manages the cgroups, so the kubelet's "
                                 "cgroup driver must be \"systemd\"");
  }
  return name;
}

base::Status Validate(const v1::RunPodSandboxRequest& request) {
  const v1::PodSandboxConfig& config = request.config();
  if (!request.has_config() || !config.has_metadata()) {
    return base::InvalidArgument("the pod sandbox's configuration has no metadata");
  }
  if (config.metadata().name().empty() || config.metadata().uid().empty() || config.metadata().namespace_().empty()) {
    return base::InvalidArgument("the pod sandbox's metadata needs a name, a uid and a namespace");
  }
  // The CRI does not say what it may be. A kubelet sends DNS labels, and DNS subdomains of up to 64 characters.
  if (!config.hostname().empty() && !nspawn::IsHostname(config.hostname())) {
    return base::InvalidArgument(
        "hostname \"" + base::Printable(config.hostname(), 256) +
        "\" is not one: it may have letters, digits, dots and, within a label, hyphens, and 64 "
        "characters at most");
  }
  const v1::NamespaceOption& namespaces = config.linux().security_context().namespace_options();
  RETURN_IF_ERROR(CheckUserNamespace(namespaces));
  RETURN_IF_ERROR(ReadSysctls(config));
  if (!config.log_directory().empty() && config.log_directory().front() != '/') {
    return base::InvalidArgument("log_directory \"" + config.log_directory() + "\" is not an absolute path");
  }
  return base::Ok();
}

// Whether the handler lets pods be as this one is to be.
base::Status CheckHandler(const RuntimeHandler& handler, const v1::RunPodSandboxRequest& request) {
  const v1::NamespaceOption& namespaces = request.config().linux().security_context().namespace_options();
  const bool has_users = namespaces.has_userns_options() && namespaces.userns_options().mode() == v1::POD;
  const std::string which = "runtime handler \"" + request.runtime_handler() + "\"";
  if (has_users && handler.user_namespaces == RuntimeHandler::UserNamespaces::kRefused) {
    return base::InvalidArgument(which + " is configured to refuse pods with user namespaces");
  }
  if (!has_users && handler.user_namespaces == RuntimeHandler::UserNamespaces::kRequired) {
    return base::InvalidArgument(which + " needs pods with a user namespace (hostUsers: false)");
  }
  return base::Ok();
}

std::string HostnameOf(const v1::PodSandboxConfig& config, bool host_network) {
  if (host_network) {
    char name[HOST_NAME_MAX + 1] = {};
    ::gethostname(name, HOST_NAME_MAX);
    return name;
  }
  if (!config.hostname().empty()) return config.hostname();
  return nspawn::HostnameFrom(config.metadata().name());
}

cni::Attachment AttachmentOf(const SandboxRecord& record) {
  const v1::PodSandboxConfig& config = record.config();
  cni::Attachment attachment;
  attachment.container_id = record.id();
  attachment.namespace_path = record.network_namespace();
  attachment.arguments = {{"K8S_POD_NAMESPACE", config.metadata().namespace_()},
                          {"K8S_POD_NAME", config.metadata().name()},
                          {"K8S_POD_INFRA_CONTAINER_ID", record.id()},
                          {"K8S_POD_UID", config.metadata().uid()}};
  for (const v1::PortMapping& mapping : config.port_mappings()) {
    // A port without a host port is information only.
    if (mapping.host_port() <= 0 || mapping.host_port() > UINT16_MAX || mapping.container_port() <= 0 ||
        mapping.container_port() > UINT16_MAX) {
      continue;
    }
    attachment.port_mappings.push_back({mapping.protocol() == v1::UDP    ? "udp"
                                        : mapping.protocol() == v1::SCTP ? "sctp"
                                                                         : "tcp",
                                        static_cast<uint16_t>(mapping.container_port()),
                                        static_cast<uint16_t>(mapping.host_port()), mapping.host_ip()});
  }
  return attachment;
}

nspawn::MachineSpec MachineOf(const SandboxRecord& record) {
  const v1::PodSandboxConfig& config = record.config();
  const v1::NamespaceOption& namespaces = config.linux().security_context().namespace_options();
  nspawn::MachineSpec spec;
  spec.name = record.machine();
  spec.description = "Pod " + config.metadata().namespace_() + "/" + config.metadata().name();
  spec.slice = record.slice();
  spec.uuid = config.metadata().uid();
  spec.hostname = record.hostname();
  spec.user_namespace = UserNamespaceOf(namespaces);
  if (!spec.user_namespace) spec.network_namespace = record.network_namespace();
  spec.host_pid = namespaces.pid() == v1::NODE;
  spec.host_ipc = namespaces.ipc() == v1::NODE;
  spec.host_uts = namespaces.network() == v1::NODE;
  return spec;
}

// Makes everything that a sandbox has. What a failure leaves is the caller's to undo.
base::Status Make(Runtime& runtime, SandboxRecord& record) {
  const v1::PodSandboxConfig& config = record.config();
  const bool host_network = config.linux().security_context().namespace_options().network() == v1::NODE;
  std::future<base::Result<cni::AttachmentResult>> attaching;
  const auto attach = [&] {
    attaching =
        std::async(std::launch::async, [&runtime, attachment = AttachmentOf(record), caller = base::CurrentTrace()] {
          const base::TraceParent parent(caller);
          return runtime.parts.network.Attach(attachment);
        });
  };
  ASSIGN_OR_RETURN(const Sysctls sysctls, ReadSysctls(config));
  const std::string name = record.network_namespace().substr(record.network_namespace().rfind('/') + 1);
  const auto users = UserNamespaceOf(config.linux().security_context().namespace_options());
  if (!host_network && !users) {
    const auto made = runtime.parts.namespaces.Create(name, sysctls.network);
    if (!made.ok()) return base::Error(made.error()).Wrap("make the network namespace");
    FAULT_POINT("sandbox run: network namespace made");
    // The plugins and the machine need nothing of each other.
    attach();
  }
  const auto machine = runtime.parts.machines.Start(MachineOf(record));
  FAULT_POINT("sandbox run: machine started");
  if (users && machine.ok()) {
    // The network namespace has to belong to the user namespace, so it is the machine that makes both.
    const auto pinned = runtime.parts.namespaces.Pin(name, machine->leader, sysctls.network);
    if (!pinned.ok()) return base::Error(pinned.error()).Wrap("keep the network namespace");
    FAULT_POINT("sandbox run: network namespace of the machine pinned");
    attach();
  }
  if (attaching.valid()) {
    auto attached = attaching.get();
    if (!attached.ok()) return std::move(attached).error().Wrap("set up the pod's network");
    for (const std::string& address : attached->addresses) record.add_addresses(address);
    record.set_network_result(attached->json);
    FAULT_POINT("sandbox run: network attached");
  }
  if (!machine.ok()) return base::Error(machine.error()).Wrap("start the pod's machine");
  record.set_leader(machine->leader);
  record.set_cgroup(machine->cgroup);
  record.set_pid_namespace(machine->pid_namespace);
  record.set_ipc_namespace(machine->ipc_namespace);
  record.set_uts_namespace(machine->uts_namespace);
  record.set_user_namespace(machine->user_namespace);

  const std::vector<std::string> addresses(record.addresses().begin(), record.addresses().end());
  return WriteSandboxFiles(runtime.SandboxFiles(record.id()), config, record.hostname(), host_network, addresses,
                           users ? users->host_id : 0);
}

bool SameSandbox(const v1::PodSandboxMetadata& a, const v1::PodSandboxMetadata& b) {
  return a.name() == b.name() && a.namespace_() == b.namespace_() && a.uid() == b.uid() && a.attempt() == b.attempt();
}

}  // namespace

grpc::Status RuntimeService::RunPodSandbox(grpc::ServerContext* context, const v1::RunPodSandboxRequest* in,
                                           v1::RunPodSandboxResponse* out) {
  return Answer(*context, RpcKind::kChange, "RunPodSandbox", [&]() -> base::Status {
    RETURN_IF_ERROR(Validate(*in));
    ASSIGN_OR_RETURN(const RuntimeHandler handler, runtime_.HandlerOf(in->runtime_handler()));
    RETURN_IF_ERROR(CheckHandler(handler, *in));
    nspawn::ExpectCgroupMove();
    const v1::PodSandboxMetadata& metadata = in->config().metadata();
    const std::string key = "pod " + metadata.namespace_() + "/" + metadata.name() + " " + metadata.uid() + " " +
                            std::to_string(metadata.attempt());
    ASSIGN_OR_RETURN(const Operations::Turn turn, runtime_.operations.Begin(key, DeadlineOf(*context)));
    for (const auto& existing : runtime_.sandboxes.All()) {
      if (!SameSandbox(existing->config().metadata(), metadata)) continue;
      // A call repeated after a timeout finds what the first one made.
      if (existing->state() == SandboxRecord::READY) {
        out->set_pod_sandbox_id(existing->id());
        return base::Ok();
      }
      if (existing->state() == SandboxRecord::REMOVING) {
        // On its way out, or what a failed call could not clean up: the name is not taken for that.
        ASSIGN_OR_RETURN(const Operations::Turn removal, runtime_.BeginOnSandbox(existing->id(), DeadlineOf(*context)));
        RETURN_IF_ERROR(runtime_.RemoveSandbox(existing->id(), DeadlineOf(*context)));
        continue;
      }
      return {base::Code::kAlreadyExists, "pod sandbox " + existing->id() + " of " + key +
                                              " exists and is not ready; remove it or use a higher attempt number"};
    }

    SandboxRecord record;
    record.set_id(base::RandomHex(32));
    *record.mutable_config() = in->config();
    record.set_runtime_handler(in->runtime_handler());
    record.set_created_at(base::NowNanoseconds());
    record.set_state(SandboxRecord::CREATING);
    record.set_machine(nspawn::ReadableName({metadata.namespace_(), metadata.name()}, record.id()));
    ASSIGN_OR_RETURN(*record.mutable_slice(), SliceOf(in->config().linux().cgroup_parent()));
    const bool host_network = in->config().linux().security_context().namespace_options().network() == v1::NODE;
    record.set_hostname(HostnameOf(in->config(), host_network));
    if (!host_network) {
      record.set_network_namespace(runtime_.config.network_namespace_directory + "/" + kNamespacePrefix +
                                   record.machine());
    }
    const std::string id = record.id();
    runtime_.AddLogFields(record);
    ASSIGN_OR_RETURN(const Operations::Turn sandbox_turn, runtime_.BeginOnSandbox(id, DeadlineOf(*context)));
    RETURN_IF_ERROR(runtime_.sandboxes.Insert(record));
    FAULT_POINT("sandbox run: record written");

    base::Status made = Make(runtime_, record);
    if (made.ok()) {
      FAULT_POINT("sandbox run: files written");
      const auto ready = [&](SandboxRecord& stored) {
        record.set_state(SandboxRecord::READY);
        stored = record;
        return true;
      };
      made = runtime_.sandboxes.Update(id, ready, Keep::kUntilReboot);
    }
    if (!made.ok()) {
      const base::Status undone =
          runtime_.RemoveSandbox(id, std::chrono::steady_clock::now() + std::chrono::minutes(2));
      if (!undone.ok()) {
        // It is listed from now on, so that a kubelet removes it should nobody want this pod any more.
        base::Log(base::LogLevel::kError, "undo a failed RunPodSandbox: " + undone.error().message());
      }
      return std::move(made).Wrap("run pod sandbox " + metadata.namespace_() + "/" + metadata.name());
    }
    FAULT_POINT("sandbox run: ready recorded");
    // Its end was of no interest as long as it was not ready.
    if (!runtime_.parts.machines.Find(record.machine()).ok()) runtime_.HandleMachineEnd(record.machine());
    out->set_pod_sandbox_id(id);
    return base::Ok();
  });
}

}  // namespace cri
