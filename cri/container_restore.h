// Containers that are created from a checkpoint: whose image is the path of an archive of CheckpointContainer.
#pragma once

#include <string>

#include "base/result.h"
#include "cri/runtime.h"
#include "nspawn/criu.h"

namespace cri {

// What a container is restored from.
struct Restoration {
  image::Image image;       // of the layers below the checkpoint's writable one
  nspawn::Restore restore;  // its directory is empty for a container that is started anew
};

// Unpacks the archive `path` into the directory of container `id`: the writable layer where the container will have it,
// the rest beside it until the container has started. kUnimplemented without criu, kNotFound when there is no such file
// or when the image is not in the store; else as UnpackCheckpoint(). What is left after an error goes with the
// directory.
base::Result<Restoration> PrepareRestore(const Runtime& runtime, const std::string& id, const std::string& path);

// kInvalidArgument when a container as `process` says cannot be what was checkpointed. No error without a checkpoint.
base::Status CheckRestore(const nspawn::Restore& restore, const nspawn::ProcessSpec& process);

// Tells the init of container `name`, which has been made, what to restore. No error without a checkpoint.
base::Status WriteRestore(const Runtime& runtime, const std::string& name, const nspawn::Restore& restore);

// Removes what was only there for the start: the memory of the processes, above all.
void ForgetRestore(const Runtime& runtime, const std::string& id);

}  // namespace cri
