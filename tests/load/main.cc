// Loads a node: many starts at once, many pods at once, many lives of pods one after the other. Prints what they take,
// and by how much that grows. Runs on a node, as root.

#include <CLI/CLI.hpp>
#include <atomic>
#include <cstdio>
#include <iostream>
#include <mutex>
#include <thread>
#include <utility>

#include "base/files.h"
#include "process.h"
#include "samples.h"
#include "tests/cri_client/client.h"
#include "tests/cri_client/requests.h"

namespace load {
namespace {

namespace v1 = runtime::v1;
using Clock = std::chrono::steady_clock;
using Runtime = v1::RuntimeService::Stub;
using std::chrono::milliseconds;

struct Options {
  std::string socket = "/run/cri-nspawn/cri-nspawn.sock";
  std::string image = "127.0.0.1:5000/base:latest";
  int parallel = 100;
  int pods = 250;
  int cycles = 10'000;
  int workers = 4;
  int listers = 64;
  double least_memory = 1500;  // MiB that are left to the machine
};

constexpr char kFolder[] = "/var/lib/faults-load";
// A busy machine, and all at once.
constexpr milliseconds kDeadline(600'000);

double Milliseconds(std::chrono::nanoseconds time) {
  return std::chrono::duration<double, std::milli>(time).count();
}

struct Pod {
  std::string id;
  std::string folder;
  double run = 0;    // milliseconds
  double start = 0;  // of its last container: creating and starting
};

class Load {
 public:
  explicit Load(Options options) : options_(std::move(options)), control_(options_.socket) {}

  base::Status Prepare();
  void StartAtOnce();
  void HoldMany();
  void LiveManyTimes();
  // Gives the exit status.
  int Finish() const;

 private:
  base::Status MakePod(cri_client::Client& client, const std::string& name, int containers, Pod& pod);
  base::Status RemovePod(cri_client::Client& client, const Pod& pod);
  void InThreads(int threads, const std::function<void(cri_client::Client&, int)>& work);
  void RemoveAll(const std::vector<Pod>& pods);
  int ListedPods();
  void Expect(bool holds, const std::string& what);
  void Note(const base::Status& status);
  // Whether no call has failed since this was asked.
  bool NoneFailed();

  const Options options_;
  cri_client::Client control_;
  std::mutex mutex_;
  std::vector<std::string> failures_;  // of calls; guarded by mutex_
  int passed_ = 0;
  int failed_ = 0;
};

void Load::Expect(bool holds, const std::string& what) {
  std::printf("%s %s\n", holds ? "ok     " : "FAILED ", what.c_str());
  ++(holds ? passed_ : failed_);
  std::fflush(stdout);
}

void Load::Note(const base::Status& status) {
  if (status.ok()) return;
  const std::lock_guard lock(mutex_);
  failures_.push_back(status.error().message());
  if (failures_.size() <= 5) std::printf("        %s\n", status.error().message().c_str());
}

base::Status Load::MakePod(cri_client::Client& client, const std::string& name, int containers, Pod& pod) {
  pod.folder = std::string(kFolder) + "/" + name;
  RETURN_IF_ERROR(base::MakeDirectories(pod.folder));
  auto config = cri_client::PodConfig(name, cri_client::RandomUid(), pod.folder);
  // Slices are a kubelet's to remove: a few, instead of one for each pod.
  config.mutable_linux()->set_cgroup_parent(
      "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podload.slice");
  const auto run = client.Call(&Runtime::RunPodSandbox, cri_client::RunPod(config), kDeadline);
  if (!run.ok()) return base::Internal("run pod " + name + ": " + run.status.error_message());
  pod.id = run.response.pod_sandbox_id();
  pod.run = Milliseconds(run.took);
  for (int i = 0; i < containers; ++i) {
    const auto container = cri_client::ContainerConfig("c" + std::to_string(i), options_.image,
                                                       {"sh", "-c", "echo up; exec sleep 100000"});
    const auto created =
        client.Call(&Runtime::CreateContainer, cri_client::CreateContainer(pod.id, config, container), kDeadline);
    if (!created.ok()) return base::Internal("create in " + name + ": " + created.status.error_message());
    const auto started =
        client.Call(&Runtime::StartContainer, cri_client::StartContainer(created.response.container_id()), kDeadline);
    if (!started.ok()) return base::Internal("start in " + name + ": " + started.status.error_message());
    pod.start = Milliseconds(created.took + started.took);
  }
  return base::Ok();
}

base::Status Load::RemovePod(cri_client::Client& client, const Pod& pod) {
  if (pod.id.empty()) return base::Ok();
  const auto stopped = client.Call(&Runtime::StopPodSandbox, cri_client::StopPod(pod.id), kDeadline);
  if (!stopped.ok()) return base::Internal("stop pod " + pod.id + ": " + stopped.status.error_message());
  const auto removed = client.Call(&Runtime::RemovePodSandbox, cri_client::RemovePod(pod.id), kDeadline);
  if (!removed.ok()) return base::Internal("remove pod " + pod.id + ": " + removed.status.error_message());
  return base::RemoveTree(pod.folder);
}

bool Load::NoneFailed() {
  const std::lock_guard lock(mutex_);
  return std::exchange(failures_, {}).empty();
}

void Load::InThreads(int threads, const std::function<void(cri_client::Client&, int)>& work) {
  std::vector<std::thread> running;
  running.reserve(static_cast<size_t>(threads));
  for (int i = 0; i < threads; ++i) {
    running.emplace_back([this, &work, i] {
      cri_client::Client client(options_.socket);
      work(client, i);
    });
  }
  for (std::thread& thread : running) thread.join();
}

void Load::RemoveAll(const std::vector<Pod>& pods) {
  std::atomic<size_t> next = 0;
  InThreads(16, [&](cri_client::Client& client, int) {
    for (size_t i = next++; i < pods.size(); i = next++) Note(RemovePod(client, pods[i]));
  });
}

int Load::ListedPods() {
  const auto listed = control_.Call(&Runtime::ListPodSandbox, v1::ListPodSandboxRequest());
  return listed.ok() ? listed.response.items_size() : -1;
}

base::Status Load::Prepare() {
  if (!control_.WaitUntilServed(std::chrono::seconds(30))) return base::Internal("no daemon answers");
  const auto pulled = control_.Call(&v1::ImageService::Stub::PullImage, cri_client::PullImage(options_.image));
  if (!pulled.ok()) return base::Internal("pull " + options_.image + ": " + pulled.status.error_message());
  if (ListedPods() != 0) return base::Internal("there are pods on the node");
  return base::MakeDirectories(kFolder);
}

void Load::StartAtOnce() {
  std::vector<Pod> pods(static_cast<size_t>(options_.parallel));
  const auto begin = Clock::now();
  InThreads(options_.parallel, [&](cri_client::Client& client, int i) {
    Note(MakePod(client, "at-once-" + std::to_string(i), 1, pods[static_cast<size_t>(i)]));
  });
  const double took = Milliseconds(Clock::now() - begin);
  std::vector<double> runs;
  for (const Pod& pod : pods) runs.push_back(pod.run);
  std::printf("%d pods at once: %.1f s; RunPodSandbox %.0f ms in the middle, %.0f ms at most\n", options_.parallel,
              took / 1000, Quantile(runs, 0.5), Quantile(runs, 1));
  Expect(NoneFailed() && ListedPods() == options_.parallel, "pods started at once all start");
  RemoveAll(pods);
  Expect(NoneFailed() && ListedPods() == 0, "and are removed at once");
}

void Load::HoldMany() {
  std::vector<Pod> pods;
  pods.reserve(static_cast<size_t>(options_.pods));
  cri_client::Client client(options_.socket);
  for (int i = 0; i < options_.pods; ++i) {
    const auto memory = AvailableMemory();
    if (!memory.ok() || *memory < options_.least_memory) {
      std::printf("only %d pods: there is no memory for more\n", i);
      break;
    }
    Note(MakePod(client, "many-" + std::to_string(i), 2, pods.emplace_back()));
  }
  const size_t few = std::max<size_t>(1, pods.size() / 10);
  std::vector<double> first_runs, last_runs, first_starts, last_starts;
  for (size_t i = 0; i < few && i < pods.size(); ++i) {
    first_runs.push_back(pods[i].run);
    first_starts.push_back(pods[i].start);
    last_runs.push_back(pods[pods.size() - 1 - i].run);
    last_starts.push_back(pods[pods.size() - 1 - i].start);
  }
  std::vector<double> lists;
  for (int i = 0; i < 50; ++i) {
    lists.push_back(Milliseconds(client.Call(&Runtime::ListContainers, v1::ListContainersRequest()).took));
  }
  std::printf(
      "%zu pods with 2 containers: RunPodSandbox %.0f ms for the first tenth, %.0f ms for the last; creating and "
      "starting "
      "a container %.0f and %.0f ms; ListContainers %.1f ms\n",
      pods.size(), Quantile(first_runs, 0.5), Quantile(last_runs, 0.5), Quantile(first_starts, 0.5),
      Quantile(last_starts, 0.5), Quantile(lists, 0.5));
  const auto pid = DaemonPid();
  if (const auto daemon = pid.ok() ? LookAt(*pid) : base::Result<Process>(pid.error()); daemon.ok()) {
    std::printf("the daemon has %.1f MiB, %d descriptors, %d threads then\n", daemon->memory_kib / 1024,
                daemon->descriptors, daemon->threads);
  }
  Expect(NoneFailed() && ListedPods() == static_cast<int>(pods.size()), "many pods run side by side");
  // Others work on this machine: the median is compared, and what it measures is whether it grows with the number.
  Expect(Quantile(last_runs, 0.5) < 2 * Quantile(first_runs, 0.5) + 50, "the last pod starts as fast as the first");
  RemoveAll(pods);
  Expect(NoneFailed() && ListedPods() == 0, "and all are removed");
}

void Load::LiveManyTimes() {
  std::atomic<bool> over = false;
  std::atomic<size_t> lists = 0;
  std::vector<std::thread> listers;
  for (int i = 0; i < options_.listers; ++i) {
    listers.emplace_back([&] {
      cri_client::Client client(options_.socket);
      while (!over) {
        const auto answer = client.Call(&Runtime::ListContainers, v1::ListContainersRequest());
        if (!answer.ok()) Note(base::Internal("list: " + answer.status.error_message()));
        ++lists;
        // About as often as 64 impatient clients ask, without taking all of the machine.
        std::this_thread::sleep_for(milliseconds(100));
      }
    });
  }
  const auto pid = DaemonPid();
  std::atomic<int> next = 0;
  std::mutex mutex;
  std::vector<Sample> latency, memory, descriptors;
  const auto begin = Clock::now();
  InThreads(options_.workers, [&](cri_client::Client& client, int worker) {
    for (int i = next++; i < options_.cycles; i = next++) {
      Pod pod;
      const auto from = Clock::now();
      Note(MakePod(client, "cycle-" + std::to_string(i), 1, pod));
      Note(RemovePod(client, pod));
      const double took = Milliseconds(Clock::now() - from);
      const std::lock_guard lock(mutex);
      latency.push_back({static_cast<double>(i), took});
      if (worker != 0 || !pid.ok()) continue;
      if (const auto daemon = LookAt(*pid); daemon.ok()) {
        memory.push_back({static_cast<double>(i), daemon->anonymous_kib});
        descriptors.push_back({static_cast<double>(i), static_cast<double>(daemon->descriptors)});
      }
    }
  });
  const double took = Milliseconds(Clock::now() - begin);
  over = true;
  for (std::thread& thread : listers) thread.join();

  // Pools and caches fill in the beginning.
  const double warm = options_.cycles / 5.0;
  for (auto* samples : {&latency, &memory, &descriptors}) {
    std::erase_if(*samples, [&](const Sample& sample) { return sample.x < warm; });
  }
  // What work has left is given back with each tick of the watchdog: what is compared is the memory right after one.
  memory = Lows(memory, options_.cycles / 10.0);
  std::vector<double> first, last;
  for (const Sample& sample : latency) {
    if (sample.x < warm + (options_.cycles - warm) / 5) first.push_back(sample.y);
    if (sample.x > options_.cycles - (options_.cycles - warm) / 5) last.push_back(sample.y);
  }
  std::printf("%d lives of a pod, %d at a time, in %.0f s, while %d clients list (%zu lists)\n", options_.cycles,
              options_.workers, took / 1000, options_.listers, lists.load());
  std::printf("anonymous memory, the least of each %d lives:", options_.cycles / 10);
  for (const Sample& sample : memory) std::printf(" %.0f", sample.y);
  std::printf(" KiB\n");
  std::printf("for each 1,000 lives: memory %+.1f KiB, descriptors %+.2f, duration %+.1f ms of %.0f ms\n",
              1000 * Slope(memory), 1000 * Slope(descriptors), 1000 * Slope(latency), Quantile(last, 0.5));
  Expect(NoneFailed() && ListedPods() == 0, "every life of a pod comes to its end");
  const double lives = options_.cycles - warm;
  Expect(Slope(memory) * lives < 1024, "memory stays flat");
  Expect(Slope(descriptors) * lives < 8, "descriptors stay flat");
  Expect(Quantile(last, 0.5) < 1.5 * Quantile(first, 0.5), "the last life takes as long as the first");
}

int Load::Finish() const {
  std::printf("%d passed, %d failed, 0 skipped\n", passed_, failed_);
  return failed_ == 0 ? 0 : 1;
}

}  // namespace
}  // namespace load

int main(int argc, char** argv) {
  CLI::App app("Loads a node with pods and prints what that takes", "cri-nspawn-load");
  load::Options options;
  app.add_option("--parallel", options.parallel, "Pods started at once; 0: none")->capture_default_str();
  app.add_option("--pods", options.pods, "Pods of two containers that run side by side; 0: none")
      ->capture_default_str();
  app.add_option("--cycles", options.cycles, "Lives of a pod one after the other; 0: none")->capture_default_str();
  app.add_option("--workers", options.workers, "How many of them at a time")->capture_default_str();
  app.add_option("--listers", options.listers, "Clients that list meanwhile")->capture_default_str();
  app.add_option("--least-memory", options.least_memory, "MiB of memory that pods leave to others")
      ->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  load::Load load(options);
  if (const auto prepared = load.Prepare(); !prepared.ok()) {
    std::cerr << "cri-nspawn-load: " << prepared.error().message() << "\n";
    return 2;
  }
  if (options.parallel > 0) load.StartAtOnce();
  if (options.pods > 0) load.HoldMany();
  if (options.cycles > 0) load.LiveManyTimes();
  return load.Finish();
}
