#include "nspawn/process/user_namespace.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/magic.h>
#include <linux/mount.h>
#include <sched.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "base/files.h"
#include "nspawn/process/mount_api.h"
#include "nspawn/process/namespaces.h"

namespace nspawn {
namespace {

using base::Error;
using base::Result;
using base::Status;
using base::UniqueFd;

std::string MapText(const std::vector<IdMapping>& mappings) {
  std::string text;
  for (const IdMapping& mapping : mappings) {
    text += std::to_string(mapping.container_id) + " " + std::to_string(mapping.host_id) + " " +
            std::to_string(mapping.length) + "\n";
  }
  return text;
}

Status WriteMap(int proc, int pid, const char* file, const std::vector<IdMapping>& mappings) {
  const std::string path = std::to_string(pid) + "/" + file;
  const UniqueFd fd(::openat(proc, path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd) return base::ErrnoError("open /proc/" + path);
  // The kernel takes a map in one write.
  return base::WriteAll(fd.get(), MapText(mappings)).Wrap("write /proc/" + path);
}

Result<UniqueFd> MapAndOpen(int proc, int pid, const std::vector<IdMapping>& uids, const std::vector<IdMapping>& gids) {
  RETURN_IF_ERROR(WriteMap(proc, pid, "uid_map", uids));
  RETURN_IF_ERROR(WriteMap(proc, pid, "gid_map", gids));
  return OpenNamespace(proc, pid, "user");
}

struct FilesystemName {
  int64_t magic;
  const char* name;
};

// Those that a volume is likely to lie on and that cannot map ids, at least on some kernels.
constexpr FilesystemName kFilesystemNames[] = {{TMPFS_MAGIC, "tmpfs"},
                                               {OVERLAYFS_SUPER_MAGIC, "overlay"},
                                               {NFS_SUPER_MAGIC, "nfs"},
                                               {FUSE_SUPER_MAGIC, "fuse"},
                                               {V9FS_MAGIC, "9p"},
                                               {SMB2_SUPER_MAGIC, "cifs"},
                                               {PROC_SUPER_MAGIC, "proc"},
                                               {SYSFS_MAGIC, "sysfs"},
                                               {CGROUP2_SUPER_MAGIC, "cgroup2"}};

std::string NameOfFilesystem(int fd) {
  const Result<int64_t> type = FilesystemType(fd);
  if (!type.ok()) return "file system";
  for (const FilesystemName& known : kFilesystemNames) {
    if (known.magic == *type) return std::string("file system (") + known.name + ")";
  }
  return "file system";
}

}  // namespace

std::optional<uint32_t> ToHostId(const std::vector<IdMapping>& mappings, uint32_t id) {
  for (const IdMapping& mapping : mappings) {
    if (id >= mapping.container_id && id - mapping.container_id < mapping.length) {
      return mapping.host_id + (id - mapping.container_id);
    }
  }
  return std::nullopt;
}

bool HasUserNamespace(const ProcessSpec& spec) {
  return spec.user_namespace.kind == NamespaceTarget::Kind::kJoin;
}

Owner RootOwner(const ProcessSpec& spec) {
  if (!HasUserNamespace(spec)) return {};
  return {ToHostId(spec.uid_mappings, 0).value_or(0), ToHostId(spec.gid_mappings, 0).value_or(0)};
}

Result<UniqueFd> MakeUserNamespace(int proc, const std::vector<IdMapping>& uids, const std::vector<IdMapping>& gids) {
  UniqueFd pidfd;
  ASSIGN_OR_RETURN(const int pid, CloneProcess(CLONE_NEWUSER, -1, &pidfd));
  if (pid == 0) {
    while (true) ::pause();
  }
  Result<UniqueFd> made = MapAndOpen(proc, pid, uids, gids);
  (void)::syscall(SYS_pidfd_send_signal, pidfd.get(), SIGKILL, nullptr, 0);
  while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) continue;
  return std::move(made).Wrap("make a user namespace");
}

Status MapIds(int mount, int user_namespace) {
  mount_attr change{};
  change.attr_set = MOUNT_ATTR_IDMAP;
  change.userns_fd = static_cast<uint64_t>(user_namespace);
  if (::syscall(SYS_mount_setattr, mount, "", AT_EMPTY_PATH, &change, sizeof change) == 0) return base::Ok();
  if (errno == EINVAL) {
    return Error(base::Code::kFailedPrecondition,
                 "its " + NameOfFilesystem(mount) + " does not support id-mapped mounts on this kernel");
  }
  return base::ErrnoError("map the ids of a mount");
}

Status CheckMapped(const ProcessSpec& spec, const Identity& identity) {
  const auto refuse = [](const char* what, uint32_t id) {
    return base::InvalidArgument(std::string(what) + " " + std::to_string(id) +
                                 " lies outside of what the pod's user namespace maps");
  };
  if (!ToHostId(spec.uid_mappings, identity.uid)) return refuse("user", identity.uid);
  for (const uint32_t group : identity.groups) {
    if (!ToHostId(spec.gid_mappings, group)) return refuse("group", group);
  }
  return base::Ok();
}

Status GivePipe(const ProcessSpec& spec, const Identity& identity, int fd) {
  const std::optional<uint32_t> uid = ToHostId(spec.uid_mappings, identity.uid);
  const std::optional<uint32_t> gid = ToHostId(spec.gid_mappings, identity.gid);
  struct stat info {};
  if (::fstat(fd, &info) != 0) return base::ErrnoError("stat a stream");
  if (!uid || !gid || !S_ISFIFO(info.st_mode)) return base::Ok();
  if (::fchown(fd, *uid, *gid) != 0) return base::ErrnoError("give a pipe to the user");
  return base::Ok();
}

Status BecomeRootInside() {
  if (::setgroups(0, nullptr) != 0 || ::setresgid(0, 0, 0) != 0 || ::setresuid(0, 0, 0) != 0) {
    return base::ErrnoError("become root of the user namespace");
  }
  return base::Ok();
}

}  // namespace nspawn
