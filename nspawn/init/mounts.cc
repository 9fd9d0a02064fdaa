#include "nspawn/init/mounts.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <linux/mount.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/files.h"
#include "base/text.h"
#include "nspawn/init/devices.h"
#include "nspawn/process/mount_api.h"
#include "nspawn/process/root_path.h"
#include "nspawn/process/user_namespace.h"

namespace nspawn {
namespace {

using base::Code;
using base::Error;
using base::Result;
using base::Status;
using base::UniqueFd;

constexpr uint64_t kNoExecution = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;

// Files of /proc that a volume may cover: what LXCFS stands in for. Everything else there would let an image or a
// volume fake or unmask what the kernel says.
constexpr std::string_view kCoverableProcFiles[] = {"proc/cpuinfo", "proc/diskstats", "proc/loadavg",
                                                    "proc/meminfo", "proc/slabinfo",  "proc/stat",
                                                    "proc/swaps",   "proc/uptime",    "proc/net/dev"};

// A directory right below the root. Links are refused: /proc and its like must be where everybody looks for them.
Result<UniqueFd> MakeTopDirectory(int root, const char* name, Owner owner) {
  const bool made = ::mkdirat(root, name, 0755) == 0;
  if (!made && errno != EEXIST) return base::ErrnoError(std::string("make /") + name);
  if (made && ::fchownat(root, name, owner.uid, owner.gid, AT_SYMLINK_NOFOLLOW) != 0) {
    return base::ErrnoError(std::string("give away /") + name);
  }
  UniqueFd directory(::openat(root, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!directory) {
    if (errno == ENOTDIR || errno == ELOOP) {
      return base::InvalidArgument(std::string("/") + name + " of the image is not a directory");
    }
    return base::ErrnoError(std::string("open /") + name);
  }
  return directory;
}

Status MountAt(int mount, int directory, const char* name) {
  const UniqueFd target(::openat(directory, name, O_PATH | O_NOFOLLOW | O_CLOEXEC));
  if (!target) return base::ErrnoError(std::string("open the mount point ") + name);
  return AttachMount(mount, target.get()).Wrap(name);
}

Status MountSystem(int root, Owner owner, OwnFilesystems& own, HostTree& tree) {
  ASSIGN_OR_RETURN(const UniqueFd proc, MakeTopDirectory(root, "proc", owner));
  RETURN_IF_ERROR(AttachMount(own.proc.get(), proc.get()).Wrap("/proc"));

  ASSIGN_OR_RETURN(const UniqueFd dev, MakeTopDirectory(root, "dev", owner));
  RETURN_IF_ERROR(AttachMount(own.devices.get(), dev.get()).Wrap("/dev"));
  RETURN_IF_ERROR(MountAt(own.terminals.get(), own.devices.get(), "pts"));
  RETURN_IF_ERROR(MountAt(own.message_queues.get(), own.devices.get(), "mqueue"));
  const int memory = tree.shared_memory ? tree.shared_memory.get() : own.shared_memory.get();
  RETURN_IF_ERROR(MountAt(memory, own.devices.get(), "shm"));

  for (const BoundDevice& device : tree.devices) {
    RETURN_IF_ERROR(MountAt(device.mount.get(), own.devices.get(), device.path.c_str()));
  }

  ASSIGN_OR_RETURN(const UniqueFd sys, MakeTopDirectory(root, "sys", owner));
  RETURN_IF_ERROR(AttachMount(own.sys.get(), sys.get()).Wrap("/sys"));
  return MountAt(tree.cgroup ? tree.cgroup.get() : own.cgroup.get(), own.sys.get(), "fs/cgroup");
}

bool IsCoverable(std::string_view path) {
  return std::find(std::begin(kCoverableProcFiles), std::end(kCoverableProcFiles), path) !=
         std::end(kCoverableProcFiles);
}

Status MountVolume(int root, Owner owner, int clone, const Mount& mount) {
  struct stat source {};
  if (::fstat(clone, &source) != 0) return base::ErrnoError("stat the source");
  const PathKind kind = S_ISDIR(source.st_mode) ? PathKind::kDirectory : PathKind::kFile;
  const std::string clean = CleanPath(mount.destination);
  if (clean.empty()) return base::InvalidArgument("the root directory cannot be mounted over");
  ASSIGN_OR_RETURN(const UniqueFd target, OpenOrCreateInRoot(root, "/" + clean, kind, owner));
  ASSIGN_OR_RETURN(const int64_t target_type, FilesystemType(target.get()));
  ASSIGN_OR_RETURN(const int64_t source_type, FilesystemType(clone));
  if (target_type == PROC_SUPER_MAGIC && !IsCoverable(clean) && !(clean == "proc" && source_type == PROC_SUPER_MAGIC)) {
    return base::InvalidArgument("it lies inside of /proc");
  }
  struct stat destination {};
  if (::fstat(target.get(), &destination) != 0) return base::ErrnoError("stat the destination");
  if (S_ISDIR(destination.st_mode) != S_ISDIR(source.st_mode)) {
    return base::InvalidArgument(S_ISDIR(source.st_mode) ? "the source is a directory, the destination is not"
                                                         : "the destination is a directory, the source is not");
  }
  return AttachMount(clone, target.get());
}

// Volumes in the order of their depth, so that one inside of another comes after it.
Status MountVolumes(const ProcessSpec& spec, int root, HostTree& tree) {
  std::vector<size_t> order;
  std::vector<long> depth;
  for (size_t i = 0; i < spec.mounts.size(); ++i) {
    order.push_back(i);
    const std::string clean = CleanPath(spec.mounts[i].destination);
    depth.push_back(std::count(clean.begin(), clean.end(), '/'));
  }
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return depth[a] < depth[b]; });
  for (const size_t i : order) {
    const Mount& mount = spec.mounts[i];
    RETURN_IF_ERROR(MountVolume(root, RootOwner(spec), tree.mounts[i].get(), mount)
                        .Wrap("mount " + base::Printable(mount.source) + " at " + base::Printable(mount.destination)));
    tree.mounts[i].reset();
  }
  return base::Ok();
}

// The outer ones first, as they come.
Status MountImageVolumes(const ProcessSpec& spec, int root) {
  for (const std::string& path : spec.image_volumes) {
    const std::string doing = "volume " + base::Printable(path) + " of the image";
    Result<UniqueFd> target = OpenOrCreateInRoot(root, "/" + CleanPath(path), PathKind::kDirectory, RootOwner(spec));
    if (!target.ok()) return std::move(target).error().Wrap(doing);
    struct stat info {};
    if (::fstat(target->get(), &info) != 0) return base::ErrnoError("stat the " + doing);
    if (!S_ISDIR(info.st_mode)) return base::InvalidArgument(doing + ": it is not a directory");
    Result<UniqueFd> clone = CloneMount(target->get(), "", true);
    if (!clone.ok()) return std::move(clone).error().Wrap(doing);
    RETURN_IF_ERROR(AttachMount(clone->get(), target->get()).Wrap(doing));
  }
  return base::Ok();
}

// Opens a path to be masked or made read-only; none when there is no such path. What is named in /proc or /sys must be
// there and not where a link of the image or a volume leads.
Result<UniqueFd> OpenProtected(int root, const std::string& path) {
  Result<UniqueFd> target = base::OpenInRoot(root, path, O_PATH);
  if (!target.ok()) {
    const int number = target.error().number();
    if (number == ENOENT || number == ENOTDIR) return UniqueFd();
    return target;
  }
  const std::string clean = CleanPath(path);
  ASSIGN_OR_RETURN(const int64_t type, FilesystemType(target->get()));
  const bool in_proc = clean.compare(0, 5, "proc/") == 0;
  const bool in_sys = clean.compare(0, 4, "sys/") == 0;
  if (in_proc && type != PROC_SUPER_MAGIC && !IsCoverable(clean)) {
    return Error(Code::kFailedPrecondition, "it is not in a procfs");
  }
  if (in_sys && type == OVERLAYFS_SUPER_MAGIC) return Error(Code::kFailedPrecondition, "it is not in a sysfs");
  return target;
}

class Masks {
 public:
  Masks(int root, int devices) : root_(root), devices_(devices) {}

