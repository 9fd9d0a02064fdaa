#include "cri/container_mounts.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>

#include "base/files.h"

namespace cri {
namespace {

using base::InvalidArgument;

bool HasNul(const std::string& text) {
  return text.find('\0') != std::string::npos;
}

base::Result<nspawn::Mount> MakeMount(const v1::Mount& mount) {
  const std::string where = "mount at \"" + mount.container_path() + "\"";
  if (mount.container_path().empty() || HasNul(mount.container_path())) {
    return InvalidArgument(where + ": the container path is empty or holds a NUL");
  }
  if (mount.has_image())
    return base::Error(base::Code::kUnimplemented, where + ": image volumes are not supported yet");
  if (!mount.uidmappings().empty() || !mount.gidmappings().empty()) {
    return base::Error(base::Code::kUnimplemented, where + ": id mappings on mounts are not supported yet");
  }
  if (mount.host_path().empty() || mount.host_path().front() != '/' || HasNul(mount.host_path())) {
    return InvalidArgument(where + ": host path \"" + mount.host_path() + "\" is not absolute");
  }
  if (mount.recursive_read_only()) {
    if (!mount.readonly()) return InvalidArgument(where + ": recursive_read_only needs readonly");
    if (mount.propagation() != v1::PROPAGATION_PRIVATE) {
      return InvalidArgument(where + ": recursive_read_only needs private propagation");
    }
  }
  // A missing host path is made, as peers do and charts rely on.
  struct stat info {};
  if (::stat(mount.host_path().c_str(), &info) != 0) {
    if (errno != ENOENT) return base::ErrnoError(where + ": host path " + mount.host_path());
    RETURN_IF_ERROR(base::MakeDirectories(mount.host_path(), 0755).Wrap(where));
  }
  nspawn::Mount result;
  result.source = mount.host_path();
  result.destination = mount.container_path();
  result.read_only = mount.readonly();
  result.recursive_read_only = mount.recursive_read_only();
  result.propagation = mount.propagation() == v1::PROPAGATION_BIDIRECTIONAL ? nspawn::Propagation::kBidirectional
                       : mount.propagation() == v1::PROPAGATION_HOST_TO_CONTAINER
                           ? nspawn::Propagation::kHostToContainer
                           : nspawn::Propagation::kPrivate;
  return result;
}

}  // namespace

base::Status AddMounts(const ContainerSources& sources, nspawn::ContainerSpec& spec) {
  const v1::ContainerConfig& config = sources.record.config();
  const auto taken = [&](const std::string& destination) {
    return std::any_of(config.mounts().begin(), config.mounts().end(), [&](const v1::Mount& mount) {
      return std::filesystem::path(mount.container_path()).lexically_normal() == destination;
    });
  };
  for (const char* name : {"hostname", "hosts", "resolv.conf"}) {
    nspawn::Mount mount;
    mount.source = sources.sandbox_files + "/" + name;
    mount.destination = std::string("/etc/") + name;
    mount.read_only = config.linux().security_context().readonly_rootfs();
    if (!taken(mount.destination)) spec.process.mounts.push_back(std::move(mount));
  }
  for (const v1::Mount& mount : config.mounts()) {
    ASSIGN_OR_RETURN(nspawn::Mount made, MakeMount(mount));
    spec.process.mounts.push_back(std::move(made));
  }
  return base::Ok();
}

}  // namespace cri
