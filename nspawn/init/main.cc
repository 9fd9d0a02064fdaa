// init: the program that a container's unit starts.
//
// usage: init [BUNDLE]
//
// It runs with all privileges, in a mount namespace where the bundle is the root: with an argument it makes that
// itself, else systemd made it for the unit. It makes the container around a new process, which becomes the container's
// program and a child of the service manager, tells the manager that this is the unit's main process, and exits:
// nothing of it stays. A container that is restored from a checkpoint is made by criu instead: see restore.h.
//
// What the bundle holds for it: "spec" (Encode() of process_spec.h), "seccomp" (a filter's instructions, when the
// specification asks for it), the FIFOs "stdin", "stdout" and "stderr" or the socket "console" (console.h), and the
// empty directory "rootfs". It adds "user", whom the program runs as: FormatIdentity() of user.h.
// What became of the start is in the unit's status text: see start_status.h.
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string>
#include <utility>

#include "base/fd.h"
#include "base/files.h"
#include "base/message.h"
#include "base/result.h"
#include "base/text.h"
#include "nspawn/init/devices.h"
#include "nspawn/init/id_maps.h"
#include "nspawn/init/mounts.h"
#include "nspawn/init/notify.h"
#include "nspawn/init/restore.h"
#include "nspawn/init/root_filesystem.h"
#include "nspawn/init/setup.h"
#include "nspawn/init/steps.h"
#include "nspawn/init/streams.h"
#include "nspawn/init/sysctls.h"
#include "nspawn/process/bundle.h"
#include "nspawn/process/execute.h"
#include "nspawn/process/mount_api.h"
#include "nspawn/process/namespaces.h"
#include "nspawn/process/root_path.h"
#include "nspawn/process/user.h"
#include "nspawn/process/user_namespace.h"
#include "nspawn/process_spec.h"
#include "nspawn/start_status.h"

