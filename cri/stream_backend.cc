#include "cri/stream_backend.h"

#include "cni/namespaces.h"

namespace cri {
namespace {

template <typename Request>
nspawn::StreamOptions OptionsOf(const Request& request) {
  nspawn::StreamOptions options;
  options.input = request.stdin();
  options.output = request.stdout();
  options.error = request.stderr();
  options.terminal = request.tty();
  return options;
}

}  // namespace

base::Result<std::unique_ptr<nspawn::Stream>> StreamBackend::Exec(const v1::ExecRequest& request) {
  const base::LogScope scope;
  ASSIGN_OR_RETURN(nspawn::ExecRequest exec, runtime_.ExecIn(request.container_id()));
  exec.arguments.assign(request.cmd().begin(), request.cmd().end());
  return runtime_.parts.spawner.ExecStream(exec, OptionsOf(request));
}

base::Result<std::unique_ptr<nspawn::Stream>> StreamBackend::Attach(const v1::AttachRequest& request) {
  ASSIGN_OR_RETURN(const auto record, runtime_.containers.Find(request.container_id()));
  return runtime_.parts.logs.Attach(record->name(), OptionsOf(request));
}

base::Result<base::UniqueFd> StreamBackend::Connect(const std::string& pod_sandbox_id, uint16_t port) {
  ASSIGN_OR_RETURN(const auto record, runtime_.sandboxes.Find(pod_sandbox_id));
  if (record->state() != SandboxRecord::READY) {
    return base::Error(base::Code::kFailedPrecondition, "pod sandbox " + record->id() + " is not running");
  }
  return cni::ConnectToLoopback(record->network_namespace(), port);
}

}  // namespace cri