  Status Mask(const std::string& path) {
    ASSIGN_OR_RETURN(const UniqueFd target, OpenProtected(root_, path));
    if (!target) return base::Ok();
    struct stat info {};
    if (::fstat(target.get(), &info) != 0) return base::ErrnoError("stat");
    ASSIGN_OR_RETURN(const UniqueFd cover, S_ISDIR(info.st_mode) ? EmptyDirectory() : NullDevice());
    RETURN_IF_ERROR(AttachMount(cover.get(), target.get()));
    if (S_ISDIR(info.st_mode) && !first_directory_) {
      // From now on this one is cloned: all masked directories share one file system.
      first_directory_.reset(::fcntl(cover.get(), F_DUPFD_CLOEXEC, 3));
    }
    return base::Ok();
  }

 private:
  Result<UniqueFd> EmptyDirectory() {
    if (first_directory_) return CloneMount(first_directory_.get(), "", false);
    return NewFilesystem("tmpfs", {{"mode", "0555"}, {"size", "4k"}, {"nr_inodes", "1"}},
                         kNoExecution | MOUNT_ATTR_RDONLY);
  }
  Result<UniqueFd> NullDevice() {
    ASSIGN_OR_RETURN(const UniqueFd null, OpenNullDevice(devices_));
    return CloneMount(null.get(), "", false);
  }

