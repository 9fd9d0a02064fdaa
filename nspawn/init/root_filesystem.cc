#include "nspawn/init/root_filesystem.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <utility>
#include <vector>

#include "base/files.h"
#include "base/text.h"
#include "nspawn/init/host_tree.h"
#include "nspawn/init/steps.h"
#include "nspawn/process/mount_api.h"

namespace nspawn {
namespace {

using base::Result;
using base::Status;
using base::UniqueFd;

// A file system of short names for directories of layers: the options of mount(2) end after a page, which 127 names of
// digests would not fit, and a name may hold characters that mean something in them.
class Names {
 public:
  explicit Names(int directory) : directory_(directory) {}

  // Puts the trees that hold the layers in their places and makes an empty directory beside them.
  Status Fill(HostTree& tree) {
    RETURN_IF_ERROR(Place(std::move(tree.layers), "l"));
    RETURN_IF_ERROR(Place(std::move(tree.writable), "w"));
    return MakeDirectory(kEmpty);
  }

  Status MakeDirectory(const std::string& name) const {
    if (::mkdirat(directory_, name.c_str(), 0700) != 0) return base::ErrnoError("make a directory for mounting");
    return base::Ok();
  }

  Status Link(const std::string& target, const std::string& name) const {
    if (::symlinkat(target.c_str(), directory_, name.c_str()) != 0) return base::ErrnoError("link " + target);
    return base::Ok();
  }

  // The option "lowerdir" for layers that are given lowest first, relative to the tree of all layers. `prefix` tells
  // the names of one overlay from those of others.
  Result<std::string> LowerOption(const std::vector<std::string>& layers, const std::string& prefix) const {
    std::string option = "lowerdir=";
    for (size_t i = layers.size(); i > 0; --i) {
      const std::string name = prefix + std::to_string(i - 1);
      RETURN_IF_ERROR(Link("l/" + layers[i - 1], name));
      option += name;
      if (i > 1) option += ':';
    }
    return option;
  }

  static constexpr const char* kEmpty = "e";

