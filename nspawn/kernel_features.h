// What the kernel offers beyond what the runtime needs in any case.
#pragma once

#include <string>

namespace nspawn {

struct KernelFeatures {
  // User namespaces, and mounts with mapped ids on the file system of the image layers.
  bool user_namespaces = false;
  std::string why_no_user_namespaces;  // when not: what failed
  // mount_setattr(2) for whole trees, since Linux 5.12.
  bool recursive_read_only_mounts = false;
};

// Tries them out; `directory` is where the image layers lie. Forks: to be called before the first thread.
KernelFeatures ProbeKernel(const std::string& directory);

}  // namespace nspawn
