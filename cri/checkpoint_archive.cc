#include "cri/checkpoint_archive.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <stop_token>

#include "base/fd.h"
#include "base/files.h"
#include "base/json.h"
#include "base/text.h"
#include "cri/image_name.h"
#include "image/archive.h"
#include "image/pack.h"
#include "nspawn/log_record.h"

namespace cri {
namespace {

using base::Code;
using base::Error;
using base::Json;
using base::Result;
using base::Status;

constexpr char kConfigFile[] = "config.dump";
constexpr char kSpecFile[] = "spec.dump";
constexpr char kStreamsFile[] = "descriptors.json";
// Of criu's files, those that are also read by people and tools.
constexpr const char* kReports[] = {"dump.log", "stats-dump"};
constexpr size_t kMostDocument = 1 << 20;

Error NoCheckpoint(const std::string& why) {
  return {Code::kDataLoss, "it is no checkpoint: " + why};
}

// A name in criu's directory becomes one in the archive, and the other way round: plain files only.
Result<std::vector<std::string>> ImageFiles(const std::string& directory) {
  ASSIGN_OR_RETURN(std::vector<std::string> names, base::ListDirectory(directory));
  for (const std::string& name : names) {
    struct stat info {};
    if (::lstat((directory + "/" + name).c_str(), &info) != 0) return base::ErrnoError("stat " + name);
    if (!S_ISREG(info.st_mode)) return NoCheckpoint("\"" + base::Printable(name, 100) + "\" is no regular file");
  }
  return names;
}

// Without following a link that the archive may have put there.
Result<std::string> ReadDocument(const std::string& path) {
  const base::UniqueFd file(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  struct stat info {};
  if (!file || ::fstat(file.get(), &info) != 0 || !S_ISREG(info.st_mode)) {
    return NoCheckpoint("there is no file " + path.substr(path.rfind('/') + 1));
  }
  return base::ReadAll(file.get(), kMostDocument, path);
}

Status CheckOwner(const std::string& path) {
  const base::UniqueFd file(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
  struct stat info {};
  if (!file || ::fstat(file.get(), &info) != 0) return base::ErrnoError("open it");
  if (!S_ISREG(info.st_mode)) return base::InvalidArgument("it is no regular file");
  if (info.st_uid != 0 || (info.st_mode & (S_IWGRP | S_IWOTH)) != 0) {
    return {Code::kPermissionDenied,
            "it must belong to root and be writable to nobody else: processes are restored with the privileges that "
            "are written in it"};
  }
  return base::Ok();
}

}  // namespace

std::string WriteCheckpointConfig(const CheckpointConfig& config) {
  return base::JsonText({{"id", config.id},
                         {"name", config.name},
                         {"rootfsImage", config.image},
                         {"rootfsImageRef", config.image_id},
                         {"rootfsImageName", config.image},
                         {"runtime", config.runtime},
                         {"createdTime", nspawn::FormatLogTime(config.created_at)},
                         {"checkpointedTime", nspawn::FormatLogTime(config.checkpointed_at)},
                         {"restoredTime", "0001-01-01T00:00:00Z"},
                         {"restored", false}});
}

Result<CheckpointConfig> ParseCheckpointConfig(const std::string& json) {
  const auto parse = [&]() -> Result<CheckpointConfig> {
    ASSIGN_OR_RETURN(const Json document, base::ParseJsonObject(json));
    CheckpointConfig config;
    ASSIGN_OR_RETURN(config.id, base::StringMember(document, "id"));
    ASSIGN_OR_RETURN(config.name, base::StringMember(document, "name"));
    ASSIGN_OR_RETURN(config.image, base::StringMember(document, "rootfsImageName"));
    ASSIGN_OR_RETURN(config.image_id, base::StringMember(document, "rootfsImageRef"));
    ASSIGN_OR_RETURN(config.runtime, base::StringMember(document, "runtime"));
    return config;
  };
  auto config = parse();
  if (!config.ok()) return NoCheckpoint(std::string(kConfigFile) + ": " + config.error().message());
  return config;
}

std::string WriteStreamNames(const nspawn::StreamNames& streams) {
  Json names = Json::array();
  for (const std::string& name : streams) names.push_back(name);
  return base::JsonText(names);
}

Result<nspawn::StreamNames> ParseStreamNames(const std::string& json) {
  const auto document = base::ParseJson(json);
  if (!document.ok()) return NoCheckpoint(std::string(kStreamsFile) + ": " + document.error().message());
  nspawn::StreamNames streams;
  if (!document->is_array() || document->size() != streams.size()) {
    return NoCheckpoint(std::string(kStreamsFile) + " does not name three streams");
  }
  for (size_t i = 0; i < streams.size(); ++i) {
    const Json& name = (*document)[i];
    if (!name.is_string() || !nspawn::IsStreamName(name.get_ref<const std::string&>())) {
      return NoCheckpoint(std::string(kStreamsFile) + " has a name that is none of a stream");
    }
    streams[i] = name.get_ref<const std::string&>();
  }
  return streams;
}

std::string WriteCheckpointSpec(const ContainerRecord& record, const SandboxRecord& sandbox) {
  const v1::ContainerConfig& config = record.config();
  const v1::PodSandboxMetadata& pod = sandbox.config().metadata();
  Json arguments = Json::array();
  for (const std::string& word : config.command()) arguments.push_back(word);
  for (const std::string& word : config.args()) arguments.push_back(word);
  Json mounts = Json::array();
  for (const v1::Mount& mount : config.mounts()) {
    mounts.push_back({{"destination", mount.container_path()},
                      {"source", mount.host_path()},
                      {"type", "bind"},
                      {"options", Json::array({mount.readonly() ? "ro" : "rw"})}});
  }
  return base::JsonText({{"ociVersion", "1.1.0"},
                         {"hostname", sandbox.hostname()},
                         {"process", {{"args", arguments}, {"cwd", config.working_dir()}}},
                         {"mounts", mounts},
                         {"annotations",
                          {{"io.kubernetes.cri.container-type", "container"},
                           {"io.kubernetes.cri.container-name", config.metadata().name()},
                           {"io.kubernetes.cri.image-name", config.image().image()},
                           {"io.kubernetes.cri.sandbox-id", sandbox.id()},
                           {"io.kubernetes.cri.sandbox-name", pod.name()},
                           {"io.kubernetes.cri.sandbox-namespace", pod.namespace_()},
                           {"io.kubernetes.cri.sandbox-uid", pod.uid()}}}});
}

Status PackCheckpoint(const std::string& directory, const ContainerRecord& record, const SandboxRecord& sandbox,
                      const nspawn::StreamNames& streams, const std::string& path) {
  const std::string images = directory + "/" + kCheckpointImages;
  ASSIGN_OR_RETURN(const std::vector<std::string> files, ImageFiles(images));
  const size_t slash = path.rfind('/');
  // One name for each archive: what a crash left is overwritten by the next attempt.
  const std::string part = path.substr(0, slash + 1) + "." + path.substr(slash + 1) + ".part";
  RETURN_IF_ERROR(base::RemoveTree(part));
  const auto write = [&]() -> Status {
    ASSIGN_OR_RETURN(const auto tar, image::TarFile::Create(part));
    CheckpointConfig config;
    config.id = record.id();
    config.name = record.config().metadata().name();
    config.image = ImageName(record.config().image());
    config.image_id = record.image_id();
    config.runtime = kCheckpointRuntime;
    config.created_at = record.created_at();
    struct stat taken {};
    if (::stat(images.c_str(), &taken) == 0) config.checkpointed_at = taken.st_mtim.tv_sec * 1'000'000'000LL;
    // What tells about the rest comes first.
    RETURN_IF_ERROR(tar->AddText(kConfigFile, WriteCheckpointConfig(config)));
    RETURN_IF_ERROR(tar->AddText(kSpecFile, WriteCheckpointSpec(record, sandbox)));
    for (const char* report : kReports) {
      if (std::find(files.begin(), files.end(), report) == files.end()) continue;
      RETURN_IF_ERROR(tar->AddFile(report, images + "/" + report));
    }
    RETURN_IF_ERROR(tar->AddDirectory(kCheckpointImages));
    RETURN_IF_ERROR(tar->AddText(std::string(kCheckpointImages) + "/" + kStreamsFile, WriteStreamNames(streams)));
    for (const std::string& file : files) {
      if (std::find(std::begin(kReports), std::end(kReports), file) != std::end(kReports)) continue;
      RETURN_IF_ERROR(tar->AddFile(std::string(kCheckpointImages) + "/" + file, images + "/" + file));
    }
    RETURN_IF_ERROR(tar->AddFile(kCheckpointLayer, directory + "/" + kCheckpointLayer));
    struct stat log {};
    if (!record.log_path().empty() && ::stat(record.log_path().c_str(), &log) == 0) {
      RETURN_IF_ERROR(tar->AddFile("container.log", record.log_path()));
    }
    RETURN_IF_ERROR(tar->Finish());
    if (::rename(part.c_str(), path.c_str()) != 0) return base::ErrnoError("rename to " + path);
    return base::SyncDirectory(slash == 0 ? "/" : path.substr(0, slash));
  };
  Status written = write().Wrap("write the checkpoint " + path);
  if (!written.ok()) (void)base::RemoveTree(part);
  return written;
}

bool IsCheckpoint(const std::string& image) {
  return image.starts_with('/');
}

Result<Checkpoint> UnpackCheckpoint(const std::string& path, const std::string& directory) {
  const auto unpack = [&]() -> Result<Checkpoint> {
    if (path.find('\0') != std::string::npos) return base::InvalidArgument("the path holds a NUL");
    RETURN_IF_ERROR(CheckOwner(path));
    RETURN_IF_ERROR(image::UnpackArchive(path, directory, kCheckpointBounds, std::stop_token()));
    // The archive may have given its root another mode.
    if (::chmod(directory.c_str(), 0700) != 0 || ::chown(directory.c_str(), 0, 0) != 0) {
      return base::ErrnoError("close " + directory);
    }
    Checkpoint checkpoint;
    ASSIGN_OR_RETURN(const std::string config, ReadDocument(directory + "/" + kConfigFile));
    ASSIGN_OR_RETURN(checkpoint.config, ParseCheckpointConfig(config));
    if (checkpoint.config.runtime != kCheckpointRuntime) {
      return Error(Code::kFailedPrecondition, "it was taken by the runtime \"" +
                                                  base::Printable(checkpoint.config.runtime, 64) +
                                                  "\"; only checkpoints of cri-nspawn can be restored");
    }
    const std::string images = directory + "/" + kCheckpointImages;
    struct stat info {};
    if (::lstat(images.c_str(), &info) != 0 || !S_ISDIR(info.st_mode)) {
      return NoCheckpoint("there is no directory checkpoint");
    }
    RETURN_IF_ERROR(ImageFiles(images));
    ASSIGN_OR_RETURN(const std::string streams, ReadDocument(images + "/" + kStreamsFile));
    ASSIGN_OR_RETURN(checkpoint.streams, ParseStreamNames(streams));
    if (::lstat((directory + "/" + kCheckpointLayer).c_str(), &info) != 0 || !S_ISREG(info.st_mode)) {
      return NoCheckpoint(std::string("there is no file ") + kCheckpointLayer);
    }
    return checkpoint;
  };
  return unpack().Wrap("checkpoint " + base::Printable(path, 300));
}

}  // namespace cri
