// What taking a checkpoint and restoring one have in common: both are done by criu(8), which the node may or may not
// have (https://criu.org).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace nspawn {

// One line of a mount table (proc_pid_mountinfo(5)).
struct MountPoint {
  std::string path;  // as the process sees it
  std::string type;  // "tmpfs"
};

// kDataLoss when the table is cut off or no mount table at all.
base::Result<std::vector<MountPoint>> ParseMountTable(std::string_view table);

// The mounts of a container that are the runtime's own to make, and that a checkpoint knows by the names of their mount
// points alone. criu makes the rest itself: the root, which is given to it, and procfs, which belongs to the
// container's new PID namespace.
std::vector<std::string> ExternalMounts(const std::vector<MountPoint>& mounts);

// What init needs to make a container out of a checkpoint: the bundle's file kRestoreFile.
struct Restore {
  // On the host, with criu's images in "checkpoint", and the empty directories "rootfs" and "work" for what criu needs
  // meanwhile.
  std::string directory;
  std::string criu;  // the program, on the host
  // How the checkpoint calls the container's FIFOs, from standard input to standard error: see checkpoint.h.
  std::vector<std::string> streams;
};

inline constexpr char kRestoreFile[] = "restore";

// As of process_spec.h: a sequence of NUL-terminated "key=value" strings.
std::string EncodeRestore(const Restore& restore);
base::Result<Restore> DecodeRestore(std::string_view encoded);

// What went wrong in the words of criu's log: its first errors, in one line.
std::string CriuFailure(std::string_view log);

// No log of criu is read beyond this.
inline constexpr size_t kLongestCriuLog = 64 << 20;

}  // namespace nspawn
