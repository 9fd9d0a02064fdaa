#include "cri/container_namespaces.h"

#include "cri/user_namespace.h"

namespace cri {

using Kind = nspawn::NamespaceTarget::Kind;

base::Status SetNamespaces(const ContainerSources& sources, nspawn::ContainerSpec& spec) {
  const v1::NamespaceOption& options = sources.record.config().linux().security_context().namespace_options();
  const SandboxRecord& sandbox = sources.sandbox;
  nspawn::ProcessSpec& process = spec.process;
  const auto pod = [&](uint64_t inode) { return nspawn::NamespaceTarget{Kind::kJoin, sandbox.leader(), inode}; };
  const v1::NamespaceOption& pod_options = sandbox.config().linux().security_context().namespace_options();
  RETURN_IF_ERROR(CheckSameUserNamespace(pod_options, options));
  if (const auto mapping = UserNamespaceOf(pod_options)) {
    process.user_namespace = pod(sandbox.user_namespace());
    process.uid_mappings = process.gid_mappings = {*mapping};
  }
  const bool host_network = sandbox.network_namespace().empty();
  spec.network_namespace = sandbox.network_namespace();
  process.uts = host_network ? nspawn::NamespaceTarget{Kind::kHost} : pod(sandbox.uts_namespace());
  process.ipc = options.ipc() == v1::NODE ? nspawn::NamespaceTarget{Kind::kHost} : pod(sandbox.ipc_namespace());
  process.shared_memory = options.ipc() == v1::NODE ? nspawn::NamespaceTarget{Kind::kHost} : pod(0);
  switch (options.pid()) {
    case v1::POD:
      process.pid = pod(sandbox.pid_namespace());
      break;
    case v1::NODE:
      process.pid = {Kind::kHost};
      break;
    case v1::TARGET:
      if (sources.target_pid == 0) {
        return base::InvalidArgument("the target container \"" + options.target_id() +
                                     "\" of the PID namespace does not run in this pod");
      }
      process.pid = {Kind::kJoin, sources.target_pid, 0};
      break;
    default:
      process.pid = {Kind::kNew};
  }
  return base::Ok();
}

}  // namespace cri
