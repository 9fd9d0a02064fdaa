#include "nspawn/init/id_maps.h"

#include <fcntl.h>

#include <algorithm>
#include <utility>

#include "base/text.h"
#include "nspawn/process/namespaces.h"
#include "nspawn/process/user_namespace.h"

namespace nspawn {
namespace {

using base::Result;
using base::UniqueFd;

bool Same(const std::vector<IdMapping>& a, const std::vector<IdMapping>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const IdMapping& x, const IdMapping& y) {
    return x.host_id == y.host_id && x.container_id == y.container_id && x.length == y.length;
  });
}

bool IsMapped(const Mount& mount) {
  return !mount.uid_mappings.empty() || !mount.gid_mappings.empty();
}

Result<UniqueFd> Duplicate(const UniqueFd& fd) {
  UniqueFd copy(::fcntl(fd.get(), F_DUPFD_CLOEXEC, 3));
  if (!copy) return base::ErrnoError("duplicate a descriptor");
  return copy;
}

// The mapping of mount `index`: most often that of the pod or of an earlier mount.
Result<UniqueFd> MapOf(int proc, const ProcessSpec& spec, const IdMaps& maps, size_t index) {
  const Mount& mount = spec.mounts[index];
  if (maps.pod && Same(mount.uid_mappings, spec.uid_mappings) && Same(mount.gid_mappings, spec.gid_mappings)) {
    return Duplicate(maps.pod);
  }
  for (size_t i = 0; i < index; ++i) {
    const Mount& earlier = spec.mounts[i];
    if (maps.mounts[i] && Same(mount.uid_mappings, earlier.uid_mappings) &&
        Same(mount.gid_mappings, earlier.gid_mappings)) {
      return Duplicate(maps.mounts[i]);
    }
  }
  return MakeUserNamespace(proc, mount.uid_mappings, mount.gid_mappings)
      .Wrap("id mappings of the mount at " + base::Printable(mount.destination));
}

}  // namespace

Result<IdMaps> OpenIdMaps(int proc, const ProcessSpec& spec) {
  IdMaps maps;
  if (HasUserNamespace(spec)) {
    ASSIGN_OR_RETURN(maps.pod, OpenNamespace(proc, spec.user_namespace.pid, "user", spec.user_namespace.inode));
  }
  for (size_t i = 0; i < spec.mounts.size(); ++i) {
    UniqueFd map;
    if (IsMapped(spec.mounts[i])) {
      ASSIGN_OR_RETURN(map, MapOf(proc, spec, maps, i));
    }
    maps.mounts.push_back(std::move(map));
  }
  return maps;
}

}  // namespace nspawn
