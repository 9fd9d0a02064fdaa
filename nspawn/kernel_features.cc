#include "nspawn/kernel_features.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "base/fd.h"
#include "nspawn/process/mount_api.h"
#include "nspawn/process/namespaces.h"
#include "nspawn/process/user_namespace.h"

namespace nspawn {
namespace {

base::Status TryUserNamespaces(const std::string& directory) {
  const base::UniqueFd proc(::open("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!proc) return base::ErrnoError("open /proc");
  const std::vector<IdMapping> mapping = {{.host_id = 65536, .container_id = 0, .length = 65536}};
  ASSIGN_OR_RETURN(const base::UniqueFd users, MakeUserNamespace(proc.get(), mapping, mapping));
  ASSIGN_OR_RETURN(const base::UniqueFd clone, CloneMount(AT_FDCWD, directory, false));
  return MapIds(clone.get(), users.get()).Wrap(directory);
}

}  // namespace

KernelFeatures ProbeKernel(const std::string& directory) {
  KernelFeatures features;
  const base::Status tried = TryUserNamespaces(directory);
  features.user_namespaces = tried.ok();
  if (!tried.ok()) features.why_no_user_namespaces = tried.error().message();
  // An attribute set of size 0 is refused by whoever knows the call.
  features.recursive_read_only_mounts =
      ::syscall(SYS_mount_setattr, AT_FDCWD, "", 0, nullptr, 0) != 0 && errno != ENOSYS && errno != EPERM;
  return features;
}

}  // namespace nspawn
