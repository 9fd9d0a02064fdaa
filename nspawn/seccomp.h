// Seccomp filters compiled ahead of time by libseccomp, so that init and the spawner only install bytes.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"

namespace nspawn {

// The default profile for a process with these capabilities (bit n is capability n): the system calls that containerd's
// and Docker's default profile allows; everything else fails with EPERM, unknown calls with ENOSYS. The result is a
// program as prctl(2) PR_SET_SECCOMP takes it (array of struct sock_filter), for the machine's architecture and its
// 32-bit variants. Cached by capability set; thread-safe.
base::Result<std::vector<char>> DefaultSeccompProgram(uint64_t capabilities);

}  // namespace nspawn
