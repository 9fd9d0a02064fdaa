// CheckpointContainer.

#include <sys/stat.h>

#include "base/files.h"
#include "base/log.h"
#include "base/text.h"
#include "cri/checkpoint_archive.h"
#include "cri/rpc.h"
#include "cri/runtime_service.h"

namespace cri {
namespace {

using Clock = std::chrono::steady_clock;

base::Status CheckLocation(const std::string& location) {
  const std::string quoted = "location \"" + base::Printable(location, 300) + "\"";
  struct stat info {};
  if (location.size() < 2 || location.front() != '/' || location.back() == '/' ||
      location.find('\0') != std::string::npos) {
    return base::InvalidArgument(quoted + " is not the absolute path of a file");
  }
  const std::string directory = location.substr(0, location.rfind('/') + 1);
  if (::stat(directory.c_str(), &info) != 0 || !S_ISDIR(info.st_mode)) {
    return base::InvalidArgument(quoted + ": there is no directory " + directory);
  }
  if (::stat(location.c_str(), &info) == 0 && !S_ISREG(info.st_mode)) {
    return base::InvalidArgument(quoted + " is there and no regular file");
  }
  return base::Ok();
}

base::Status TakeAndPack(const Runtime& runtime, const ContainerRecord& record, const SandboxRecord& sandbox,
                         const std::string& location, Clock::time_point deadline) {
  // Below the container's own directory, so that it goes with the container, whatever happens on the way.
  const std::string directory = runtime.containers.Directory(record.id()) + "/checkpoint";
  RETURN_IF_ERROR(base::RemoveTree(directory));
  RETURN_IF_ERROR(base::MakeDirectories(directory + "/" + kCheckpointImages, 0700));
  const auto take = [&]() -> base::Status {
    nspawn::CheckpointRequest request;
    request.bundle = runtime.parts.containers.BundleDirectory(record.name());
    request.pid = record.pid();
    request.cgroup = record.cgroup();
    request.pod_leader = sandbox.leader();
    request.images_directory = directory + "/" + kCheckpointImages;
    request.helper = CRI_NSPAWN_LIBEXEC "/checkpoint";
    request.layer_archive = directory + "/" + kCheckpointLayer;
    ASSIGN_OR_RETURN(const nspawn::StreamNames streams, nspawn::TakeCheckpoint(runtime.parts.spawner, request));
    if (Clock::now() > deadline) return {base::Code::kDeadlineExceeded, "it took longer than the timeout allows"};
    return PackCheckpoint(directory, record, sandbox, streams, location);
  };
  base::Status taken = take();
  if (const base::Status removed = base::RemoveTree(directory); !removed.ok()) {
    base::Log(base::LogLevel::kWarning, removed.error().message());
  }
  return taken;
}

}  // namespace

grpc::Status RuntimeService::CheckpointContainer(grpc::ServerContext* context, const v1::CheckpointContainerRequest* in,
                                                 v1::CheckpointContainerResponse*) {
  return Answer(*context, RpcKind::kChange, "CheckpointContainer", [&]() -> base::Status {
    // First, so that a client can ask whether the node has it.
    RETURN_IF_ERROR(nspawn::FindCriu());
    RETURN_IF_ERROR(CheckLocation(in->location()));
    if (in->timeout() < 0) return base::InvalidArgument("the timeout is negative");
    ASSIGN_OR_RETURN(const auto found, runtime_.containers.Find(in->container_id()));
    runtime_.AddLogFields(*found);
    // The call's own deadline does not count once it has begun: breaking off would harm the container, and the archive
    // is there for the next one who looks.
    const auto deadline = in->timeout() > 0 ? Clock::now() + TimeoutOf(in->timeout()) : Clock::time_point::max();
    ASSIGN_OR_RETURN(const Operations::Turn turn, runtime_.BeginOnContainer(found->id(), DeadlineOf(*context)));
    const auto record = runtime_.containers.Get(found->id());
    if (!record) return base::NotFound("container \"" + in->container_id() + "\" not found");
    if (record->state() != ContainerRecord::RUNNING) {
      return {base::Code::kFailedPrecondition, "container " + record->id() + " is not running"};
    }
    const auto sandbox = runtime_.sandboxes.Get(record->sandbox_id());
    if (!sandbox) return base::NotFound("pod sandbox \"" + record->sandbox_id() + "\" not found");
    return TakeAndPack(runtime_, *record, *sandbox, in->location(), deadline)
        .Wrap("checkpoint container " + record->config().metadata().name());
  });
}

}  // namespace cri
