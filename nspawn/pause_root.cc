#include "nspawn/pause_root.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>

#include "base/files.h"
#include "base/text.h"

namespace nspawn {
namespace {

using base::ErrnoError;
using base::Status;

constexpr size_t kMostPause = size_t{16} << 20;

Status Fill(const std::string& directory, const std::string& pause) {
  // What systemd-nspawn mounts on or looks for; it cannot make anything in a read-only root.
  for (const char* name : {"/usr/lib", "/etc", "/tmp", "/proc", "/sys", "/dev", "/run", "/var", "/root"}) {
    RETURN_IF_ERROR(base::MakeDirectories(directory + name));
  }
  RETURN_IF_ERROR(base::WriteFileDurable(directory + "/usr/lib/os-release",
                                         "ID=cri-nspawn\nNAME=cri-nspawn\nPRETTY_NAME=\"Kubernetes pod\"\n", 0644));
  return base::WriteFileDurable(directory + "/pause", pause, 0755);
}

}  // namespace

Status MakePauseRoot(const std::string& root, const std::string& pause) {
  const std::string doing = "making the machines' root directory " + root;
  const auto program = base::ReadFile(pause, kMostPause);
  if (!program.ok()) return base::Error(program.error()).Wrap(doing);
  const auto present = base::ReadFile(root + "/pause", kMostPause);
  if (present.ok() && *present == *program) return {};

  const size_t slash = root.rfind('/');
  const std::string parent = root.substr(0, slash);
  const std::string prefix = "." + root.substr(slash + 1) + ".";
  RETURN_IF_ERROR(base::MakeDirectories(parent).Wrap(doing));
  // What a crash left.
  const auto names = base::ListDirectory(parent);
  if (!names.ok()) return base::Error(names.error()).Wrap(doing);
  for (const std::string& name : *names) {
    if (!name.starts_with(prefix)) continue;
    std::string path = parent;
    path += "/" + name;
    RETURN_IF_ERROR(base::RemoveTree(path).Wrap(doing));
  }
  const std::string staging = parent + "/" + prefix + base::RandomHex(4);
  RETURN_IF_ERROR(base::MakeDirectories(staging).Wrap(doing));
  Status status = Fill(staging, *program);
  if (status.ok() && renameat2(AT_FDCWD, staging.c_str(), AT_FDCWD, root.c_str(), RENAME_NOREPLACE) != 0) {
    const bool replace = errno == EEXIST || errno == ENOTEMPTY;
    if (!replace || renameat2(AT_FDCWD, staging.c_str(), AT_FDCWD, root.c_str(), RENAME_EXCHANGE) != 0) {
      status = ErrnoError("renaming it");
    }
  }
  // The old one, or what could not be used.
  Status removed = base::RemoveTree(staging);
  return (status.ok() ? std::move(removed) : std::move(status)).Wrap(doing);
}

}  // namespace nspawn
