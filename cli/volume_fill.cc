#include "cli/volume_fill.h"

#include <fcntl.h>
#include <sched.h>
#include <spawn.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <thread>

#include "base/fd.h"
#include "base/files.h"
#include "base/text.h"

namespace cli {
namespace {

using base::Code;
using base::ErrnoError;
using base::Error;
using base::Result;
using base::Status;
using base::UniqueFd;

using Volumes = std::vector<std::pair<std::string, std::string>>;

// Mounts the merged layers at `target`. The names of layers are short, relative to the directory that they all lie in.
Status MountLayers(const std::vector<std::string>& layers, const std::string& target) {
  if (layers.empty()) return base::InvalidArgument("the image has no layers");
  const std::string parent = layers.front().substr(0, layers.front().rfind('/'));
  std::string options = "lowerdir=";
  for (auto layer = layers.rbegin(); layer != layers.rend(); ++layer) {
    if (layer->substr(0, layer->rfind('/')) != parent) return base::Internal("the layers lie in several directories");
    options += layer->substr(parent.size() + 1) + ":";
  }
  // An overlay without a writable layer needs two others: the mount point itself is an empty one.
  options += target;
  if (::chdir(parent.c_str()) != 0) return ErrnoError("enter " + parent);
  if (::mount("overlay", target.c_str(), "overlay", MS_RDONLY | MS_NODEV | MS_NOSUID | MS_NOEXEC, options.c_str()) !=
      0) {
    return ErrnoError("mount the image's layers");
  }
  return base::Ok();
}

// `source` is an open directory. cp(1) knows sparse files, hard links and extended attributes.
Status Copy(const UniqueFd& source, const std::string& target) {
  // Without O_CLOEXEC, for cp alone.
  const UniqueFd inherited(::fcntl(source.get(), F_DUPFD, 3));
  if (!inherited) return ErrnoError("hand over a directory");
  std::string from = "/proc/self/fd/" + std::to_string(inherited.get()) + "/.";
  std::string to = target + "/";
  std::string program = "cp";
  std::string options = "--archive";
  char* arguments[] = {program.data(), options.data(), from.data(), to.data(), nullptr};
  char path[] = "PATH=/usr/bin:/bin";
  char language[] = "LC_ALL=C";
  char* environment[] = {path, language, nullptr};
  pid_t pid = 0;
  if (const int error = ::posix_spawnp(&pid, "cp", nullptr, nullptr, arguments, environment); error != 0) {
    return Error::FromErrno(error, "run cp");
  }
  int status = 0;
  while (::waitpid(pid, &status, 0) < 0) {
    if (errno != EINTR) return ErrnoError("wait for cp");
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return base::Ok();
  return base::Internal("cp could not copy it");
}

Status FillOne(int root, const std::string& volume, const std::string& directory) {
  const std::string staging = directory + ".new-" + base::RandomHex(4);
  const auto fill = [&]() -> Status {
    RETURN_IF_ERROR(base::MakeDirectories(staging, 0755));
    auto source = base::OpenInRoot(root, volume, O_RDONLY | O_DIRECTORY);
    if (source.ok()) {
      RETURN_IF_ERROR(Copy(*source, staging));
    } else if (const int error = source.error().number(); error != ENOENT && error != ENOTDIR) {
      return std::move(source).error();
    }
    const UniqueFd made(::open(staging.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!made || ::syncfs(made.get()) != 0) return ErrnoError("sync " + staging);
    if (::rename(staging.c_str(), directory.c_str()) != 0) return ErrnoError("rename " + staging);
    return base::SyncDirectory(directory.substr(0, directory.rfind('/')));
  };
  Status filled = fill().Wrap("volume " + base::Printable(volume));
  if (!filled.ok()) (void)base::RemoveTree(staging);
  return filled;
}

// In a mount namespace of this thread's own, that goes with it.
Status FillAll(const std::vector<std::string>& layers, const Volumes& volumes, const std::string& mount_point) {
  if (::unshare(CLONE_NEWNS) != 0) return ErrnoError("make a mount namespace");
  if (::mount(nullptr, "/", nullptr, MS_SLAVE | MS_REC, nullptr) != 0) return ErrnoError("make mounts private");
  RETURN_IF_ERROR(MountLayers(layers, mount_point));
  const UniqueFd root(::open(mount_point.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!root) return ErrnoError("open the image's files");
  for (const auto& [volume, directory] : volumes) RETURN_IF_ERROR(FillOne(root.get(), volume, directory));
  return base::Ok();
}

}  // namespace

Status FillVolumes(const std::vector<std::string>& layers, const Volumes& volumes) {
  Volumes missing;
  for (const auto& volume : volumes) {
    if (::access(volume.second.c_str(), F_OK) != 0) missing.push_back(volume);
  }
  if (missing.empty()) return base::Ok();
  const std::string parent = missing.front().second.substr(0, missing.front().second.rfind('/'));
  const std::string mount_point = parent + "/.image-" + base::RandomHex(4);
  RETURN_IF_ERROR(base::MakeDirectories(parent, 0700));
  RETURN_IF_ERROR(base::MakeDirectories(mount_point, 0700));
  Status filled;
  std::thread([&] { filled = FillAll(layers, missing, mount_point); }).join();
  ::rmdir(mount_point.c_str());
  return filled;
}

}  // namespace cli
