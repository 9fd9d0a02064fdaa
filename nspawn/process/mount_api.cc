#include "nspawn/process/mount_api.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>

#include "base/files.h"

namespace nspawn {
namespace {

using base::Result;
using base::Status;
using base::UniqueFd;

// Enough for tens of thousands of mounts.
constexpr size_t kLongestMountTable = 16 * 1024 * 1024;

// glibc's <sys/mount.h> and <linux/mount.h> do not go together, so the calls are made by number.
long FsConfig(int context, unsigned command, const char* key, const void* value) {
  return ::syscall(SYS_fsconfig, context, command, key, value, 0);
}

// The error with the messages that the file system left in its context ("e overlay: ...").
base::Error ContextError(int context, const std::string& doing) {
  const int number = errno;
  std::string text = doing;
  char message[512];
  for (int i = 0; i < 8; ++i) {
    const ssize_t length = ::read(context, message, sizeof message);
    if (length <= 0) break;
    const std::string_view line(message, static_cast<size_t>(length));
    if (line.size() > 2 && line[0] == 'e') text += ": " + std::string(line.substr(2));
  }
  return base::Error::FromErrno(number, text);
}

}  // namespace

FilesystemOptions WithLabel(FilesystemOptions options, const std::string& label) {
  if (!label.empty()) options.emplace_back("context", label);
  return options;
}

Result<UniqueFd> NewFilesystem(const std::string& type, const FilesystemOptions& options, uint64_t attributes) {
  const std::string doing = "mount a new " + type;
  const UniqueFd context(static_cast<int>(::syscall(SYS_fsopen, type.c_str(), FSOPEN_CLOEXEC)));
  if (!context) return base::ErrnoError(doing);
  // What a mount table shows as the source.
  if (FsConfig(context.get(), FSCONFIG_SET_STRING, "source", type.c_str()) != 0)
    return ContextError(context.get(), doing);
  for (const auto& [key, value] : options) {
    const long result = value.empty() ? FsConfig(context.get(), FSCONFIG_SET_FLAG, key.c_str(), nullptr)
                                      : FsConfig(context.get(), FSCONFIG_SET_STRING, key.c_str(), value.c_str());
    if (result != 0) return ContextError(context.get(), "option " + key).Wrap(doing);
  }
  if (FsConfig(context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr) != 0) return ContextError(context.get(), doing);
  UniqueFd mount(static_cast<int>(::syscall(SYS_fsmount, context.get(), FSMOUNT_CLOEXEC, attributes)));
  if (!mount) return ContextError(context.get(), doing);
  return mount;
}

Result<UniqueFd> CloneMount(int directory, const std::string& path, bool recursive) {
  unsigned flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC;
  if (recursive) flags |= AT_RECURSIVE;
  if (path.empty()) flags |= AT_EMPTY_PATH;
  UniqueFd mount(static_cast<int>(::syscall(SYS_open_tree, directory, path.c_str(), flags)));
  if (!mount) return base::ErrnoError(path.empty() ? "clone a mount" : "open " + path);
  return mount;
}

Status ChangeMount(int mount, uint64_t attributes, uint64_t propagation, bool recursive) {
  mount_attr change{};
  change.attr_set = attributes;
  change.propagation = propagation;
  const unsigned flags = AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0U);
  if (::syscall(SYS_mount_setattr, mount, "", flags, &change, sizeof change) != 0) {
    return base::ErrnoError("change the attributes of a mount");
  }
  return base::Ok();
}

Status AttachMount(int mount, int target) {
  if (::syscall(SYS_move_mount, mount, "", target, "", MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) != 0) {
    return base::ErrnoError("attach a mount");
  }
  return base::Ok();
}

Result<std::string> ReadMountTable(int proc) {
  const UniqueFd file(::openat(proc, "self/mountinfo", O_RDONLY | O_CLOEXEC));
  if (!file) return base::ErrnoError("open /proc/self/mountinfo");
  return base::ReadAll(file.get(), kLongestMountTable, "/proc/self/mountinfo");
}

Result<int64_t> FilesystemType(int fd) {
  struct statfs info {};
  if (::fstatfs(fd, &info) != 0) return base::ErrnoError("statfs");
  return static_cast<int64_t>(info.f_type);
}

}  // namespace nspawn
