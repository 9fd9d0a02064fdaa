// The archive that CheckpointContainer writes and CreateContainer takes in the place of an image.
//
// A tar file in the layout of other runtimes, which checkpointctl reads:
//   checkpoint/       criu's images, and descriptors.json: the names of the streams 0 to 2 in them
//   config.dump       what is restored: names, image, runtime, times
//   spec.dump         the container as a runtime specification of OCI, as far as there is one
//   rootfs-diff.tar   the writable layer, as a layer of the OCI image format
//   container.log     what the container wrote, if it has a log
//   dump.log, stats-dump  what criu says about taking it
// It holds the memory of the container's processes, and whatever secrets are there.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "cri/runtime.h"
#include "image/unpack.h"
#include "nspawn/checkpoint.h"

namespace cri {

// Where the parts of an archive lie before they are packed and after they are unpacked.
inline constexpr char kCheckpointImages[] = "checkpoint";
inline constexpr char kCheckpointLayer[] = "rootfs-diff.tar";

struct CheckpointConfig {
  std::string id;
  std::string name;
  std::string image;     // as the pod's author named it
  std::string image_id;  // of the layers below the writable one: "sha256:…"
  std::string runtime;
  int64_t created_at = 0;  // nanoseconds since the epoch
  int64_t checkpointed_at = 0;
};

// As large as one layer may be by default.
inline constexpr image::UnpackBounds kCheckpointBounds{uint64_t{64} << 30, 4'000'000};

// The name of this runtime in an archive.
inline constexpr char kCheckpointRuntime[] = "cri-nspawn";

std::string WriteCheckpointConfig(const CheckpointConfig& config);
// kDataLoss when it is not one.
base::Result<CheckpointConfig> ParseCheckpointConfig(const std::string& json);
std::string WriteStreamNames(const nspawn::StreamNames& streams);
base::Result<nspawn::StreamNames> ParseStreamNames(const std::string& json);
std::string WriteCheckpointSpec(const ContainerRecord& record, const SandboxRecord& sandbox);

// Packs `directory`, which holds the images and the layer, into the new archive `path`, durably: after a crash there is
// all of it under that name, or nothing.
base::Status PackCheckpoint(const std::string& directory, const ContainerRecord& record, const SandboxRecord& sandbox,
                            const nspawn::StreamNames& streams, const std::string& path);

struct Checkpoint {
  CheckpointConfig config;
  nspawn::StreamNames streams;
};

// Whether a container's image is named by the path of a checkpoint.
bool IsCheckpoint(const std::string& image);

// Unpacks the archive `path` into the empty `directory`. What is in it is hostile, as any archive; but criu does what
// its images say, so the file must belong to root, and nobody else may be able to write to it: kPermissionDenied.
// kDataLoss for what is no checkpoint, kFailedPrecondition for one of another runtime.
base::Result<Checkpoint> UnpackCheckpoint(const std::string& path, const std::string& directory);

}  // namespace cri
