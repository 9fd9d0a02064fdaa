#include "nspawn/writable_layer.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <string>

#include "base/fd.h"
#include "base/files.h"
#include "base/text.h"
#include "nspawn/process/user_namespace.h"

namespace nspawn {
namespace {

using base::Status;
using base::UniqueFd;

constexpr size_t kMostXattrBytes = 65536;

Status CopyUserXattrs(int from, int to) {
  std::string names(kMostXattrBytes, '\0');
  const ssize_t length = ::flistxattr(from, names.data(), names.size());
  if (length < 0) return errno == ENOTSUP ? base::Ok() : Status(base::ErrnoError("list extended attributes"));
  names.resize(static_cast<size_t>(length));
  for (const std::string_view text : base::Split(names, '\0')) {
    // Those would steer the overlay.
    if (!text.starts_with("user.") || text.starts_with("user.overlay.")) continue;
    const std::string name(text);
    std::string value(kMostXattrBytes, '\0');
    const ssize_t size = ::fgetxattr(from, name.c_str(), value.data(), value.size());
    if (size < 0 || ::fsetxattr(to, name.c_str(), value.data(), static_cast<size_t>(size), 0) != 0) {
      return base::ErrnoError("copy an extended attribute");
    }
  }
  return base::Ok();
}

// A layer that is missing is for whoever mounts it to tell.
Status CopyRoot(const ProcessSpec& spec, int upper) {
  if (spec.layer_directories.empty()) return base::Ok();
  const std::string& layer = spec.layer_directories.back();
  const UniqueFd from(::open(layer.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  struct stat info {};
  if (!from && errno == ENOENT) return base::Ok();
  if (!from || ::fstat(from.get(), &info) != 0) return base::ErrnoError("open " + layer);
  Owner owner{info.st_uid, info.st_gid};
  if (HasUserNamespace(spec)) {
    const Owner root = RootOwner(spec);
    owner = {ToHostId(spec.uid_mappings, info.st_uid).value_or(root.uid),
             ToHostId(spec.gid_mappings, info.st_gid).value_or(root.gid)};
  }
  if (::fchown(upper, owner.uid, owner.gid) != 0) return base::ErrnoError("set owner");
  if (::fchmod(upper, info.st_mode & 07777) != 0) return base::ErrnoError("set mode");
  RETURN_IF_ERROR(CopyUserXattrs(from.get(), upper));
  const std::array<timespec, 2> times = {info.st_mtim, info.st_mtim};
  if (::futimens(upper, times.data()) != 0) return base::ErrnoError("set time");
  return base::Ok();
}

}  // namespace

Status MakeWritableLayer(const ProcessSpec& spec) {
  if (!spec.work_directory.empty()) RETURN_IF_ERROR(base::MakeDirectories(spec.work_directory, 0700));
  if (spec.upper_directory.empty()) return base::Ok();
  struct stat info {};
  const bool there = ::lstat(spec.upper_directory.c_str(), &info) == 0;
  RETURN_IF_ERROR(base::MakeDirectories(spec.upper_directory, 0755));
  // A checkpoint's, or a service's that is installed again.
  if (there) return base::Ok();
  const UniqueFd upper(::open(spec.upper_directory.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!upper) return base::ErrnoError("open " + spec.upper_directory);
  const Owner root = RootOwner(spec);
  if (HasUserNamespace(spec) && ::fchown(upper.get(), root.uid, root.gid) != 0) {
    return base::ErrnoError("giving " + spec.upper_directory + " to the container's root");
  }
  return CopyRoot(spec, upper.get()).Wrap("make the root directory in " + spec.upper_directory);
}

Status RemoveWritableLayer(const ProcessSpec& spec) {
  for (const std::string& directory : {spec.work_directory, spec.upper_directory}) {
    if (!directory.empty()) RETURN_IF_ERROR(base::RemoveTree(directory));
  }
  return base::Ok();
}

}  // namespace nspawn
