#include "cycles.h"

#include <atomic>
#include <chrono>
#include <mutex>
#include <optional>
#include <thread>

#include "tests/cri_client/requests.h"
#include "usage.h"

namespace bench {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kWarmUp = 3;
constexpr int kBurstPods = 50;
constexpr int kBurstClients = 8;
constexpr int kExecs = 20;
// What a runtime does after its answer is part of what the call costs.
constexpr std::chrono::milliseconds kSettle{150};

double Seconds(Clock::time_point begin) {
  return std::chrono::duration<double>(Clock::now() - begin).count();
}

// Adds what one operation took in all and in each of its calls. None is added in a warm-up.
void Record(const Run& run, const std::string& suite, const Target& target, int round, const Timings& timings,
            std::map<std::string, double> total) {
  if (round < 0) return;
  double sum = 0;
  for (const auto& [call, seconds] : timings) {
    sum += seconds;
    run.samples.Add({suite, target.name, call, round, {{"seconds", seconds}}});
  }
  total.emplace("seconds", sum);
  run.samples.Add({suite, target.name, "total", round, std::move(total)});
}

base::Status StartAndStop(const Run& run, const std::string& start_suite, const std::string& stop_suite,
                          bool host_network) {
  PodOptions options;
  options.image = run.image;
  options.host_network = host_network;
  return InTurn(run.targets, run.rounds, kWarmUp, [&](const Target& target, int round) -> base::Status {
    const std::string name = start_suite + "-" + std::to_string(round + kWarmUp);
    ASSIGN_OR_RETURN(const double cpu_before, NodeCpu(target));
    Timings started;
    ASSIGN_OR_RETURN(const Pod pod, StartPod(target, name, options, &started));
    std::this_thread::sleep_for(kSettle);
    ASSIGN_OR_RETURN(const double cpu_started, NodeCpu(target));
    Timings stopped;
    RETURN_IF_ERROR(StopPod(target, pod, &stopped));
    std::this_thread::sleep_for(kSettle);
    ASSIGN_OR_RETURN(const double cpu_stopped, NodeCpu(target));
    Record(run, start_suite, target, round, started, {{"cpu", cpu_started - cpu_before}});
    Record(run, stop_suite, target, round, stopped, {{"cpu", cpu_stopped - cpu_started}});
    return base::Ok();
  });
}

}  // namespace

base::Status MeasureStartAndStop(const Run& run) {
  return StartAndStop(run, "start", "stop", false);
}

base::Status MeasureStartHost(const Run& run) {
  return StartAndStop(run, "start-host", "stop-host", true);
}

base::Status MeasureBurst(const Run& run) {
  PodOptions options;
  options.image = run.image;
  // A round is fifty pods; a few suffice for their calls' distribution.
  const int rounds = std::max(1, run.rounds / 10);
  return InTurn(run.targets, rounds, 0, [&](const Target& target, int round) -> base::Status {
    std::atomic<int> next{0};
    std::mutex mutex;
    std::vector<Pod> pods;
    std::vector<Timings> timings;
    std::optional<base::Error> failure;
    ASSIGN_OR_RETURN(const double cpu_before, NodeCpu(target));
    const auto begin = Clock::now();
    const auto work = [&](auto&& each) {
      std::vector<std::thread> clients;
      for (int client = 0; client < kBurstClients; ++client) {
        clients.emplace_back([&] {
          for (int number = next++; number < kBurstPods; number = next++) {
            if (base::Status status = each(number); !status.ok()) {
              const std::lock_guard lock(mutex);
              failure = std::move(status).error();
            }
          }
        });
      }
      for (std::thread& client : clients) client.join();
    };
    work([&](int number) -> base::Status {
      Timings timing;
      ASSIGN_OR_RETURN(Pod pod, StartPod(target, "burst-" + std::to_string(number), options, &timing));
      const std::lock_guard lock(mutex);
      pods.push_back(std::move(pod));
      timings.push_back(std::move(timing));
      return base::Ok();
    });
    const double seconds = Seconds(begin);
    std::this_thread::sleep_for(kSettle);
    ASSIGN_OR_RETURN(const double cpu_after, NodeCpu(target));
    next = 0;
    work([&](int number) {
      const auto index = static_cast<size_t>(number);
      return index < pods.size() ? StopPod(target, pods[index], nullptr) : base::Ok();
    });
    if (failure) return *failure;
    run.samples.Add({"burst", target.name, "total", round, {{"seconds", seconds}, {"cpu", cpu_after - cpu_before}}});
    for (const Timings& timing : timings) {
      for (const auto& [call, took] : timing) {
        run.samples.Add({"burst", target.name, "call", round, {{"seconds", took}}});
        run.samples.Add({"burst", target.name, call, round, {{"seconds", took}}});
      }
    }
    return base::Ok();
  });
}

base::Status MeasureExec(const Run& run) {
  PodOptions options;
  options.image = run.image;
  std::map<std::string, Pod> pods;
  for (const Target& target : run.targets) {
    ASSIGN_OR_RETURN(pods[target.name], StartPod(target, "exec", options, nullptr));
  }
  const auto exec = [&](const Target& target) -> base::Result<double> {
    const auto answer = target.client->Call(&v1::RuntimeService::Stub::ExecSync,
                                            cri_client::ExecSync(pods[target.name].container, {"true"}, 10));
    if (!answer.ok() || answer.response.exit_code() != 0) {
      return base::Internal("ExecSync of " + target.name + ": " + answer.status.error_message() + ", exit code " +
                            std::to_string(answer.response.exit_code()));
    }
    return std::chrono::duration<double>(answer.took).count();
  };
  const base::Status measured =
      InTurn(run.targets, run.rounds, kWarmUp, [&](const Target& target, int round) -> base::Status {
        ASSIGN_OR_RETURN(const double cpu_before, NodeCpu(target));
        double total = 0;
        for (int i = 0; i < kExecs; ++i) {
          ASSIGN_OR_RETURN(const double seconds, exec(target));
          total += seconds;
          if (round >= 0) run.samples.Add({"exec", target.name, "ExecSync", round, {{"seconds", seconds}}});
        }
        std::this_thread::sleep_for(kSettle);
        ASSIGN_OR_RETURN(const double cpu_serial, NodeCpu(target));
        const auto begin = Clock::now();
        std::atomic<int> failed{0};
        std::vector<std::thread> clients;
        for (int i = 0; i < kExecs; ++i) {
          clients.emplace_back([&] {
            if (!exec(target).ok()) ++failed;
          });
        }
        for (std::thread& client : clients) client.join();
        const double parallel = Seconds(begin);
        if (failed != 0) return base::Internal("ExecSync of " + target.name + " failed among others");
        std::this_thread::sleep_for(kSettle);
        ASSIGN_OR_RETURN(const double cpu_parallel, NodeCpu(target));
        if (round < 0) return base::Ok();
        run.samples.Add({"exec",
                         target.name,
                         "one after another",
                         round,
                         {{"seconds", total / kExecs}, {"cpu", (cpu_serial - cpu_before) / kExecs}}});
        run.samples.Add({"exec",
                         target.name,
                         "20 in parallel",
                         round,
                         {{"seconds", parallel}, {"cpu", (cpu_parallel - cpu_serial) / kExecs}}});
        return base::Ok();
      });
  RETURN_IF_ERROR(measured);
  for (const Target& target : run.targets) RETURN_IF_ERROR(StopPod(target, pods[target.name], nullptr));
  return base::Ok();
}

}  // namespace bench
