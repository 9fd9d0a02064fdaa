#include "cri/container_restore.h"

#include <unistd.h>

#include <stop_token>

#include "base/files.h"
#include "base/log.h"
#include "base/text.h"
#include "cri/checkpoint_archive.h"
#include "image/archive.h"

namespace cri {
namespace {

std::string DirectoryOf(const Runtime& runtime, const std::string& id) {
  return runtime.containers.Directory(id) + "/restore";
}

}  // namespace

base::Result<Restoration> PrepareRestore(const Runtime& runtime, const std::string& id, const std::string& path) {
  Restoration restoration;
  ASSIGN_OR_RETURN(restoration.restore.criu, nspawn::FindCriu());
  const std::string directory = DirectoryOf(runtime, id);
  RETURN_IF_ERROR(base::MakeDirectories(directory, 0700));
  ASSIGN_OR_RETURN(const Checkpoint checkpoint, UnpackCheckpoint(path, directory));
  restoration.restore.directory = directory;
  restoration.restore.streams.assign(checkpoint.streams.begin(), checkpoint.streams.end());

  const std::string quoted = "checkpoint " + base::Printable(path, 300);
  const std::string name = "\"" + base::Printable(checkpoint.config.image, 300) + "\" (" +
                           base::Printable(checkpoint.config.image_id, 100) + ")";
  // By its id alone: what a tag names now may have other files than those that the processes have open.
  const auto image = runtime.parts.images.Find(checkpoint.config.image_id);
  if (!image.ok()) return base::Error(image.error()).Wrap(quoted + ": image " + name);
  if (!*image || (*image)->id != checkpoint.config.image_id) {
    return base::NotFound(quoted + ": its image " + name + " not found; pull it first");
  }
  restoration.image = **image;

  const std::string layer = directory + "/" + kCheckpointLayer;
  const std::string upper = runtime.containers.Directory(id) + "/upper";
  RETURN_IF_ERROR(base::MakeDirectories(upper, 0755));
  RETURN_IF_ERROR(image::UnpackArchive(layer, upper, kCheckpointBounds, std::stop_token())
                      .Wrap(quoted + ": its " + kCheckpointLayer));
  if (::unlink(layer.c_str()) != 0) return base::ErrnoError("remove " + layer);
  for (const char* own : {"/rootfs", "/work"}) {
    RETURN_IF_ERROR(base::RemoveTree(directory + own));
    RETURN_IF_ERROR(base::MakeDirectories(directory + own, 0700));
  }
  return restoration;
}

base::Status CheckRestore(const nspawn::Restore& restore, const nspawn::ProcessSpec& process) {
  if (restore.directory.empty()) return base::Ok();
  if (process.pid.kind != nspawn::NamespaceTarget::Kind::kNew) {
    return base::InvalidArgument(
        "a checkpoint can only be restored into a container with a PID namespace of its own (PID mode CONTAINER)");
  }
  if (process.user_namespace.kind != nspawn::NamespaceTarget::Kind::kHost) {
    return base::InvalidArgument("a checkpoint cannot be restored into a pod with a user namespace");
  }
  if (process.terminal)
    return base::InvalidArgument("a checkpoint cannot be restored into a container with a terminal");
  const bool had_stdin = !restore.streams.empty() && !restore.streams.front().empty();
  if (had_stdin != process.open_stdin) {
    return base::InvalidArgument(had_stdin ? "the checkpoint is of a container with an open standard input"
                                           : "the checkpoint is of a container without an open standard input");
  }
  return base::Ok();
}

base::Status WriteRestore(const Runtime& runtime, const std::string& name, const nspawn::Restore& restore) {
  if (restore.directory.empty()) return base::Ok();
  return base::WriteFileAtomic(runtime.parts.containers.BundleDirectory(name) + "/" + nspawn::kRestoreFile,
                               nspawn::EncodeRestore(restore));
}

void ForgetRestore(const Runtime& runtime, const std::string& id) {
  if (const base::Status removed = base::RemoveTree(DirectoryOf(runtime, id)); !removed.ok()) {
    base::Log(base::LogLevel::kWarning, removed.error().message());
  }
}

}  // namespace cri
