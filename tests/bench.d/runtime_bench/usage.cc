#include "usage.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/files.h"
#include "base/text.h"
#include "pods.h"

namespace bench {
namespace {

constexpr size_t kMostFile = size_t{16} << 20;

// The first number after `key` in a text of lines.
double ValueAfter(const std::string& text, const std::string& key) {
  const size_t at = text.find(key);
  return at == std::string::npos ? 0 : std::strtod(text.c_str() + at + key.size(), nullptr);
}

}  // namespace

base::Result<double> NodeCpu(const Target& target) {
  ASSIGN_OR_RETURN(const std::string text, base::ReadFile(target.cgroup + "/cpu.stat", kMostFile));
  return ValueAfter(text, "usage_usec ") / 1e6;
}

base::Result<double> ManagerCpu(const Target& target) {
  ASSIGN_OR_RETURN(const std::string text,
                   base::ReadFile("/proc/" + std::to_string(target.manager) + "/schedstat", kMostFile));
  return std::strtod(text.c_str(), nullptr) / 1e9;
}

base::Result<int> MountCount(const Target& target) {
  ASSIGN_OR_RETURN(const std::string text,
                   base::ReadFile("/proc/" + std::to_string(target.manager) + "/mountinfo", kMostFile));
  return static_cast<int>(std::count(text.begin(), text.end(), '\n'));
}

base::Result<std::map<std::string, ProcessUsage>> UsageByName(const Target& target) {
  std::map<std::string, ProcessUsage> usage;
  std::error_code error;
  std::vector<std::string> groups = {target.cgroup};
  for (const auto& entry : std::filesystem::recursive_directory_iterator(target.cgroup, error)) {
    if (entry.is_directory()) groups.push_back(entry.path());
  }
  for (const std::string& group : groups) {
    const auto list = base::ReadFile(group + "/cgroup.procs", kMostFile);
    if (!list.ok()) continue;
    for (const std::string_view pid : base::Split(*list, '\n')) {
      if (pid.empty()) continue;
      const std::string process = "/proc/" + std::string(pid);
      const auto command = base::ReadFile(process + "/cmdline", kMostFile);
      const auto name = base::ReadFile(process + "/comm", kMostFile);
      // It has ended, or it is what a container runs.
      if (!command.ok() || !name.ok() || command->find(kWorkloadMark) != std::string::npos) continue;
      ProcessUsage& sum = usage[std::string(base::Trim(*name))];
      if (const auto rollup = base::ReadFile(process + "/smaps_rollup", kMostFile); rollup.ok()) {
        sum.pss += ValueAfter(*rollup, "\nPss:") / 1024;
      }
      for (const auto& thread : std::filesystem::directory_iterator(process + "/task", error)) {
        if (const auto times = base::ReadFile(thread.path().string() + "/schedstat", kMostFile); times.ok()) {
          sum.cpu += std::strtod(times->c_str(), nullptr) / 1e9;
        }
        if (const auto status = base::ReadFile(thread.path().string() + "/status", kMostFile); status.ok()) {
          sum.wakeups += static_cast<uint64_t>(ValueAfter(*status, "\nvoluntary_ctxt_switches:"));
        }
      }
    }
  }
  if (usage.empty()) return base::NotFound("no process in " + target.cgroup);
  return usage;
}

}  // namespace bench
