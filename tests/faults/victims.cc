#include "victims.h"

#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <thread>

#include "base/fd.h"
#include "base/files.h"
#include "base/text.h"
#include "command.h"
#include "node.h"

namespace faults {
namespace {

// Of base/fault.h, which is empty in a program without fault points.
constexpr char kFaultFile[] = "/run/cri-nspawn-fault";

std::vector<int> ChildrenOf(int pid) {
  const std::string process = std::to_string(pid);
  const auto text = base::ReadFile("/proc/" + process + "/task/" + process + "/children", 1 << 16);
  std::vector<int> children;
  if (!text.ok()) return children;
  for (const std::string_view word : base::Split(*text, ' ')) {
    if (const auto child = base::ParseUnsigned(word)) children.push_back(static_cast<int>(*child));
  }
  return children;
}

base::Result<int> MainPidOf(const std::string& unit) {
  ASSIGN_OR_RETURN(const std::string text, Output({"systemctl", "show", unit, "-P", "MainPID"}));
  return static_cast<int>(base::ParseUnsigned(base::Trim(text)).value_or(0));
}

// Systemd-nspawn of one of the machines.
base::Result<int> SomeMachine(uint64_t choice) {
  std::vector<int> supervisors;
  ASSIGN_OR_RETURN(const std::vector<std::string> processes, base::ListDirectory("/proc"));
  for (const std::string& process : processes) {
    if (!base::ParseUnsigned(process)) continue;
    const auto name = base::ReadFile("/proc/" + process + "/comm", 64);
    if (name.ok() && *name == "systemd-nspawn\n")
      supervisors.push_back(static_cast<int>(*base::ParseUnsigned(process)));
  }
  return supervisors.empty() ? 0 : supervisors[choice % supervisors.size()];
}

}  // namespace

std::string NameOf(Victim victim) {
  switch (victim) {
    case Victim::kDaemon:
      return "daemon at any time";
    case Victim::kStep:
      return "daemon at a step";
    case Victim::kSpawner:
      return "spawner";
    case Victim::kMachine:
      return "systemd-nspawn";
    case Victim::kPortabled:
      return "systemd-portabled";
    case Victim::kMachined:
      return "systemd-machined";
    case Victim::kPlugin:
      return "CNI plugin";
  }
  return "";
}

base::Result<bool> Kill(Victim victim, uint64_t choice, std::chrono::milliseconds patience) {
  int pid = 0;
  switch (victim) {
    case Victim::kDaemon: {
      ASSIGN_OR_RETURN(pid, MainPidOf("cri-nspawn.service"));
      break;
    }
    case Victim::kSpawner: {
      ASSIGN_OR_RETURN(const Daemon daemon, LookAtDaemon());
      pid = daemon.spawner;
      break;
    }
    case Victim::kMachine: {
      ASSIGN_OR_RETURN(pid, SomeMachine(choice));
      break;
    }
    case Victim::kPortabled: {
      ASSIGN_OR_RETURN(pid, MainPidOf("systemd-portabled.service"));
      break;
    }
    case Victim::kMachined: {
      ASSIGN_OR_RETURN(pid, MainPidOf("systemd-machined.service"));
      break;
    }
    case Victim::kPlugin: {
      ASSIGN_OR_RETURN(const Daemon daemon, LookAtDaemon());
      // Children of the spawner that are not in a container: executions are in the cgroup of theirs.
      const auto deadline = std::chrono::steady_clock::now() + patience;
      const uint64_t skipped = choice % 8;
      uint64_t seen = 0;
      int last = 0;
      while (pid == 0 && std::chrono::steady_clock::now() < deadline) {
        for (const int child : ChildrenOf(daemon.spawner)) {
          const auto cgroup = base::ReadFile("/proc/" + std::to_string(child) + "/cgroup", 4096);
          if (child == last || !cgroup.ok() || cgroup->find("cri-nspawn.service") == std::string::npos) continue;
          last = child;
          if (seen++ >= skipped) pid = child;
        }
      }
      // A plugin has its address manager for a child.
      if (pid != 0 && choice % 3 == 0) {
        for (const int child : ChildrenOf(pid)) pid = child;
      }
      break;
    }
    case Victim::kStep:
      return base::Internal("BUG: a step is armed, not killed");
  }
  return pid != 0 && ::kill(pid, SIGKILL) == 0;
}

base::Status Arm(const std::string& step, int passes) {
  return base::WriteFileAtomic(kFaultFile, step + "\n" + std::to_string(passes));
}

bool Disarm() {
  return ::unlink(kFaultFile) != 0;
}

bool WaitForEnd(int pid, std::chrono::milliseconds most) {
  const base::UniqueFd process(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (!process) return true;
  pollfd waiting{process.get(), POLLIN, 0};
  return ::poll(&waiting, 1, static_cast<int>(most.count())) > 0;
}

}  // namespace faults
