#include "nspawn/machine_cgroups.h"

#include <unistd.h>

#include <cerrno>

#include "base/files.h"
#include "base/log.h"
#include "base/text.h"
#include "nspawn/cgroup_file.h"

namespace nspawn {

using base::Status;

Status MergeMachineCgroups(const std::string& path) {
  for (const char* name : {"/payload", "/supervisor"}) {
    const std::string child = path + name;
    const auto processes = base::ReadFile(child + "/cgroup.procs", 4096);
    if (processes.ok()) {
      for (const std::string_view process : base::Split(*processes, '\n')) {
        if (!process.empty()) RETURN_IF_ERROR(WriteCgroupFile(path, "cgroup.procs", std::string(process)));
      }
    }
    if (::rmdir(child.c_str()) != 0 && errno != ENOENT) return base::ErrnoError("remove " + child);
  }
  return base::Ok();
}

MachineCgroups::MachineCgroups(std::string root, std::chrono::milliseconds quiet)
    : root_(std::move(root)), quiet_(quiet), thread_([this](const std::stop_token& stop) { Run(stop); }) {}

void MachineCgroups::MergeSoon(const std::string& machine, const std::string& cgroup) {
  {
    const std::lock_guard lock(mutex_);
    waiting_[machine] = cgroup;
    ++added_;
  }
  changed_.notify_one();
}

void MachineCgroups::Forget(const std::string& machine) {
  const std::lock_guard lock(mutex_);
  waiting_.erase(machine);
}

void MachineCgroups::Run(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    std::map<std::string, std::string> cgroups;
    {
      std::unique_lock lock(mutex_);
      changed_.wait(lock, stop, [this] { return !waiting_.empty(); });
      for (uint64_t seen = 0; seen != added_ && !stop.stop_requested();) {
        seen = added_;
        changed_.wait_for(lock, stop, quiet_, [&] { return added_ != seen; });
      }
      cgroups.swap(waiting_);
    }
    for (const auto& [machine, cgroup] : cgroups) {
      if (stop.stop_requested()) return;
      if (const Status status = MergeMachineCgroups(root_ + cgroup); !status.ok()) {
        base::Log(base::LogLevel::kDebug, "merge the control groups of a machine: " + status.error().message());
      }
    }
  }
}

}  // namespace nspawn
