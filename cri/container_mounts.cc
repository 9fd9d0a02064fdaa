#include "cri/container_mounts.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <set>

#include "base/files.h"
#include "base/text.h"
#include "cri/user_namespace.h"

namespace cri {
namespace {

using base::InvalidArgument;

bool HasNul(const std::string& text) {
  return text.find('\0') != std::string::npos;
}

// `path` is normal.
bool IsMountedOver(const v1::ContainerConfig& config, const std::string& path) {
  return std::any_of(config.mounts().begin(), config.mounts().end(), [&](const v1::Mount& mount) {
    std::string destination = std::filesystem::path(mount.container_path()).lexically_normal();
    if (destination.size() > 1 && destination.back() == '/') destination.pop_back();
    return destination == path;
  });
}

// An image volume is read-only and private whatever else the mount says.
base::Result<nspawn::Mount> MakeImageMount(const v1::Mount& mount, const std::string& where,
                                           const image::Image& image) {
  if (!mount.host_path().empty()) return InvalidArgument(where + ": it has both an image and a host path");
  if (image.layer_directories.empty()) {
    return base::Error(base::Code::kFailedPrecondition,
                       where + ": image \"" + mount.image().image() + "\" has no layers");
  }
  const auto parts = base::Split(mount.image_sub_path(), '/');
  if (HasNul(mount.image_sub_path()) || std::find(parts.begin(), parts.end(), "..") != parts.end()) {
    return InvalidArgument(where + ": sub path \"" + mount.image_sub_path() + "\" leads out of the image");
  }
  nspawn::Mount result;
  result.source = mount.image().image();
  result.destination = mount.container_path();
  result.read_only = true;
  result.image_layers = image.layer_directories;
  result.image_sub_path = mount.image_sub_path();
  return result;
}

// `image` is the volume's, null for a host path.
base::Result<nspawn::Mount> MakeMount(const v1::Mount& mount, const image::Image* image) {
  const std::string where = "mount at \"" + mount.container_path() + "\"";
  if (mount.container_path().empty() || HasNul(mount.container_path())) {
    return InvalidArgument(where + ": the container path is empty or holds a NUL");
  }
  if (image != nullptr) return MakeImageMount(mount, where, *image);
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
  if (mount.uidmappings().empty() != mount.gidmappings().empty()) {
    return InvalidArgument(where + ": it has id mappings of users or of groups only; both are needed");
  }
  ASSIGN_OR_RETURN(result.uid_mappings, MakeIdMappings(mount.uidmappings()));
  ASSIGN_OR_RETURN(result.gid_mappings, MakeIdMappings(mount.gidmappings()));
  return result;
}

// The volumes that the image itself names, unless something of the container is mounted there.
base::Status AddImageVolumes(const ContainerSources& sources, nspawn::ContainerSpec& spec) {
  constexpr size_t kMost = 256;
  std::set<std::string> volumes;
  for (const std::string& volume : sources.image.config.volumes) {
    std::string path = std::filesystem::path(volume).lexically_normal();
    if (path.size() > 1 && path.back() == '/') path.pop_back();
    if (path.size() < 2 || path.front() != '/' || HasNul(path)) continue;  // never a directory of the image
    if (!IsMountedOver(sources.record.config(), path)) volumes.insert(path);
  }
  if (volumes.size() > kMost) return InvalidArgument("the image names more than 256 volumes");
  spec.process.image_volumes.assign(volumes.begin(), volumes.end());
  return base::Ok();
}

}  // namespace

base::Status AddMounts(const ContainerSources& sources, nspawn::ContainerSpec& spec) {
  RETURN_IF_ERROR(AddImageVolumes(sources, spec));
  const v1::ContainerConfig& config = sources.record.config();
  for (const char* name : {"hostname", "hosts", "resolv.conf"}) {
    nspawn::Mount mount;
    mount.source = sources.sandbox_files + "/" + name;
    mount.destination = std::string("/etc/") + name;
    mount.read_only = config.linux().security_context().readonly_rootfs();
    if (!IsMountedOver(config, mount.destination)) spec.process.mounts.push_back(std::move(mount));
  }
  for (int i = 0; i < config.mounts_size(); ++i) {
    const auto image = sources.image_volumes.find(i);
    ASSIGN_OR_RETURN(nspawn::Mount made,
                     MakeMount(config.mounts(i), image == sources.image_volumes.end() ? nullptr : &image->second));
    // Its mounts are copies of the node's: they take in what comes there, and give nothing back.
    if (made.propagation == nspawn::Propagation::kBidirectional && !spec.process.uid_mappings.empty()) {
      return InvalidArgument("mount at \"" + made.destination +
                             "\": bidirectional propagation is not possible in a pod with a user namespace");
    }
    spec.process.mounts.push_back(std::move(made));
  }
  return base::Ok();
}

}  // namespace cri
