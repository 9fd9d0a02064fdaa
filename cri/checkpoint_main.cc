// checkpoint: the program through which the daemon runs criu(8), in two parts.
//
//   checkpoint CGROUP PID CONTAINER-CGROUP CRIU ARGUMENT...
//
// moves to CGROUP, joins the network, IPC and UTS namespaces of the process PID, which must be one of CONTAINER-CGROUP,
// and becomes criu. Cgroups are given as "/machine.slice/...". In a cgroup that is not the daemon's, criu outlives it.
//
// criu in turn runs it as its action script, without arguments, at each of its steps. At "post-dump", while the
// container's processes stand still, it packs their writable layer: LAYER_DIRECTORY into LAYER_ARCHIVE.
#include <fcntl.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdlib>
#include <iostream>
#include <string>

#include "base/fd.h"
#include "base/files.h"
#include "base/text.h"
#include "image/pack.h"
#include "nspawn/checkpoint.h"

namespace {

using base::Status;

std::string Variable(const char* name) {
  const char* const value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): there is one thread
  return value == nullptr ? "" : value;
}

Status Join(const std::string& cgroup, const std::string& pid, const std::string& container_cgroup) {
  const auto number = base::ParseUnsigned(pid);
  if (!number || *number == 0 || *number > INT32_MAX) return base::InvalidArgument("\"" + pid + "\" is no process id");
  const auto process = static_cast<pid_t>(*number);
  const base::UniqueFd handle(static_cast<int>(::syscall(SYS_pidfd_open, process, 0)));
  if (!handle) return base::ErrnoError("open process " + pid);
  ASSIGN_OR_RETURN(const std::string own, nspawn::CgroupOf(process));
  // Else another process has the number by now.
  if (own != container_cgroup && !own.starts_with(container_cgroup + "/")) {
    return {base::Code::kFailedPrecondition, "process " + pid + " is not one of the container"};
  }
  const std::string path = "/sys/fs/cgroup" + cgroup + "/cgroup.procs";
  const base::UniqueFd file(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!file) return base::ErrnoError("open " + path);
  RETURN_IF_ERROR(base::WriteAll(file.get(), "0").Wrap("move to " + path));
  if (::setns(handle.get(), CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS) != 0) {
    return base::ErrnoError("join the pod's namespaces");
  }
  return base::Ok();
}

int Fail(const Status& status) {
  std::cerr << "checkpoint: " << status.error().message() << "\n";
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string action = Variable("CRTOOLS_SCRIPT_ACTION");
  if (action == "post-dump") {
    const Status packed = image::PackLayer(Variable("LAYER_DIRECTORY"), Variable("LAYER_ARCHIVE"));
    return packed.ok() ? 0 : Fail(packed);
  }
  if (!action.empty()) return 0;
  if (argc < 5) {
    std::cerr << "usage: checkpoint CGROUP PID CONTAINER-CGROUP CRIU ARGUMENT...\n";
    return 2;
  }
  if (const Status joined = Join(argv[1], argv[2], argv[3]); !joined.ok()) return Fail(joined);
  ::execv(argv[4], argv + 4);
  return Fail(base::ErrnoError(std::string("execute ") + argv[4]));
}
