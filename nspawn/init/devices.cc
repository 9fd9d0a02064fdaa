#include "nspawn/init/devices.h"

#include <dirent.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <string>
#include <string_view>

#include "base/text.h"
#include "nspawn/process/mount_api.h"
#include "nspawn/process/root_path.h"

namespace nspawn {
namespace {

using base::Result;
using base::Status;
using base::UniqueFd;

struct StandardNode {
  const char* name;
  unsigned major, minor;
};

// Numbers of Documentation/admin-guide/devices.txt of the kernel.
constexpr StandardNode kNodes[] = {{"null", 1, 3},   {"zero", 1, 5},    {"full", 1, 7},
                                   {"random", 1, 8}, {"urandom", 1, 9}, {"tty", 5, 0}};

struct StandardLink {
  const char* name;
  const char* target;
};

constexpr StandardLink kLinks[] = {{"fd", "/proc/self/fd"},       {"stdin", "/proc/self/fd/0"},
                                   {"stdout", "/proc/self/fd/1"}, {"stderr", "/proc/self/fd/2"},
                                   {"core", "/proc/kcore"},       {"ptmx", "pts/ptmx"}};

constexpr const char* kDirectories[] = {"pts", "shm", "mqueue"};

// Directories and files of the host's /dev that are not devices of the machine but of its own session.
constexpr std::string_view kHostOnly[] = {"pts",     "shm",  "fd",   "mqueue",      "hugepages",
                                          "console", "ptmx", ".lxc", ".lxd-mounts", ".udev"};

constexpr int kDeepest = 8;
constexpr int kMostNodes = 16384;

bool IsDevice(mode_t mode) {
  return S_ISCHR(mode) || S_ISBLK(mode);
}

bool IsHostOnly(std::string_view name) {
  for (const std::string_view own : kHostOnly) {
    if (name == own) return true;
  }
  return false;
}

// Copies device nodes of the host into a container's tree.
class NodeCopier {
 public:
  explicit NodeCopier(int tree) : tree_(tree) {}

  std::vector<BoundDevice> TakeBound() { return std::move(bound_); }

  // Makes one node at `path` of the tree, with the mode and the owners of the host's `name` in `directory`.
  Status CopyNode(int directory, const std::string& name, const struct stat& info, const std::string& path) {
    const std::string doing = "make the device node /dev/" + base::Printable(path);
    const size_t slash = path.rfind('/');
    UniqueFd parent(::openat(tree_, ".", O_PATH | O_DIRECTORY | O_CLOEXEC));
    if (slash != std::string::npos) {
      ASSIGN_OR_RETURN(parent, OpenOrCreateInRoot(tree_, path.substr(0, slash), PathKind::kDirectory));
    }
    const std::string node = slash == std::string::npos ? path : path.substr(slash + 1);
    if (::mknodat(parent.get(), node.c_str(), info.st_mode & (S_IFMT | 0777), info.st_rdev) != 0) {
      if (errno == EEXIST) return base::Ok();
      if (errno != EPERM) return base::ErrnoError(doing);
      // An empty file first; the host's node is mounted on it when the tree is in its place.
      if (::mknodat(parent.get(), node.c_str(), S_IFREG | 0600, 0) != 0) return base::ErrnoError(doing);
      ASSIGN_OR_RETURN(UniqueFd mount, CloneMount(directory, name, false).Wrap(doing));
      RETURN_IF_ERROR(ChangeMount(mount.get(), 0, MS_PRIVATE, false).Wrap(doing));
      bound_.push_back({path, std::move(mount)});
      return base::Ok();
    }
    if (::fchownat(parent.get(), node.c_str(), info.st_uid, info.st_gid, AT_SYMLINK_NOFOLLOW) != 0 ||
        ::fchmodat(parent.get(), node.c_str(), info.st_mode & 0777, 0) != 0) {
      return base::ErrnoError(doing);
    }
    return base::Ok();
  }

