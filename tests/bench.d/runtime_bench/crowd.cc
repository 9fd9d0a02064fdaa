#include "crowd.h"

#include <algorithm>
#include <chrono>
#include <numeric>
#include <set>
#include <thread>

#include "tests/cri_client/requests.h"
#include "usage.h"

namespace bench {
namespace {

constexpr int kFewPods = 10;
constexpr std::chrono::seconds kSettle(2);
// Until what a runtime puts off while pods come is done.
constexpr std::chrono::seconds kIdle(30);
// Processes by which pods are kept, beside those of the daemons named below.
constexpr const char* kDaemons[] = {"cri-nspawnd", "containerd"};

using Usage = std::map<std::string, ProcessUsage>;

bool IsDaemon(const std::string& name) {
  return std::find(std::begin(kDaemons), std::end(kDaemons), name) != std::end(kDaemons);
}

double Sum(const Usage& usage, double ProcessUsage::*what, bool daemon_only) {
  double sum = 0;
  for (const auto& [name, process] : usage) {
    if (!daemon_only || IsDaemon(name)) sum += process.*what;
  }
  return sum;
}

base::Status RecordMemory(const Run& run, const Target& target, int pods) {
  std::this_thread::sleep_for(kSettle);
  ASSIGN_OR_RETURN(const Usage usage, UsageByName(target));
  const std::string what = std::to_string(pods) + " pods";
  run.samples.Add({"memory",
                   target.name,
                   what,
                   0,
                   {{"pods", pods},
                    {"pss", Sum(usage, &ProcessUsage::pss, false)},
                    {"daemon", Sum(usage, &ProcessUsage::pss, true)}}});
  for (const auto& [name, process] : usage) {
    if (process.pss >= 0.05) run.samples.Add({"memory", target.name, what + ": " + name, 0, {{"pss", process.pss}}});
  }
  return base::Ok();
}

base::Status RecordIdle(const Run& run, const Target& target) {
  std::this_thread::sleep_for(kIdle);
  ASSIGN_OR_RETURN(const Usage before, UsageByName(target));
  ASSIGN_OR_RETURN(const double cpu_before, NodeCpu(target));
  std::this_thread::sleep_for(std::chrono::seconds(run.idle_seconds));
  ASSIGN_OR_RETURN(const double cpu_after, NodeCpu(target));
  ASSIGN_OR_RETURN(const Usage after, UsageByName(target));
  const double minutes = run.idle_seconds / 60.0;
  double wakeups = 0;
  double daemon_wakeups = 0;
  for (const auto& [name, process] : after) {
    const auto found = before.find(name);
    const ProcessUsage first = found == before.end() ? ProcessUsage() : found->second;
    const double woken = static_cast<double>(process.wakeups - std::min(first.wakeups, process.wakeups));
    wakeups += woken;
    if (IsDaemon(name)) daemon_wakeups += woken;
    run.samples.Add({"idle",
                     target.name,
                     name,
                     0,
                     {{"cpu", (process.cpu - first.cpu) / minutes}, {"wakeups", woken / run.idle_seconds}}});
  }
  run.samples.Add({"idle",
                   target.name,
                   "total",
                   0,
                   {{"cpu", (cpu_after - cpu_before) / minutes},
                    {"wakeups", wakeups / run.idle_seconds},
                    {"daemon_wakeups", daemon_wakeups / run.idle_seconds}}});
  return base::Ok();
}

template <typename Request, typename Response>
base::Status RecordCall(const Run& run, const Target& target, int round, const char* name,
                        grpc::Status (v1::RuntimeService::Stub::*method)(grpc::ClientContext*, const Request&,
                                                                         Response*),
                        const Request& request) {
  ASSIGN_OR_RETURN(const double cpu_before, NodeCpu(target));
  const auto answer = target.client->Call(method, request);
  if (!answer.ok())
    return base::Internal(std::string(name) + " of " + target.name + ": " + answer.status.error_message());
  ASSIGN_OR_RETURN(const double cpu_after, NodeCpu(target));
  if (round < 0) return base::Ok();
  run.samples.Add({"list",
                   target.name,
                   name,
                   round,
                   {{"seconds", std::chrono::duration<double>(answer.took).count()}, {"cpu", cpu_after - cpu_before}}});
  return base::Ok();
}

}  // namespace

base::Status MeasureCrowd(const Run& run, const CrowdSuites& suites) {
  using Stub = v1::RuntimeService::Stub;
  std::vector<Target> targets;
  std::set<std::string> nodes;
  for (const Target& target : run.targets) {
    if (nodes.insert(target.cgroup).second) targets.push_back(target);
  }
  PodOptions options;
  options.image = run.image;
  std::map<std::string, std::vector<Pod>> pods;
  // CPU seconds of each node's PID 1 and lines of its mount table when the last start there began.
  std::map<std::string, std::pair<double, int>> manager;
  const auto record_manager = [&](const Target& target) -> base::Status {
    ASSIGN_OR_RETURN(const double cpu, ManagerCpu(target));
    ASSIGN_OR_RETURN(const int mounts, MountCount(target));
    if (const auto before = manager.find(target.name); before != manager.end()) {
      const int number = static_cast<int>(pods[target.name].size());
      run.samples.Add({"mounts",
                       target.name,
                       "start",
                       number,
                       {{"manager_cpu", cpu - before->second.first}, {"mounts", mounts - before->second.second}}});
    }
    manager[target.name] = {cpu, mounts};
    return base::Ok();
  };
  const auto grow = [&](int count) {
    // In turn, so that what else the machine does meets all alike.
    return InTurn(targets, count, 0, [&](const Target& target, int) -> base::Status {
      const int number = static_cast<int>(pods[target.name].size());
      // From one start's begin to the next one's: PID 1 is not done when the call is answered.
      if (suites.mounts) RETURN_IF_ERROR(record_manager(target));
      ASSIGN_OR_RETURN(Pod pod, StartPod(target, "crowd-" + std::to_string(number), options, nullptr));
      pods[target.name].push_back(std::move(pod));
      return base::Ok();
    });
  };
  if (suites.memory) {
    for (const Target& target : targets) RETURN_IF_ERROR(RecordMemory(run, target, 0));
    RETURN_IF_ERROR(grow(kFewPods));
    for (const Target& target : targets) RETURN_IF_ERROR(RecordMemory(run, target, kFewPods));
  }
  RETURN_IF_ERROR(grow(run.pods - static_cast<int>(pods[targets[0].name].size())));
  if (suites.memory) {
    for (const Target& target : targets) RETURN_IF_ERROR(RecordMemory(run, target, run.pods));
  }
  if (suites.idle) {
    for (const Target& target : targets) RETURN_IF_ERROR(RecordIdle(run, target));
  }
  if (suites.list) {
    const base::Status measured = InTurn(targets, run.rounds, 3, [&](const Target& target, int round) -> base::Status {
      RETURN_IF_ERROR(
          RecordCall(run, target, round, "ListContainers", &Stub::ListContainers, v1::ListContainersRequest()));
      RETURN_IF_ERROR(
          RecordCall(run, target, round, "ListPodSandbox", &Stub::ListPodSandbox, v1::ListPodSandboxRequest()));
      v1::ContainerStatusRequest status;
      status.set_container_id(pods[target.name][static_cast<size_t>(round + 3) % pods[target.name].size()].container);
      RETURN_IF_ERROR(RecordCall(run, target, round, "ContainerStatus", &Stub::ContainerStatus, status));
      return RecordCall(run, target, round, "ListContainerStats", &Stub::ListContainerStats,
                        v1::ListContainerStatsRequest());
    });
    RETURN_IF_ERROR(measured);
  }
  for (const Target& target : targets) {
    for (const Pod& pod : pods[target.name]) RETURN_IF_ERROR(StopPod(target, pod, nullptr));
  }
  return base::Ok();
}

}  // namespace bench
