// CreateContainer.

#include <sys/stat.h>

#include <map>

#include "base/clock.h"
#include "base/fault.h"
#include "base/files.h"
#include "base/log.h"
#include "base/text.h"
#include "cri/checkpoint_archive.h"
#include "cri/container_restore.h"
#include "cri/container_spec.h"
#include "cri/rpc.h"
#include "cri/runtime_service.h"
#include "cri/stop_signal.h"
#include "nspawn/cgroup_moves.h"

namespace cri {
namespace {

// Where the container's log goes, or empty when it has none.
base::Result<std::string> LogPathOf(const v1::PodSandboxConfig& pod, const v1::ContainerConfig& config) {
  if (config.log_path().empty() || pod.log_directory().empty()) return std::string();
  for (const std::string_view part : base::Split(config.log_path(), '/')) {
    if (part == "..")
      return base::InvalidArgument("log_path \"" + config.log_path() + "\" leads out of the log directory");
  }
  std::string path = pod.log_directory() + "/" + config.log_path();
  if (path.find('\0') != std::string::npos) return base::InvalidArgument("the log path holds a NUL");
  const std::string directory = path.substr(0, path.rfind('/'));
  struct stat info {};
  if (::stat(directory.c_str(), &info) != 0 || !S_ISDIR(info.st_mode)) {
    return base::Error(
        base::Code::kFailedPrecondition,
        "the log directory \"" + directory + "\" does not exist; whoever creates the container makes it first");
  }
  return path;
}

// The process of the container that the PID mode TARGET names; 0 when it does not run in this pod.
int TargetPid(const Runtime& runtime, const std::string& sandbox_id, const v1::ContainerConfig& config) {
  const v1::NamespaceOption& options = config.linux().security_context().namespace_options();
  if (options.pid() != v1::TARGET) return 0;
  const auto target = runtime.containers.Find(options.target_id());
  if (!target.ok() || (*target)->sandbox_id() != sandbox_id) return 0;
  return (*target)->state() == ContainerRecord::RUNNING ? (*target)->pid() : 0;
}

// The digest reference of the image, or its id when it has none: CRI's image_ref.
std::string ReferenceOf(const image::Image& image) {
  return image.digests.empty() ? image.id : image.digests.front();
}

// The images of the volumes, by index of the mount.
base::Result<std::map<int, image::Image>> FindVolumeImages(const Runtime& runtime, const v1::ContainerConfig& config) {
  std::map<int, image::Image> images;
  for (int i = 0; i < config.mounts_size(); ++i) {
    const v1::Mount& mount = config.mounts(i);
    if (!mount.has_image() || mount.image().image().empty()) continue;
    const std::string doing = "image volume at \"" + mount.container_path() + "\"";
    auto image = runtime.parts.images.Find(mount.image().image());
    if (!image.ok()) return std::move(image).error().Wrap(doing);
    if (!*image) return base::NotFound(doing + ": image \"" + mount.image().image() + "\" not found; pull it first");
    images.emplace(i, **std::move(image));
  }
  return images;
}

// Whatever fails before there is a record leaves nothing in the container's directory: a checkpoint is unpacked there.
struct Leftovers {
  const Runtime& runtime;
  const std::string id;
  Leftovers(const Runtime& runtime_in, std::string id_in) : runtime(runtime_in), id(std::move(id_in)) {}
  Leftovers(const Leftovers&) = delete;
  Leftovers& operator=(const Leftovers&) = delete;
  ~Leftovers() {
    if (!runtime.containers.Get(id)) (void)base::RemoveTree(runtime.containers.Directory(id));
  }
};

// What the container is made from: an image of the store, or the checkpoint of another container.
base::Result<Restoration> FindSource(const Runtime& runtime, const std::string& id, const std::string& name) {
  if (IsCheckpoint(name)) return PrepareRestore(runtime, id, name);
  ASSIGN_OR_RETURN(const auto image, runtime.parts.images.Find(name));
  if (!image) return base::NotFound("image \"" + name + "\" not found; pull it first");
  return Restoration{*image, {}};
}

base::Status Create(Runtime& runtime, const ContainerRecord& record, const SandboxRecord& sandbox,
                    const image::Image& image, std::map<int, image::Image> image_volumes,
                    const nspawn::Restore& restore) {
  RETURN_IF_ERROR(runtime.parts.images.Hold(image.id, record.id()));
  for (const std::string& id : record.volume_image_ids()) {
    RETURN_IF_ERROR(runtime.parts.images.Hold(id, record.id()));
  }
  ASSIGN_OR_RETURN(const RuntimeHandler handler, runtime.HandlerOf(sandbox.runtime_handler()));
  const ContainerSources sources{record,
                                 sandbox,
                                 image,
                                 runtime.containers.Directory(record.id()),
                                 runtime.SandboxFiles(sandbox.id()),
                                 TargetPid(runtime, sandbox.id(), record.config()),
                                 std::move(image_volumes),
                                 handler,
                                 runtime.config.cdi_directories,
                                 runtime.parts.apparmor.IsEnabled() ? &runtime.parts.apparmor : nullptr};
  ASSIGN_OR_RETURN(const nspawn::ContainerSpec spec, MakeContainerSpec(sources));
  RETURN_IF_ERROR(CheckRestore(restore, spec.process));
  RETURN_IF_ERROR(runtime.containers.Insert(record));
  FAULT_POINT("container create: record written");
  RETURN_IF_ERROR(runtime.parts.containers.Create(spec));
  RETURN_IF_ERROR(WriteRestore(runtime, record.name(), restore));
  FAULT_POINT("container create: unit attached");
  const auto created = [](ContainerRecord& container) {
    container.set_state(ContainerRecord::CREATED);
    return true;
  };
  return runtime.containers.Update(record.id(), created, Keep::kUntilReboot);
}

}  // namespace

grpc::Status RuntimeService::CreateContainer(grpc::ServerContext* context, const v1::CreateContainerRequest* in,
                                             v1::CreateContainerResponse* out) {
  return Answer(*context, RpcKind::kChange, "CreateContainer", [&]() -> base::Status {
    const v1::ContainerConfig& config = in->config();
    if (!in->has_config() || config.metadata().name().empty()) {
      return base::InvalidArgument("the container's configuration has no metadata with a name");
    }
    ASSIGN_OR_RETURN(const auto found, runtime_.sandboxes.Find(in->pod_sandbox_id()));
    nspawn::ExpectCgroupMove();  // a start follows at once
    // One creation in a pod at a time, and none while the pod is being stopped or removed.
    ASSIGN_OR_RETURN(const Operations::Turn turn, runtime_.BeginOnSandbox(found->id(), DeadlineOf(*context)));
    const auto sandbox = runtime_.sandboxes.Get(found->id());
    if (!sandbox) return base::NotFound("pod sandbox \"" + in->pod_sandbox_id() + "\" not found");
    if (sandbox->state() != SandboxRecord::READY) {
      return {base::Code::kFailedPrecondition, "pod sandbox " + sandbox->id() + " is not ready"};
    }
    if (config.linux().security_context().privileged() && !sandbox->config().linux().security_context().privileged()) {
      return base::InvalidArgument(
          "a privileged container is only allowed in a pod sandbox that was run as privileged");
    }
    for (const auto& existing : runtime_.ContainersOf(sandbox->id())) {
      const v1::ContainerMetadata& metadata = existing->config().metadata();
      if (metadata.name() != config.metadata().name() || metadata.attempt() != config.metadata().attempt()) continue;
      if (existing->state() == ContainerRecord::CREATED) {
        out->set_container_id(existing->id());  // a call repeated after a timeout
        return base::Ok();
      }
      if (existing->state() == ContainerRecord::CREATING || existing->state() == ContainerRecord::REMOVING) {
        // An earlier call has failed, or a removal, and could not clean up: its name is not taken for that.
        ASSIGN_OR_RETURN(const Operations::Turn removal,
                         runtime_.BeginOnContainer(existing->id(), DeadlineOf(*context)));
        RETURN_IF_ERROR(runtime_.RemoveContainer(existing->id()));
        continue;
      }
      return {base::Code::kAlreadyExists, "container " + existing->id() + " has the name \"" + metadata.name() +
                                              "\" and attempt " + std::to_string(metadata.attempt()) + " already"};
    }

    ContainerRecord record;
    record.set_id(base::RandomHex(32));
    const Leftovers leftovers{runtime_, record.id()};
    ASSIGN_OR_RETURN(Restoration source, FindSource(runtime_, record.id(), config.image().image()));
    const image::Image& image = source.image;
    record.set_sandbox_id(sandbox->id());
    *record.mutable_config() = config;
    const v1::PodSandboxMetadata& pod = sandbox->config().metadata();
    record.set_name(nspawn::ReadableName({pod.namespace_(), pod.name(), config.metadata().name()}, record.id()));
    record.set_created_at(base::NowNanoseconds());
    record.set_state(ContainerRecord::CREATING);
    record.set_image_id(image.id);
    record.set_image_ref(ReferenceOf(image));
    ASSIGN_OR_RETURN(*record.mutable_log_path(), LogPathOf(sandbox->config(), config));
    *record.mutable_resources() = config.linux().resources();
    record.set_stop_signal(StopSignalOf(config, image.config));

    ASSIGN_OR_RETURN(auto image_volumes, FindVolumeImages(runtime_, config));
    for (const auto& [index, volume] : image_volumes) record.add_volume_image_ids(volume.id);

    runtime_.AddLogFields(record);
    base::Status created = Create(runtime_, record, *sandbox, image, std::move(image_volumes), source.restore);
    if (!created.ok()) {
      const base::Status undone = runtime_.RemoveContainer(record.id());
      if (!undone.ok()) base::Log(base::LogLevel::kError, "undo a failed CreateContainer: " + undone.error().message());
      runtime_.parts.images.Release(record.id());
      return std::move(created).Wrap("create container " + config.metadata().name() + " in pod " + pod.namespace_() +
                                     "/" + pod.name());
    }
    FAULT_POINT("container create: recorded");
    out->set_container_id(record.id());
    return base::Ok();
  });
}

}  // namespace cri
