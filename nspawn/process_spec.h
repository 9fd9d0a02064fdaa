// What a container's init and the spawner need to know to set up a container and to run processes in it.
//
// The daemon fills a ProcessSpec and writes its encoded form into the bundle; init (at start) and the spawner (at every
// exec) read it back. The encoding is a sequence of NUL-terminated "key=value" strings, so no value can hold a NUL and
// `tr '\0' '\n'` shows a spec to a person.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace nspawn {

enum class Propagation { kPrivate, kHostToContainer, kBidirectional };

struct IdMapping {
  uint32_t host_id = 0;
  uint32_t container_id = 0;
  uint32_t length = 0;
};

// A bind mount of a host path, or the merged layers of an image. The destination is resolved inside the root filesystem
// and made when it is missing: a directory, or an empty file for a source that is not a directory.
struct Mount {
  std::string source;  // the image's name where that is the source: for messages only
  std::string destination;
  bool read_only = false;
  bool recursive_read_only = false;
  Propagation propagation = Propagation::kPrivate;
  uint64_t attributes = 0;  // further ones of the mount itself, MOUNT_ATTR_… of mount_setattr(2)
  std::vector<IdMapping> uid_mappings;
  std::vector<IdMapping> gid_mappings;

  // An image volume, always read-only: the directories of its layers on the host, lowest first.
  std::vector<std::string> image_layers = {};
  std::string image_sub_path = {};  // what of the image is mounted; empty: all of it
};

struct DeviceNode {
  char type = 0;  // 'c', 'b', or 'p' for a FIFO
  uint32_t major = 0;
  uint32_t minor = 0;
  uint32_t mode = 0;  // permission bits
  uint32_t uid = 0;
  uint32_t gid = 0;
};

// A device node of the host, or a directory with such, to be made in the container's /dev. Whether it may be opened is
// the unit's DeviceAllow=.
struct Device {
  std::string host_path;
  std::string container_path;
  // What the node is to be, in the place of what is found at `host_path`, where there need not be one then.
  std::optional<DeviceNode> node;
};

// Whom the process runs as. Names and further groups are looked up in the image's own /etc/passwd and /etc/group.
struct User {
  std::optional<uint32_t> uid;  // wins over `name`
  std::string name;             // a user's name or number, as "user" of an OCI image before the colon
  std::optional<uint32_t> gid;  // wins over `group`
  std::string group;            // a group's name or number
  std::vector<uint32_t> supplementary_groups;
  // CRI's SupplementalGroupsPolicy: true takes only supplementary_groups, false adds the image's memberships.
  bool strict_groups = false;
};

// Bit n stands for capability number n (capabilities(7)).
struct Capabilities {
  uint64_t bounding = 0;
  uint64_t permitted = 0;  // also effective
  uint64_t inheritable = 0;
  uint64_t ambient = 0;
};

// Which namespace of a kind the container gets.
struct NamespaceTarget {
  enum class Kind {
    kNew,   // its own
    kHost,  // that of the host
    kJoin,  // that of the process `pid`: the pod's machine or another container
  };
  Kind kind = Kind::kNew;
  int pid = 0;
  // Inode number of the namespace that is meant: a check against `pid` having been taken by another process.
  uint64_t inode = 0;
};

struct ProcessSpec {
  std::string container_id;
  std::vector<std::string> arguments;  // the first is the program, looked up in PATH of `environment` in the container
  std::vector<std::string> environment;  // NAME=value
  std::string working_directory;         // made when it is missing; empty is "/"
  User user;

  // Root filesystem: overlay of these, lowest first, on the host.
  std::vector<std::string> layer_directories;
  std::string upper_directory;
  std::string work_directory;
  bool read_only_root = false;

  // Directories of the image (its "volumes") that stay writable under a read-only root, each a mount of its own onto
  // itself, made when it is missing. What is written there lies in the writable layer as well.
  std::vector<std::string> image_volumes;
  std::vector<Mount> mounts;
  std::vector<Device> devices;
  std::vector<std::string> masked_paths;
  std::vector<std::string> read_only_paths;
  // /sys and /sys/fs/cgroup are read-only unless this is set.
  bool privileged = false;
  // All devices of the host's /dev beside `devices`.
  bool host_devices = false;
  // In the container's network and IPC namespaces; already checked by the caller.
  std::vector<std::pair<std::string, std::string>> sysctls;

  NamespaceTarget pid;
  NamespaceTarget ipc;
  NamespaceTarget uts;
  // The network namespace comes from the unit (NetworkNamespacePath=).

  // The pod's user namespace, to be joined, or the host's. All ids above (`user`) are those inside of it.
  NamespaceTarget user_namespace = {.kind = NamespaceTarget::Kind::kHost};
  // What it maps, by which the image's layers are mapped as well. Empty where it is the host's.
  std::vector<IdMapping> uid_mappings;
  std::vector<IdMapping> gid_mappings;

  // Whose /dev/shm the container shares: the pod's machine (its leader), or the host's, or a new tmpfs. The inode
  // number is that of the leader's IPC namespace.
  NamespaceTarget shared_memory;

  Capabilities capabilities;
  bool no_new_privileges = false;
  // A compiled seccomp filter (array of struct sock_filter) in the bundle's file "seccomp"; false runs unconfined.
  bool seccomp = false;
  uint32_t seccomp_flags = 0;  // SECCOMP_FILTER_FLAG_… of seccomp(2) to install it with
  std::string apparmor_profile;
  std::string selinux_process_label;
  std::string selinux_mount_label;

  bool terminal = false;
  bool open_stdin = false;
  // Output goes where the unit's goes (its journal), instead of to the bundle's FIFOs.
  bool unit_output = false;
  int oom_score_adjust = 0;
};

std::string Encode(const ProcessSpec& spec);
// kInvalidArgument names the key that is wrong or unknown.
base::Result<ProcessSpec> Decode(std::string_view encoded);

}  // namespace nspawn
