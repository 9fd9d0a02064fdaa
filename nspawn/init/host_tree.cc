#include "nspawn/init/host_tree.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <linux/stat.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <optional>
#include <string_view>

#include "base/files.h"
#include "base/text.h"
#include "nspawn/process/mount_api.h"
#include "nspawn/process/namespaces.h"
#include "nspawn/process/user_namespace.h"

namespace nspawn {
namespace {

using base::Code;
using base::Error;
using base::Result;
using base::Status;
using base::UniqueFd;

std::string ParentOf(const std::string& path) {
  const size_t slash = path.rfind('/');
  return slash == 0 || slash == std::string::npos ? "/" : path.substr(0, slash);
}

bool IsBelow(const std::string& path, const std::string& directory) {
  if (directory == "/") return true;
  return path.size() > directory.size() && path.compare(0, directory.size(), directory) == 0 &&
         path[directory.size()] == '/';
}

std::string Relative(const std::string& path, const std::string& directory) {
  return directory == "/" ? path.substr(1) : path.substr(directory.size() + 1);
}

// The deepest directory that is above all of `paths`, of which there is at least one.
Result<std::string> CommonParent(const std::vector<std::string>& paths) {
  for (const std::string& path : paths) {
    if (path.size() < 2 || path.front() != '/' || path.back() == '/') {
      return base::InvalidArgument("root filesystem: \"" + base::Printable(path) + "\" is no absolute path");
    }
  }
  std::string common = ParentOf(paths.front());
  for (const std::string& path : paths) {
    while (!IsBelow(path, common)) common = ParentOf(common);
  }
  return common;
}

std::vector<std::string> AllRelative(const std::vector<std::string>& paths, const std::string& directory) {
  std::vector<std::string> relative;
  for (const std::string& path : paths) relative.push_back(Relative(path, directory));
  return relative;
}

Status TakeLayers(const ProcessSpec& spec, int pod_users, HostTree& tree) {
  if (spec.layer_directories.empty()) return base::InvalidArgument("root filesystem: the image has no layers");
  std::vector<std::string> layers = spec.layer_directories;
  for (const Mount& mount : spec.mounts) {
    layers.insert(layers.end(), mount.image_layers.begin(), mount.image_layers.end());
  }
  ASSIGN_OR_RETURN(const std::string common, CommonParent(layers));
  ASSIGN_OR_RETURN(tree.layers, CloneMount(AT_FDCWD, common, true));
  if (pod_users >= 0) RETURN_IF_ERROR(MapIds(tree.layers.get(), pod_users).Wrap("map the ids of the image's layers"));
  tree.layer_directories = AllRelative(spec.layer_directories, common);
  for (const Mount& mount : spec.mounts) tree.image_layers.push_back(AllRelative(mount.image_layers, common));

  // By itself, since both of its directories must lie on one mount.
  ASSIGN_OR_RETURN(const std::string writable, CommonParent({spec.upper_directory, spec.work_directory}));
  ASSIGN_OR_RETURN(tree.writable, CloneMount(AT_FDCWD, writable, true));
  tree.upper_directory = Relative(spec.upper_directory, writable);
  tree.work_directory = Relative(spec.work_directory, writable);
  return base::Ok();
}

// The optional fields ("shared:1 master:2") of the mount that holds `fd`, from the mount table of this namespace.
Result<std::string> PropagationOf(int proc, int fd) {
  struct statx info {};
  if (::statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &info) != 0) return base::ErrnoError("statx");
  ASSIGN_OR_RETURN(const std::string table, ReadMountTable(proc));
  const std::string prefix = std::to_string(info.stx_mnt_id) + " ";
  for (const std::string_view line : base::Split(table, '\n')) {
    if (line.substr(0, prefix.size()) != prefix) continue;
    // Six fields, then the optional ones, then "-".
    const std::vector<std::string_view> fields = base::Split(line, ' ');
    std::string optional;
    for (size_t i = 6; i < fields.size() && fields[i] != "-"; ++i) optional += std::string(fields[i]) + " ";
    return optional;
  }
  return base::NotFound("its mount is not in the mount table");
}

// A mount on the host reaches the container only through a mount that is shared there (or, one way, a slave).
Status CheckPropagation(int proc, const Mount& mount) {
  if (mount.propagation == Propagation::kPrivate) return base::Ok();
  const UniqueFd source(::open(mount.source.c_str(), O_PATH | O_CLOEXEC));
  if (!source) return base::ErrnoError("open " + mount.source);
  ASSIGN_OR_RETURN(const std::string fields, PropagationOf(proc, source.get()));
  const bool shared = fields.find("shared:") != std::string::npos;
  const bool slave = fields.find("master:") != std::string::npos;
  if (shared || (slave && mount.propagation == Propagation::kHostToContainer)) return base::Ok();
  return Error(Code::kFailedPrecondition,
               "path \"" + base::Printable(mount.source) + "\" lies on a mount that is not a shared" +
                   (mount.propagation == Propagation::kBidirectional ? "" : " or slave") + " one");
}

// Gives nothing for an image, which is no mount of the host.
Result<UniqueFd> TakeMount(int proc, const Mount& mount, const UniqueFd& map) {
  if (!mount.image_layers.empty()) return UniqueFd();
  if (mount.source.empty() || mount.source.front() != '/')
    return base::InvalidArgument("the source is no absolute path");
  if (mount.recursive_read_only && (!mount.read_only || mount.propagation != Propagation::kPrivate)) {
    return base::InvalidArgument("a recursive read-only mount needs to be read-only and private");
  }
  RETURN_IF_ERROR(CheckPropagation(proc, mount));
  ASSIGN_OR_RETURN(UniqueFd clone, CloneMount(AT_FDCWD, mount.source, true));
  // As with other runtimes, not those of what is mounted below.
  if (map) RETURN_IF_ERROR(MapIds(clone.get(), map.get()));
  uint64_t propagation = 0;  // bidirectional: it stays in the group of the host's mount
  if (mount.propagation == Propagation::kPrivate) propagation = MS_PRIVATE;
  if (mount.propagation == Propagation::kHostToContainer) propagation = MS_SLAVE;
  if (propagation != 0) RETURN_IF_ERROR(ChangeMount(clone.get(), 0, propagation, true));
  if (mount.attributes != 0) RETURN_IF_ERROR(ChangeMount(clone.get(), mount.attributes, 0, false));
  if (mount.read_only) {
    RETURN_IF_ERROR(ChangeMount(clone.get(), MOUNT_ATTR_RDONLY, 0, mount.recursive_read_only));
  }
  return clone;
}

Status TakeAll(const HostTreeRequest& request, HostTree& tree) {
  const ProcessSpec& spec = request.spec;
  RETURN_IF_ERROR(TakeLayers(spec, request.maps.pod.get(), tree));
  for (size_t i = 0; i < spec.mounts.size(); ++i) {
    const Mount& mount = spec.mounts[i];
    ASSIGN_OR_RETURN(UniqueFd clone,
                     TakeMount(request.proc, mount, request.maps.mounts[i])
                         .Wrap("mount " + base::Printable(mount.source) + " at " + base::Printable(mount.destination)));
    tree.mounts.push_back(std::move(clone));
  }
  ASSIGN_OR_RETURN(tree.devices, AddHostDevices(spec, request.device_tree));
  if (spec.privileged) {
    ASSIGN_OR_RETURN(tree.cgroup, CloneMount(AT_FDCWD, "/sys/fs/cgroup", true));
    RETURN_IF_ERROR(ChangeMount(tree.cgroup.get(), 0, MS_PRIVATE, true));
  }
  if (spec.shared_memory.kind == NamespaceTarget::Kind::kHost) {
    ASSIGN_OR_RETURN(tree.shared_memory, CloneMount(AT_FDCWD, "/dev/shm", false));
  }
  return base::Ok();
}

Status TakeSharedMemory(const HostTreeRequest& request, HostTree& tree) {
  const NamespaceTarget& target = request.spec.shared_memory;
  if (target.kind != NamespaceTarget::Kind::kJoin) return base::Ok();
  // The number is that of its IPC namespace: what is in /dev/shm belongs to the same pod as what is in that.
  RETURN_IF_ERROR(OpenNamespace(request.proc, target.pid, "ipc", target.inode));
  ASSIGN_OR_RETURN(const UniqueFd pod, OpenNamespace(request.proc, target.pid, "mnt"));
  RETURN_IF_ERROR(EnterNamespace(pod.get(), CLONE_NEWNS, "mount"));
  ASSIGN_OR_RETURN(tree.shared_memory, CloneMount(AT_FDCWD, "/dev/shm", false));
  return base::Ok();
}

}  // namespace

Result<HostTree> TakeFromHost(const HostTreeRequest& request) {
  ASSIGN_OR_RETURN(const UniqueFd host, OpenNamespace(request.proc, 1, "mnt"));
  RETURN_IF_ERROR(EnterNamespace(host.get(), CLONE_NEWNS, "mount"));
  HostTree tree;
  Status taken = TakeAll(request, tree);
  if (taken.ok()) taken = TakeSharedMemory(request, tree).Wrap("the pod's /dev/shm");
  RETURN_IF_ERROR(EnterNamespace(request.own, CLONE_NEWNS, "mount"));
  if (!taken.ok()) return std::move(taken).error();
  if (tree.shared_memory) RETURN_IF_ERROR(ChangeMount(tree.shared_memory.get(), 0, MS_PRIVATE, true));
  return tree;
}

}  // namespace nspawn
