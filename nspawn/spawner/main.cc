// The spawner: makes processes in the daemon's stead, which has threads and much memory and therefore does not fork.
//
// One thread, one loop, nothing that blocks: what may wait (a slow file system behind a container's /etc/passwd)
// happens in the new processes. It ends when the daemon closes the control socket; processes that still run go on.
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/fd.h"
#include "base/files.h"
#include "base/message.h"
#include "base/result.h"
#include "nspawn/process/execute.h"
#include "nspawn/process/namespaces.h"
#include "nspawn/spawner/container_process.h"
#include "nspawn/spawner/protocol.h"
#include "nspawn/start_status.h"

namespace nspawn {
namespace {

using base::Error;
using base::Result;
using base::Status;
using base::UniqueFd;

// A message of the protocol; the daemon's end may be gone, which the loop notices by itself.
void Tell(int socket, std::string_view message) {
  while (::send(socket, message.data(), message.size(), MSG_NOSIGNAL | MSG_DONTWAIT) < 0 && errno == EINTR) continue;
}

struct Request {
  UniqueFd answers;
  UniqueFd encoded;
  UniqueFd input, output, error;
};

// A process that runs.
struct Job {
  UniqueFd answers;
  UniqueFd pidfd;
  int pid = 0;
  bool on_host = false;
};

class Spawner {
 public:
  Status Prepare() {
    ASSIGN_OR_RETURN(proc_, OpenProc());
    RETURN_IF_ERROR(CheckProgramReadOnly(proc_.get()));
    ASSIGN_OR_RETURN(own_pid_namespace_, OpenNamespace(proc_.get(), ::getpid(), "pid"));
    events_.reset(::epoll_create1(EPOLL_CLOEXEC));
    if (!events_) return base::ErrnoError("epoll_create1");
    return Watch(kControlDescriptor, 0);
  }

  // Serves until the daemon is gone.
  Status Serve() {
    while (true) {
      epoll_event events[64];
      const int count = ::epoll_wait(events_.get(), events, 64, -1);
      if (count < 0 && errno != EINTR) return base::ErrnoError("epoll_wait");
      // The control socket first: when the daemon is gone, so are all its other ends, and nothing is to be killed.
      for (int i = 0; i < count; ++i) {
        if (events[i].data.u64 != 0) continue;
        ASSIGN_OR_RETURN(const bool open, TakeRequest());
        if (!open) return base::Ok();
      }
      for (int i = 0; i < count; ++i) {
        if (events[i].data.u64 != 0) HandleJob(events[i].data.u64);
      }
    }
  }

 private:
  Status Watch(int fd, uint64_t data) {
    epoll_event event{};
    event.events = EPOLLIN | EPOLLRDHUP;
    event.data.u64 = data;
    if (::epoll_ctl(events_.get(), EPOLL_CTL_ADD, fd, &event) != 0) return base::ErrnoError("epoll_ctl");
    return base::Ok();
  }

  // False when the control socket is closed.
  Result<bool> TakeRequest() {
    Result<std::optional<base::Message>> message = base::ReceiveMessage(kControlDescriptor, 1, MSG_DONTWAIT);
    if (!message.ok()) {
      const int number = message.error().number();
      if (number == EAGAIN || number == EMFILE) return true;
      return std::move(message).error();
    }
    if (!*message) return false;
    std::vector<UniqueFd>& descriptors = (*message)->descriptors;
    // With too few, which is when this process has no more room for descriptors, the daemon sees the socket close.
    if (descriptors.size() != kRequestDescriptors) return true;
    Request request{std::move(descriptors[0]), std::move(descriptors[1]), std::move(descriptors[2]),
                    std::move(descriptors[3]), std::move(descriptors[4])};
    const int answers = request.answers.get();
    if (Status started = StartProcess(request); !started.ok()) Tell(answers, FormatStartError(started.error()));
    return true;
  }

  Status StartProcess(Request& request) {
    if (::lseek(request.encoded.get(), 0, SEEK_SET) < 0) return base::ErrnoError("read the request");
    ASSIGN_OR_RETURN(const std::string encoded, base::ReadAll(request.encoded.get(), kLongestRequest, "the request"));
    ASSIGN_OR_RETURN(const SpawnRequest spawn, DecodeRequest(encoded));
    Job job;
    if (spawn.bundle.empty()) {
      ASSIGN_OR_RETURN(job.pid, CloneProcess(0, -1, &job.pidfd));
      if (job.pid == 0) RunChild(request, [&] { return ExecuteOnHost(spawn); });
      job.on_host = true;
    } else {
      ASSIGN_OR_RETURN(const ContainerHandles container, FindContainer(proc_.get(), spawn));
      ASSIGN_OR_RETURN(job.pid, CloneInto(container, job.pidfd));
      if (job.pid == 0)
        RunChild(request, [&] { return ExecuteInContainer(proc_.get(), spawn, container, request.answers.get()); });
    }
    job.answers = std::move(request.answers);
    const uint64_t id = next_++;
    Job& kept = jobs_[id] = std::move(job);
    Status watched = Watch(kept.pidfd.get(), id);
    if (watched.ok()) watched = Watch(kept.answers.get(), id);
    if (!watched.ok()) {
      Kill(kept);
      Tell(kept.answers.get(), FormatStartError(watched.error()));
    }
    return base::Ok();
  }

