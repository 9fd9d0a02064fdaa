// The kernel's mount calls that work on descriptors (fsopen(2) and its kin), and what is needed beside them.
//
// A mount made here is detached, that is invisible everywhere, until AttachMount() puts it in its place.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

namespace nspawn {

using FilesystemOptions = std::vector<std::pair<std::string, std::string>>;  // an empty value is a flag

// The options with SELinux' label for all files of the file system, unless that is empty.
FilesystemOptions WithLabel(FilesystemOptions options, const std::string& label);

// A new instance of a file system, detached. `attributes` are MOUNT_ATTR_* of mount_setattr(2). An error holds what the
// file system itself has to say.
base::Result<base::UniqueFd> NewFilesystem(const std::string& type, const FilesystemOptions& options,
                                           uint64_t attributes);

// A detached clone of the mount that holds `path` (relative to `directory`; empty: `directory` itself), with the file
// or directory as its root and, if `recursive`, with all that is mounted below. It stays in the propagation group of
// the original.
base::Result<base::UniqueFd> CloneMount(int directory, const std::string& path, bool recursive);

// Sets attributes and, unless 0, the propagation (MS_PRIVATE, MS_SLAVE, MS_SHARED) of the mount `mount`.
base::Status ChangeMount(int mount, uint64_t attributes, uint64_t propagation, bool recursive);

// Puts a detached mount on top of the file or directory `target`.
base::Status AttachMount(int mount, int target);

// The mount table (proc_pid_mountinfo(5)) of this process's mount namespace. `proc` is a procfs of its PID namespace.
base::Result<std::string> ReadMountTable(int proc);

// The type number of the file system that holds `fd` (statfs(2)).
base::Result<int64_t> FilesystemType(int fd);

}  // namespace nspawn