namespace nspawn {
namespace {

using base::Code;
using base::Error;
using base::Result;
using base::Status;
using base::UniqueFd;

// What the container's process and init tell each other.
constexpr char kThere[] = "there";
constexpr char kMounted[] = "mounted";
constexpr char kReady[] = "ready";
constexpr size_t kLongestMessage = 8192;
constexpr size_t kLongestRestore = 64 * 1024;

// Guards against being started in any other way than by a container's unit, where what follows would harm the host.
Status CheckSurroundings(int proc) {
  struct stat own {};
  struct stat host {};
  if (::fstatat(proc, "self/ns/mnt", &own, 0) != 0 || ::fstatat(proc, "1/ns/mnt", &host, 0) != 0) {
    return base::ErrnoError("compare the mount namespace with the host's");
  }
  if (own.st_ino == host.st_ino) {
    return Error(Code::kFailedPrecondition,
                 "init runs only in a mount namespace of its own, as the container's unit makes it");
  }
  return CheckProgramReadOnly(proc);
}

// Joins a namespace of the specification, or adds to `clone_flags` what makes a new one with the process.
Status ChooseNamespace(int proc, const NamespaceTarget& target, const std::string& kind, int type,
                       uint64_t& clone_flags) {
  switch (target.kind) {
    case NamespaceTarget::Kind::kHost:
      return base::Ok();
    case NamespaceTarget::Kind::kNew:
      clone_flags |= static_cast<uint64_t>(type);
      return base::Ok();
    case NamespaceTarget::Kind::kJoin:
      break;
  }
  ASSIGN_OR_RETURN(const UniqueFd fd, OpenNamespace(proc, target.pid, kind, target.inode));
  return EnterNamespace(fd.get(), type, kind);
}

// Makes the root filesystem in the present mount namespace and enters it.
Result<OwnFilesystems> MakeRoot(const Setup& setup) {
  const ProcessSpec& spec = setup.bundle.spec;
  RETURN_IF_ERROR(WriteSysctls(setup.proc, spec.sysctls));
  ASSIGN_OR_RETURN(RootFilesystem made, MakeRootFilesystem(spec, setup.proc, setup.maps, kRootMountPoint));
  const int root = made.root.get();
  if (!spec.working_directory.empty()) {
    RETURN_IF_ERROR(OpenOrCreateInRoot(root, spec.working_directory, PathKind::kDirectory, RootOwner(spec))
                        .Wrap("working directory"));
  }
  if (spec.read_only_root) RETURN_IF_ERROR(MakeReadOnly(root));
  if (setup.maps.pod) {
    ASSIGN_OR_RETURN(const Identity identity, ResolveUser(root, spec.user));
    RETURN_IF_ERROR(CheckMapped(spec, identity));
    for (const UniqueFd* stream : {&setup.streams.input, &setup.streams.output, &setup.streams.error}) {
      if (*stream) RETURN_IF_ERROR(GivePipe(spec, identity, stream->get()));
    }
  }
  StepDone("look at the root filesystem");
  RETURN_IF_ERROR(EnterRoot(root));
  StepDone("enter the root filesystem");
  return std::move(made.own);
}

// In a pod's user namespace: takes over the root that another process made. A mount namespace of this user namespace's
// own lets its root mount, and locks all that there is now: nothing can be unmounted or made writable again.
Result<OwnFilesystems> TakeRoot() {
  if (::unshare(CLONE_NEWNS) != 0) return base::ErrnoError("make a mount namespace");
  OwnFilesystems own;
  own.devices.reset(::open("/dev", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  own.terminals.reset(::open("/dev/pts", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!own.devices || !own.terminals) return base::ErrnoError("open /dev and /dev/pts");
  return own;
}

// The last that the container's process does before it may become the container's program.
Result<Identity> Finish(const Setup& setup, const OwnFilesystems& own) {
  const ProcessSpec& spec = setup.bundle.spec;
  const UniqueFd root(::open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!root) return base::ErrnoError("open the root filesystem");
  ASSIGN_OR_RETURN(Identity identity, ResolveUser(root.get(), spec.user));
  RETURN_IF_ERROR(SetStreams(setup.streams, spec, setup.proc, own));
  RETURN_IF_ERROR(SetAppArmorProfile(setup.proc, spec.apparmor_profile));
  RETURN_IF_ERROR(SetSelinuxLabel(setup.proc, spec.selinux_process_label));
  return identity;
}

// A message that cannot be sent has nobody to read it.
void Tell(int socket, std::string_view message) {
  (void)base::SendMessage(socket, message);
}

// The next message, empty when the other side has closed.
base::Message HearMessage(int socket) {
  Result<std::optional<base::Message>> message = base::ReceiveMessage(socket, kLongestMessage);
  return message.ok() && *message ? **std::move(message) : base::Message();
}

std::string Hear(int socket) {
  return HearMessage(socket).text;
}

Result<Identity> MakeContainer(const Setup& setup, int socket) {
  ResetSignals();
  RETURN_IF_ERROR(ResetProcess());
  if (setup.maps.pod && Hear(socket) != kMounted) return base::Internal("there is no root filesystem");
  ASSIGN_OR_RETURN(const OwnFilesystems own, setup.maps.pod ? TakeRoot() : MakeRoot(setup));
  return Finish(setup, own);
}

// The container's process. It tells that it is there, then "ready" or what failed, and goes on when it hears an answer.
// On success the program is executed, which closes the socket.
[[noreturn]] void RunContainer(const Setup& setup, UniqueFd socket) {
  const Bundle& bundle = setup.bundle;
  Tell(socket.get(), kThere);
  Result<Identity> identity = MakeContainer(setup, socket.get());
  if (identity.ok()) {
    if (Status written = base::WriteAll(setup.user_file, FormatIdentity(*identity)); !written.ok()) {
      identity = std::move(written).Wrap("write the bundle's user").error();
    }
  }
  if (identity.ok()) {
    StepDone("user and streams");
    Tell(socket.get(), kReady);
    // Nothing is heard when init was killed: the start is over then.
    if (Hear(socket.get()).empty()) ::_exit(1);
    Tell(socket.get(), FormatStartError(Execute({.spec = bundle.spec,
                                                 .identity = *identity,
                                                 .arguments = bundle.spec.arguments,
                                                 .seccomp = bundle.seccomp,
                                                 .terminal = bundle.spec.terminal})));
  } else {
    Tell(socket.get(), FormatStartError(identity.error()));
  }
  // The end of the main process must not be seen before the status text that explains it.
  (void)Hear(socket.get());
  ::_exit(1);
}

// An error for the present status of the container's process: what it told, if it is not `expected`.
Status Expect(const std::string& heard, std::string_view expected) {
  if (heard == expected) return base::Ok();
  if (std::optional<Error> error = ParseStartError(heard)) return *std::move(error);
  return base::Internal("the container's process was killed while it was being made");
}

// The number that the container's process has here, with its first message.
Result<int> HearFirst(int socket) {
  const base::Message first = HearMessage(socket);
  RETURN_IF_ERROR(Expect(first.text, kThere));
  if (!first.sender) return base::Internal("the container's process did not tell its number");
  return *first.sender;
}

// Has a new process, in new namespaces as of `flags`, do that, and gives what `work` answers there.
template <typename Work>
Result<std::string> RunElsewhere(uint64_t flags, const Work& work) {
  ASSIGN_OR_RETURN(base::FdPair pair, base::MakeSocketPair());
  ASSIGN_OR_RETURN(const int helper, CloneProcess(flags));
  if (helper == 0) {
    const Result<std::string> answer = work();
    Tell(pair.theirs.get(), answer.ok() ? *answer : FormatStartError(answer.error()));
    ::_exit(0);
  }
  pair.theirs.reset();
  std::string answer = Hear(pair.ours.get());
  while (::waitpid(helper, nullptr, 0) < 0 && errno == EINTR) continue;
  if (answer.empty()) return base::Internal("the process that was to do it was killed");
  if (std::optional<Error> error = ParseStartError(answer)) return *std::move(error);
  return answer;
}

// Makes the container's process in a user namespace, as the present one has joined it or is to make it by `flags`. Its
// namespaces belong to that user namespace only if whoever makes them is in there: a process for this moment alone.
Status CloneInUserNamespace(const Setup& setup, uint64_t flags, UniqueFd& child, UniqueFd& parent) {
  ASSIGN_OR_RETURN(const int pid, CloneProcess(CLONE_PARENT));
  if (pid != 0) return base::Ok();
  const auto clone = [&]() -> Result<int> {
    RETURN_IF_ERROR(EnterNamespace(setup.maps.pod.get(), CLONE_NEWUSER, "user"));
    RETURN_IF_ERROR(BecomeRootInside());
    return CloneProcess(flags);
  };
  const Result<int> container = clone();
  if (container.ok() && *container == 0) {
    child.reset();
    RunContainer(setup, std::move(parent));
  }
  if (!container.ok()) Tell(parent.get(), FormatStartError(container.error()));
  ::_exit(0);
}

// Makes the root filesystem for a container in a user namespace, who could not mount most of it: by a process of the
// host's root in the container's PID and cgroup namespaces, which are those of process `pid`.
Status MakeRootFor(const Setup& setup, int pid) {
  ASSIGN_OR_RETURN(const UniqueFd processes, OpenNamespace(setup.proc, pid, "pid"));
  ASSIGN_OR_RETURN(const UniqueFd cgroup, OpenNamespace(setup.proc, pid, "cgroup"));
  RETURN_IF_ERROR(EnterNamespace(processes.get(), CLONE_NEWPID, "pid"));
  const auto work = [&]() -> Result<std::string> {
    RETURN_IF_ERROR(EnterNamespace(cgroup.get(), CLONE_NEWCGROUP, "cgroup"));
    RETURN_IF_ERROR(MakeRoot(setup));
    return std::string(kMounted);
  };
  RETURN_IF_ERROR(RunElsewhere(0, work));
  return base::Ok();
}

// Waits until the manager has dealt with all that was sent.
Status Settle(const Notifier& notifier) {
  ASSIGN_OR_RETURN(const UniqueFd barrier, notifier.Barrier());
  pollfd poll_barrier{barrier.get(), POLLIN, 0};
  while (::poll(&poll_barrier, 1, -1) < 0) {
    if (errno != EINTR) return base::ErrnoError("wait for the service manager");
  }
  return base::Ok();
}

// Nothing for a container that is started anew.
Result<std::optional<Restore>> ReadRestore() {
  const Result<std::string> encoded = base::ReadFile(std::string("/") + kRestoreFile, kLongestRestore);
  if (!encoded.ok() && encoded.error().code() == Code::kNotFound) return std::optional<Restore>();
  if (!encoded.ok()) return encoded.error();
  ASSIGN_OR_RETURN(Restore restore, DecodeRestore(*encoded));
  return std::optional<Restore>(std::move(restore));
}

// The same out of a checkpoint; `flags` are those of the namespaces that the pod does not have.
Status RestoreContainer(const Notifier& notifier, const Setup& setup, const Restore& restore, uint64_t flags) {
  // Much memory takes its time to be read.
  RETURN_IF_ERROR(notifier.Send("EXTEND_TIMEOUT_USEC=600000000"));
  const auto work = [&]() -> Result<std::string> {
    ASSIGN_OR_RETURN(const int pid, RestoreProcesses(setup, restore));
    return std::to_string(pid);
  };
  ASSIGN_OR_RETURN(const std::string restored, RunElsewhere(flags, work).Wrap("restore the checkpoint"));
  const std::optional<uint64_t> pid = base::ParseUnsigned(restored);
  if (!pid) return base::Internal("the restored process has no number");
  RETURN_IF_ERROR(notifier.Send("MAINPID=" + restored));
  RETURN_IF_ERROR(notifier.Send("STATUS=" + std::string(kStartedStatus)));
  RETURN_IF_ERROR(Settle(notifier));
  return ResumeProcesses(setup.proc, static_cast<int>(*pid));
}

// `child` is the connection to the container's process; while that waits on it after an error, it must stay open.
Status StartContainer(const Notifier& notifier, char** arguments, UniqueFd& child) {
  if (arguments[0] != nullptr && arguments[1] != nullptr) {
    RETURN_IF_ERROR(ExecuteReadOnly(arguments));
    RETURN_IF_ERROR(EnterBundle(arguments[1]));
  }
  OpenSteps();
  StepDone("enter the bundle");
  ASSIGN_OR_RETURN(const Bundle bundle, ReadBundle(""));
  ASSIGN_OR_RETURN(const Streams streams, OpenStreams(bundle.spec));
  ASSIGN_OR_RETURN(const UniqueFd proc, OpenProc());
  RETURN_IF_ERROR(CheckSurroundings(proc.get()));
  ASSIGN_OR_RETURN(const IdMaps maps, OpenIdMaps(proc.get(), bundle.spec));
  // The container's process has left the bundle when it knows its user.
  const UniqueFd user_file(::open("/user", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!user_file) return base::ErrnoError("create the bundle's user");
  const Setup setup{
      .bundle = bundle, .streams = streams, .user_file = user_file.get(), .proc = proc.get(), .maps = maps};

  // The container's process inherits it; in a user namespace it could not change it.
  RETURN_IF_ERROR(SetOomScoreAdjust(proc.get(), bundle.spec.oom_score_adjust));
  uint64_t flags = CLONE_PARENT;
  RETURN_IF_ERROR(ChooseNamespace(proc.get(), bundle.spec.ipc, "ipc", CLONE_NEWIPC, flags));
  RETURN_IF_ERROR(ChooseNamespace(proc.get(), bundle.spec.uts, "uts", CLONE_NEWUTS, flags));
  ASSIGN_OR_RETURN(const std::optional<Restore> restore, ReadRestore());
  if (restore) {
    return RestoreContainer(notifier, setup, *restore, flags & ~uint64_t{CLONE_PARENT});
  }
  RETURN_IF_ERROR(ChooseNamespace(proc.get(), bundle.spec.pid, "pid", CLONE_NEWPID, flags));
  if (!bundle.spec.privileged) flags |= CLONE_NEWCGROUP;

  ASSIGN_OR_RETURN(base::FdPair pair, base::MakeSocketPair());
  child = std::move(pair.ours);
  UniqueFd parent = std::move(pair.theirs);
  constexpr int kOn = 1;
  if (::setsockopt(child.get(), SOL_SOCKET, SO_PASSCRED, &kOn, sizeof kOn) != 0) {
    return base::ErrnoError("ask for credentials");
  }
  if (maps.pod) {
    RETURN_IF_ERROR(CloneInUserNamespace(setup, flags, child, parent));
  } else {
    ASSIGN_OR_RETURN(const int cloned, CloneProcess(flags));
    if (cloned == 0) {
      child.reset();
      RunContainer(setup, std::move(parent));
    }
  }
  parent.reset();
  ASSIGN_OR_RETURN(const int pid, HearFirst(child.get()));
  StepDone("make the process");

  if (maps.pod) {
    RETURN_IF_ERROR(MakeRootFor(setup, pid));
    Tell(child.get(), kMounted);
  }
  RETURN_IF_ERROR(Expect(Hear(child.get()), kReady));
  // The manager has to know its new main process before that may end. In one message: it tells the whole bus of each.
  RETURN_IF_ERROR(notifier.Send("MAINPID=" + std::to_string(pid) + "\nSTATUS=" + std::string(kStartedStatus)));
  RETURN_IF_ERROR(Settle(notifier));
  StepDone("tell systemd the main process");
  Tell(child.get(), "go");
  RETURN_IF_ERROR(Expect(Hear(child.get()), ""));
  StepDone("execute the program");
  return base::Ok();
}

}  // namespace
}  // namespace nspawn

int main(int, char** arguments) {
  const base::Result<nspawn::Notifier> notifier = nspawn::Notifier::Connect();
  if (!notifier.ok()) {
    (void)base::WriteAll(2, "init: " + notifier.error().message() + "\n");
    return 1;
  }
  // Nobody in a namespace that is joined may look into this process.
  (void)::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  base::UniqueFd child;
  if (const base::Status started = nspawn::StartContainer(*notifier, arguments, child); !started.ok()) {
    const std::string status = nspawn::FormatStartError(started.error());
    (void)base::WriteAll(2, "init: " + status + "\n");
    (void)notifier->Send("STATUS=" + status);
    (void)nspawn::Settle(*notifier);
    return 1;
  }
  if (!notifier->Send("READY=1").ok()) return 1;
  // Who sent a message must not be gone before it is read: the manager asks for its control group.
  return nspawn::Settle(*notifier).ok() ? 0 : 1;
}
