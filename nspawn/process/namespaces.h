// Namespaces of other processes, reached through a procfs of our own.
#pragma once

#include <cstdint>
#include <string>

#include "base/fd.h"
#include "base/result.h"
#include "nspawn/process_spec.h"

namespace nspawn {

// A procfs of the calling process' PID namespace that is mounted nowhere. What a container or a bundle has at /proc
// plays no part.
base::Result<base::UniqueFd> OpenProc();

// The namespace `kind` ("mnt", "pid", "ipc", …) of process `pid` as seen through `proc`. When `inode` is not 0 and the
// namespace found is another one, `pid` is now another process: kFailedPrecondition.
base::Result<base::UniqueFd> OpenNamespace(int proc, int pid, const std::string& kind, uint64_t inode = 0);

// Enters a namespace; `type` is its CLONE_NEW* flag.
base::Status EnterNamespace(int fd, int type, const std::string& kind);

// An error unless this process' program lies on a read-only mount. One that runs in a container's namespaces could be
// written to by the container through /proc otherwise (CVE-2019-5736).
base::Status CheckProgramReadOnly(int proc);
// Executes this process' program again where it lies on no such mount: through a clone of its mount that is read-only
// for good, and that nothing but the process holds. Returns where there is nothing to do, and on errors. The host's
// /proc is trusted.
base::Status ExecuteReadOnly(char** arguments);

// Creates a child like fork(2) with clone3(2) `flags` and gives its PID, 0 in the child. CLONE_PARENT makes it a child
// of the caller's parent. `cgroup` (with CLONE_INTO_CGROUP) and `pidfd` (with CLONE_PIDFD) may be left out.
base::Result<int> CloneProcess(uint64_t flags, int cgroup = -1, base::UniqueFd* pidfd = nullptr);

}  // namespace nspawn