  // Copies all nodes in a directory of the host, all the way down, to below `path` of the tree. Links are not followed.
  Status CopyDirectory(int parent, const std::string& name, const std::string& path, int depth = 0) {
    const bool top = depth == 0;
    UniqueFd fd(::openat(parent, name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC | (top ? 0 : O_NOFOLLOW)));
    if (!fd) return base::ErrnoError("open the device directory " + name);
    const std::unique_ptr<DIR, int (*)(DIR*)> stream(::fdopendir(fd.get()), &::closedir);
    if (!stream) return base::ErrnoError("read the device directory " + name);
    (void)fd.release();
    const int directory = ::dirfd(stream.get());
    while (const dirent* entry = ::readdir(stream.get())) {
      const std::string entry_name = entry->d_name;
      if (entry_name == "." || entry_name == ".." || (top && IsHostOnly(entry_name))) continue;
      struct stat info {};
      // A device may go away at any time.
      if (::fstatat(directory, entry_name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) continue;
      std::string entry_path = path;
      if (!entry_path.empty()) entry_path += '/';
      entry_path += entry_name;
      if (S_ISDIR(info.st_mode) && depth < kDeepest) {
        RETURN_IF_ERROR(CopyDirectory(directory, entry_name, entry_path, depth + 1));
      } else if (IsDevice(info.st_mode)) {
        if (++nodes_ > kMostNodes) return base::Error(base::Code::kResourceExhausted, "the host has too many devices");
        RETURN_IF_ERROR(CopyNode(directory, entry_name, info, entry_path));
      }
    }
    return base::Ok();
  }

 private:
  int tree_;
  int nodes_ = 0;
  std::vector<BoundDevice> bound_;
};

}  // namespace

Result<UniqueFd> MakeDeviceTree(Owner owner, const std::string& label) {
  FilesystemOptions options = {
      {"mode", "0755"}, {"size", "64M"}, {"uid", std::to_string(owner.uid)}, {"gid", std::to_string(owner.gid)}};
  ASSIGN_OR_RETURN(UniqueFd tree, NewFilesystem("tmpfs", WithLabel(std::move(options), label),
                                                MOUNT_ATTR_NOSUID | MOUNT_ATTR_STRICTATIME));
  const auto give = [&](const char* name) {
    return ::fchownat(tree.get(), name, owner.uid, owner.gid, AT_SYMLINK_NOFOLLOW) == 0;
  };
  for (const StandardNode& node : kNodes) {
    // mknodat() obeys the umask, so the mode is set afterwards.
    if (::mknodat(tree.get(), node.name, S_IFCHR | 0666, makedev(node.major, node.minor)) != 0 ||
        ::fchmodat(tree.get(), node.name, 0666, 0) != 0 || !give(node.name)) {
      return base::ErrnoError(std::string("make the device node /dev/") + node.name);
    }
  }
  for (const StandardLink& link : kLinks) {
    if (::symlinkat(link.target, tree.get(), link.name) != 0 || !give(link.name)) {
      return base::ErrnoError(std::string("make the link /dev/") + link.name);
    }
  }
  for (const char* directory : kDirectories) {
    if (::mkdirat(tree.get(), directory, 0755) != 0 || !give(directory)) {
      return base::ErrnoError(std::string("make the directory /dev/") + directory);
    }
  }
  return tree;
}

Result<std::vector<BoundDevice>> AddHostDevices(const ProcessSpec& spec, int device_tree) {
  NodeCopier copier(device_tree);
  for (const Device& device : spec.devices) {
    const std::string clean = CleanPath(device.container_path);
    constexpr std::string_view kPrefix = "dev/";
    if (clean.compare(0, kPrefix.size(), kPrefix) != 0) {
      return base::InvalidArgument("device " + base::Printable(device.host_path) + ": its container path " +
                                   base::Printable(device.container_path) + " is not below /dev");
    }
    const std::string path = clean.substr(kPrefix.size());
    struct stat info {};
    if (device.node) {
      const char type = device.node->type;
      info.st_mode = (type == 'c' ? S_IFCHR : type == 'b' ? S_IFBLK : S_IFIFO) | device.node->mode;
      info.st_rdev = makedev(device.node->major, device.node->minor);
      info.st_uid = device.node->uid;
      info.st_gid = device.node->gid;
      RETURN_IF_ERROR(copier.CopyNode(AT_FDCWD, device.host_path, info, path));
      continue;
    }
    if (::stat(device.host_path.c_str(), &info) != 0) return base::ErrnoError("device " + device.host_path);
    if (S_ISDIR(info.st_mode)) {
      RETURN_IF_ERROR(copier.CopyDirectory(AT_FDCWD, device.host_path, path));
    } else if (IsDevice(info.st_mode)) {
      RETURN_IF_ERROR(copier.CopyNode(AT_FDCWD, device.host_path, info, path));
    } else {
      return base::InvalidArgument("device " + device.host_path + ": not a device node");
    }
  }
  if (spec.host_devices) RETURN_IF_ERROR(copier.CopyDirectory(AT_FDCWD, "/dev", ""));
  return copier.TakeBound();
}

Result<UniqueFd> OpenNullDevice(int device_tree) {
  UniqueFd null(::openat(device_tree, "null", O_PATH | O_NOFOLLOW | O_CLOEXEC));
  struct stat info {};
  if (!null || ::fstat(null.get(), &info) != 0) return base::ErrnoError("open /dev/null");
  if (!S_ISCHR(info.st_mode) || info.st_rdev != makedev(1, 3)) {
    return base::Internal("/dev/null is not the null device");
  }
  return null;
}

}  // namespace nspawn
