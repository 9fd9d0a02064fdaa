#include "nspawn/init/root_filesystem.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <string>

#include "nspawn/process/mount_api.h"

namespace nspawn {
namespace {

using base::Result;
using base::Status;
using base::UniqueFd;

constexpr const char* kMountPoint = "/rootfs";

// Makes short names for the layers in a directory of its own: the options of mount(2) end after a page, which 127 names
// of digests would not fit, and a name may hold characters that mean something in them.
Status MakeShortNames(int directory, HostTree& tree) {
  if (::mkdirat(directory, "l", 0700) != 0) return base::ErrnoError("make a directory for the layers");
  const UniqueFd point(::openat(directory, "l", O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!point) return base::ErrnoError("open the directory for the layers");
  RETURN_IF_ERROR(AttachMount(tree.layers.get(), point.get()));
  tree.layers.reset();
  const auto link = [&](const std::string& target, const std::string& name) -> Status {
    if (::symlinkat(("l/" + target).c_str(), directory, name.c_str()) != 0) return base::ErrnoError("link " + target);
    return base::Ok();
  };
  for (size_t i = 0; i < tree.layer_directories.size(); ++i) {
    RETURN_IF_ERROR(link(tree.layer_directories[i], std::to_string(i)));
  }
  RETURN_IF_ERROR(link(tree.upper_directory, "u"));
  return link(tree.work_directory, "w");
}

}  // namespace

Result<UniqueFd> MountRoot(HostTree& tree) {
  if (tree.layer_directories.empty()) return base::InvalidArgument("the image has no layers");
  ASSIGN_OR_RETURN(const UniqueFd names, NewFilesystem("tmpfs", {{"mode", "0700"}}, MOUNT_ATTR_NOSUID));
  {
    const UniqueFd point(::open(kMountPoint, O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!point) return base::ErrnoError(std::string("open ") + kMountPoint);
    RETURN_IF_ERROR(AttachMount(names.get(), point.get()));
  }
  RETURN_IF_ERROR(MakeShortNames(names.get(), tree));
  if (::fchdir(names.get()) != 0) return base::ErrnoError("enter the directory of the layers");
  std::string options = "upperdir=u,workdir=w,index=off,metacopy=off,lowerdir=";
  // The uppermost comes first.
  for (size_t i = tree.layer_directories.size(); i > 0; --i) {
    options += std::to_string(i - 1);
    if (i > 1) options += ':';
  }
  if (::mount("overlay", kMountPoint, "overlay", 0, options.c_str()) != 0) {
    return base::ErrnoError("mount the overlay of " + std::to_string(tree.layer_directories.size()) + " layers");
  }
  UniqueFd root(::open(kMountPoint, O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!root) return base::ErrnoError("open the root filesystem");
  return root;
}

Status EnterRoot(int root) {
  const UniqueFd old(::open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!old || ::fchdir(root) != 0) return base::ErrnoError("enter the root filesystem");
  // Both at one place: the old root comes to lie on top of the new one, whence it is taken away.
  if (::syscall(SYS_pivot_root, ".", ".") != 0) return base::ErrnoError("pivot_root");
  if (::fchdir(old.get()) != 0 || ::umount2(".", MNT_DETACH) != 0) return base::ErrnoError("let go of the old root");
  if (::chdir("/") != 0) return base::ErrnoError("enter the new root");
  return base::Ok();
}

}  // namespace nspawn