 private:
  Status Place(UniqueFd tree, const std::string& name) const {
    RETURN_IF_ERROR(MakeDirectory(name));
    const UniqueFd point(::openat(directory_, name.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!point) return base::ErrnoError("open a directory for mounting");
    return AttachMount(tree.get(), point.get());
  }

  int directory_;
};

// Mounts an overlay at `target`, relative to the working directory. `label` is SELinux', or empty.
Status MountOverlay(const std::string& target, unsigned long flags, const std::string& options, size_t layers,
                    const std::string& label) {
  std::string all = options;
  // The quotes are for the commas of a label's categories.
  if (!label.empty()) all += ",context=\"" + label + "\"";
  if (::mount("overlay", target.c_str(), "overlay", flags, all.c_str()) != 0) {
    return base::ErrnoError("mount the overlay of " + std::to_string(layers) + " layers");
  }
  return base::Ok();
}

// `number` tells volumes apart.
Result<UniqueFd> MountImageVolume(const Names& names, const Mount& mount, const std::vector<std::string>& layers,
                                  size_t number, const std::string& label) {
  std::string name = "v" + std::to_string(number);
  RETURN_IF_ERROR(names.MakeDirectory(name));
  ASSIGN_OR_RETURN(std::string options, names.LowerOption(layers, name + "-"));
  // An overlay without a writable layer needs two others; and in a layer by itself whiteouts would be seen.
  options += ":";
  options += Names::kEmpty;
  RETURN_IF_ERROR(MountOverlay(name, MS_RDONLY | MS_NODEV, options, layers.size(), label));
  const UniqueFd root(::open(name.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!root) return base::ErrnoError("open the volume");
  Result<UniqueFd> source = base::OpenInRoot(root.get(), "/" + mount.image_sub_path, O_PATH);
  const std::string sub_path = "sub path \"" + base::Printable(mount.image_sub_path, 256) + "\" of the image";
  struct stat info {};
  if (!source.ok()) {
    const int error = source.error().number();
    if (error == ENOENT || error == ENOTDIR) return base::NotFound(sub_path + " does not exist");
    if (error == ELOOP) return base::InvalidArgument(sub_path + " leads through a loop of symbolic links");
    return std::move(source).Wrap(sub_path);
  }
  if (::fstat(source->get(), &info) != 0) return base::ErrnoError("stat the " + sub_path);
  if (!S_ISDIR(info.st_mode) && !S_ISREG(info.st_mode)) {
    return base::InvalidArgument(sub_path + " is neither a directory nor a regular file");
  }
  return CloneMount(source->get(), "", false);
}

// Mounts the overlay at `mount_point` and gives its root. Image volumes become members of HostTree::mounts, detached:
// each the overlay of an image's layers, read-only, or what its sub path names inside of that.
Result<UniqueFd> MountImages(const ProcessSpec& spec, HostTree& tree, const std::string& mount_point) {
  ASSIGN_OR_RETURN(const UniqueFd directory, NewFilesystem("tmpfs", {{"mode", "0700"}}, MOUNT_ATTR_NOSUID));
  {
    const UniqueFd point(::open(mount_point.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (!point) return base::ErrnoError("open " + mount_point);
    RETURN_IF_ERROR(AttachMount(directory.get(), point.get()));
  }
  Names names(directory.get());
  RETURN_IF_ERROR(names.Fill(tree));
  if (::fchdir(directory.get()) != 0) return base::ErrnoError("enter the directory of the layers");
  for (size_t i = 0; i < tree.image_layers.size(); ++i) {
    if (tree.image_layers[i].empty()) continue;
    const Mount& mount = spec.mounts[i];
    Result<UniqueFd> volume = MountImageVolume(names, mount, tree.image_layers[i], i, spec.selinux_mount_label);
    if (!volume.ok()) {
      return std::move(volume).Wrap("mount image " + base::Printable(mount.source) + " at " +
                                    base::Printable(mount.destination));
    }
    tree.mounts[i] = *std::move(volume);
  }

  const size_t layers = tree.layer_directories.size();
  RETURN_IF_ERROR(names.Link("w/" + tree.upper_directory, "upper"));
  RETURN_IF_ERROR(names.Link("w/" + tree.work_directory, "work"));
  ASSIGN_OR_RETURN(const std::string lower, names.LowerOption(tree.layer_directories, ""));
  RETURN_IF_ERROR(MountOverlay(mount_point, 0, "upperdir=upper,workdir=work,index=off,metacopy=off," + lower, layers,
                               spec.selinux_mount_label)
                      .Wrap("root filesystem"));
  UniqueFd root(::open(mount_point.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!root) return base::ErrnoError("open the root filesystem");
  return root;
}

}  // namespace

Result<RootFilesystem> MakeRootFilesystem(const ProcessSpec& spec, int proc, const IdMaps& maps,
                                          const std::string& mount_point) {
  RootFilesystem made;
  ASSIGN_OR_RETURN(made.own, MakeFilesystems(spec));
  StepDone("make file systems");
  // Nothing may spread from here to the namespace of the unit's neighbours, nor later come in.
  if (::mount(nullptr, "/", nullptr, MS_PRIVATE | MS_REC, nullptr) != 0) return base::ErrnoError("make mounts private");
  const UniqueFd own_namespace(::openat(proc, "self/ns/mnt", O_RDONLY | O_CLOEXEC));
  if (!own_namespace) return base::ErrnoError("open the mount namespace");
  ASSIGN_OR_RETURN(HostTree tree, TakeFromHost({.spec = spec,
                                                .proc = proc,
                                                .own = own_namespace.get(),
                                                .device_tree = made.own.devices.get(),
                                                .maps = maps}));
  StepDone("take mounts from the host");
  ASSIGN_OR_RETURN(made.root, MountImages(spec, tree, mount_point));
  StepDone("mount the image");
  RETURN_IF_ERROR(MountAll(spec, made.root.get(), made.own, tree));
  StepDone("mount the rest");
  return made;
}

Status MakeReadOnly(int root) {
  return ChangeMount(root, MOUNT_ATTR_RDONLY, 0, false).Wrap("make the root filesystem read-only");
}

Status EnterBundle(const std::string& path) {
  const std::string doing = "enter the bundle";
  if (::unshare(CLONE_NEWNS) != 0) return base::ErrnoError("make a mount namespace");
  if (::mount(nullptr, "/", nullptr, MS_PRIVATE | MS_REC, nullptr) != 0) return base::ErrnoError("make mounts private");
  ASSIGN_OR_RETURN(const UniqueFd root, CloneMount(AT_FDCWD, path, false).Wrap(doing));
  const UniqueFd point(::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!point) return base::ErrnoError(doing);
  RETURN_IF_ERROR(AttachMount(root.get(), point.get()).Wrap(doing));
  return EnterRoot(root.get()).Wrap(doing);
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
