#include "process.h"

#include <string>

#include "base/files.h"
#include "base/text.h"

namespace load {
namespace {

constexpr size_t kMostFile = 1 << 20;

// "Name:   123 kB"
base::Result<double> Field(const std::string& path, const std::string& name) {
  ASSIGN_OR_RETURN(const std::string text, base::ReadFile(path, kMostFile));
  for (const std::string_view line : base::Split(text, '\n')) {
    if (!line.starts_with(name + ":")) continue;
    std::string_view value = base::Trim(line.substr(name.size() + 1));
    value = value.substr(0, value.find(' '));
    if (const auto number = base::ParseUnsigned(value)) return static_cast<double>(*number);
  }
  return base::NotFound("there is no " + name + " in " + path);
}

}  // namespace

base::Result<int> DaemonPid() {
  ASSIGN_OR_RETURN(const std::string members,
                   base::ReadFile("/sys/fs/cgroup/system.slice/cri-nspawn.service/cgroup.procs", kMostFile));
  for (const std::string_view line : base::Split(members, '\n')) {
    const auto name = base::ReadFile("/proc/" + std::string(line) + "/comm", 64);
    if (!line.empty() && name.ok() && *name == "cri-nspawnd\n") {
      return static_cast<int>(base::ParseUnsigned(line).value_or(0));
    }
  }
  return base::NotFound("the daemon does not run");
}

base::Result<Process> LookAt(int pid) {
  const std::string folder = "/proc/" + std::to_string(pid);
  Process process;
  ASSIGN_OR_RETURN(process.memory_kib, Field(folder + "/smaps_rollup", "Pss"));
  ASSIGN_OR_RETURN(process.anonymous_kib, Field(folder + "/smaps_rollup", "Pss_Anon"));
  ASSIGN_OR_RETURN(const auto descriptors, base::ListDirectory(folder + "/fd"));
  process.descriptors = static_cast<int>(descriptors.size());
  ASSIGN_OR_RETURN(const double threads, Field(folder + "/status", "Threads"));
  process.threads = static_cast<int>(threads);
  return process;
}

base::Result<double> AvailableMemory() {
  ASSIGN_OR_RETURN(const double kib, Field("/proc/meminfo", "MemAvailable"));
  return kib / 1024;
}

}  // namespace load