  // Makes a process in the container's PID namespace and cgroup. That namespace is one for children: this process stays
  // where it is, and the next child must not land there.
  Result<int> CloneInto(const ContainerHandles& container, UniqueFd& pidfd) {
    RETURN_IF_ERROR(EnterNamespace(container.pid_namespace.get(), CLONE_NEWPID, "PID"));
    Result<int> pid = CloneProcess(0, container.cgroup.get(), &pidfd);
    if (pid.ok() && *pid == 0) return pid;
    if (::setns(own_pid_namespace_.get(), CLONE_NEWPID) != 0) ::_exit(1);
    return std::move(pid).Wrap("make a process in the container");
  }

  template <typename Action>
  [[noreturn]] static void RunChild(const Request& request, Action execute) {
    Status status = ResetProcess();
    if (status.ok()) status = SetStandardStreams(request.input.get(), request.output.get(), request.error.get());
    if (status.ok()) status = execute();
    Tell(request.answers.get(), FormatStartError(status.error()));
    ::_exit(127);
  }

  static Error ExecuteOnHost(const SpawnRequest& request) {
    if (::chdir("/") != 0) return base::ErrnoError("enter /");
    if (::close_range(3, ~0U, CLOSE_RANGE_CLOEXEC) != 0) return base::ErrnoError("close descriptors");
    return ExecuteFile(request.program, request.arguments, request.environment);
  }

  void HandleJob(uint64_t id) {
    const auto found = jobs_.find(id);
    if (found == jobs_.end()) return;
    Job& job = found->second;
    siginfo_t info{};
    const auto process = static_cast<id_t>(job.pidfd.get());
    if (::waitid(P_PIDFD, process, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid != 0) {
      // A network plugin that was killed does not wait for those that it has started: what they make must not come
      // after it has been undone. The group's id is taken as long as its leader is not reaped.
      if (job.on_host && info.si_code != CLD_EXITED) ::kill(-job.pid, SIGKILL);
      (void)::waitid(P_PIDFD, process, &info, WEXITED | WNOHANG);
      // As wait(2) would have encoded it.
      const int status = info.si_code == CLD_EXITED ? info.si_status << 8 : info.si_status;
      Tell(job.answers.get(), std::string(kExitPrefix) + std::to_string(status));
      StopWatching(job.pidfd.get());
      StopWatching(job.answers.get());
      jobs_.erase(found);
      return;
    }
    char byte = 0;
    if (::recv(job.answers.get(), &byte, 1, MSG_DONTWAIT) != 0) return;
    // Nobody waits for it any more.
    Kill(job);
    StopWatching(job.answers.get());
  }

  // Together with its process group, which it leads unless it is too young for that.
  static void Kill(const Job& job) {
    ::kill(-job.pid, SIGKILL);
    (void)::syscall(SYS_pidfd_send_signal, job.pidfd.get(), SIGKILL, nullptr, 0);
  }

  // Closing is not enough: a child that has not executed its program yet holds a copy.
  void StopWatching(int fd) { (void)::epoll_ctl(events_.get(), EPOLL_CTL_DEL, fd, nullptr); }

  UniqueFd proc_;
  UniqueFd own_pid_namespace_;
  UniqueFd events_;
  std::map<uint64_t, Job> jobs_;
  uint64_t next_ = 1;  // 0 stands for the control socket
};

}  // namespace
}  // namespace nspawn

int main() {
  // Nobody in a container that is entered may look into this process or its children.
  (void)::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  nspawn::ResetSignals();  // for all that is started
  nspawn::Spawner spawner;
  if (const base::Status prepared = spawner.Prepare(); !prepared.ok()) {
    nspawn::Tell(nspawn::kControlDescriptor, nspawn::FormatStartError(prepared.error()));
    return 1;
  }
  nspawn::Tell(nspawn::kControlDescriptor, nspawn::kSpawnerReady);
  if (const base::Status served = spawner.Serve(); !served.ok()) {
    (void)base::WriteAll(2, "spawner: " + served.error().message() + "\n");
    return 1;
  }
  return 0;
}