  int root_;
  int devices_;
  UniqueFd first_directory_;
};

Status MakeReadOnly(int root, const std::string& path) {
  ASSIGN_OR_RETURN(const UniqueFd target, OpenProtected(root, path));
  if (!target) return base::Ok();
  ASSIGN_OR_RETURN(const UniqueFd clone, CloneMount(target.get(), "", true));
  RETURN_IF_ERROR(ChangeMount(clone.get(), MOUNT_ATTR_RDONLY, 0, true));
  return AttachMount(clone.get(), target.get());
}

Result<UniqueFd> MakeSys(const ProcessSpec& spec) {
  const uint64_t read_only = spec.privileged ? 0 : MOUNT_ATTR_RDONLY;
  return NewFilesystem("sysfs", {}, kNoExecution | read_only);
}

// The pod's containers share one instance, which does not take a label as an option.
Status LabelQueues(int queues, const std::string& label) {
  if (label.empty()) return base::Ok();
  const UniqueFd root(::openat(queues, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!root || ::fsetxattr(root.get(), "security.selinux", label.c_str(), label.size() + 1, 0) != 0) {
    return base::ErrnoError("label the message queues");
  }
  return base::Ok();
}

Result<UniqueFd> MakeTerminals(const ProcessSpec& spec, Owner owner) {
  FilesystemOptions options = {{"newinstance", ""}, {"ptmxmode", "0666"}, {"mode", "0620"}};
  // The group tty of every distribution.
  constexpr uint32_t kTty = 5;
  const std::optional<uint32_t> group = HasUserNamespace(spec) ? ToHostId(spec.gid_mappings, kTty) : kTty;
  if (group) options.emplace_back("gid", std::to_string(*group));
  ASSIGN_OR_RETURN(UniqueFd terminals, NewFilesystem("devpts", WithLabel(std::move(options), spec.selinux_mount_label),
                                                     MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC));
  if (HasUserNamespace(spec) && (::fchownat(terminals.get(), "", owner.uid, owner.gid, AT_EMPTY_PATH) != 0 ||
                                 ::fchownat(terminals.get(), "ptmx", owner.uid, owner.gid, AT_SYMLINK_NOFOLLOW) != 0)) {
    return base::ErrnoError("give away the terminals");
  }
  return terminals;
}

}  // namespace

Result<OwnFilesystems> MakeFilesystems(const ProcessSpec& spec) {
  OwnFilesystems own;
  ASSIGN_OR_RETURN(own.proc, NewFilesystem("proc", {}, kNoExecution));
  const Owner owner = RootOwner(spec);
  ASSIGN_OR_RETURN(own.devices, MakeDeviceTree(owner, spec.selinux_mount_label));
  ASSIGN_OR_RETURN(own.terminals, MakeTerminals(spec, owner));
  ASSIGN_OR_RETURN(own.message_queues, NewFilesystem("mqueue", {}, kNoExecution));
  RETURN_IF_ERROR(LabelQueues(own.message_queues.get(), spec.selinux_mount_label));
  if (spec.shared_memory.kind == NamespaceTarget::Kind::kNew) {
    FilesystemOptions options = {
        {"mode", "1777"}, {"size", "64M"}, {"uid", std::to_string(owner.uid)}, {"gid", std::to_string(owner.gid)}};
    ASSIGN_OR_RETURN(own.shared_memory,
                     NewFilesystem("tmpfs", WithLabel(std::move(options), spec.selinux_mount_label), kNoExecution));
  }
  ASSIGN_OR_RETURN(own.sys, MakeSys(spec));
  // A privileged container gets the host's: a new mount in the first cgroup namespace would change its options.
  if (!spec.privileged) {
    ASSIGN_OR_RETURN(own.cgroup, NewFilesystem("cgroup2", {}, kNoExecution | MOUNT_ATTR_RDONLY));
  }
  return own;
}

Status MountAll(const ProcessSpec& spec, int root, OwnFilesystems& own, HostTree& tree) {
  // First, so that everything else comes to lie over what an image might name.
  RETURN_IF_ERROR(MountImageVolumes(spec, root));
  RETURN_IF_ERROR(MountSystem(root, RootOwner(spec), own, tree));
  RETURN_IF_ERROR(MountVolumes(spec, root, tree));
  Masks masks(root, own.devices.get());
  for (const std::string& path : spec.masked_paths) {
    RETURN_IF_ERROR(masks.Mask(path).Wrap("mask " + base::Printable(path)));
  }
  for (const std::string& path : spec.read_only_paths) {
    RETURN_IF_ERROR(MakeReadOnly(root, path).Wrap("make " + base::Printable(path) + " read-only"));
  }
  return base::Ok();
}

}  // namespace nspawn
