// Seccomp profiles as JSON documents: the form of the OCI runtime specification's "seccomp" with what Docker adds to
// it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace nspawn {

struct SeccompProfile {
  std::vector<char> program;  // as prctl(2) PR_SET_SECCOMP takes it
  uint32_t flags = 0;         // SECCOMP_FILTER_FLAG_… of seccomp(2)
};

// The largest profile that is read.
inline constexpr size_t kMostSeccompProfileBytes = size_t{1} << 20;

// Compiles a profile for a process whose bounding set is `capabilities` (bit n is capability n).
//
// Actions, operators, architectures and flags are those of the OCI runtime specification; the conditions of a rule must
// all hold, but two on the same argument count as two rules, as in runc. A system call that libseccomp does not know is
// left out. Unless the default action lets calls pass, one that is newer than all that the profile names fails with
// ENOSYS (runc's rule), so that programs fall back. "archMap" and a rule's "includes" and "excludes" (capabilities,
// architectures, least kernel) mean what they mean to Docker.
//
// kInvalidArgument names what is wrong or unknown; kUnimplemented for SCMP_ACT_NOTIFY and "listenerPath", which need a
// program that listens.
base::Result<SeccompProfile> CompileSeccompProfile(std::string_view json, uint64_t capabilities);

// The same for a file. kNotFound when there is none.
base::Result<SeccompProfile> LoadSeccompProfile(const std::string& path, uint64_t capabilities);

}  // namespace nspawn
