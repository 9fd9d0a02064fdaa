// runtime_bench: drives CRI runtimes in turn and writes what each operation took. `tests/bench` prepares the nodes.

#include <absl/synchronization/mutex.h>

#include <CLI/CLI.hpp>
#include <iostream>
#include <map>
#include <set>

#include "base/text.h"
#include "crowd.h"
#include "cycles.h"
#include "output.h"
#include "scale.h"
#include "suites.h"

namespace bench {
namespace {

// "name=containerd+runc,socket=/run/…,handler=,parent=,root=/proc/7/root,cgroup=/sys/…,manager=7"
base::Result<Target> ParseTarget(const std::string& text) {
  std::map<std::string, std::string> values;
  for (const std::string_view part : base::Split(text, ',')) {
    const size_t equals = part.find('=');
    if (equals == std::string_view::npos) return base::InvalidArgument("target \"" + text + "\" is not KEY=VALUE,…");
    values[std::string(part.substr(0, equals))] = part.substr(equals + 1);
  }
  Target target;
  target.name = values["name"];
  target.socket = values["socket"];
  target.handler = values["handler"];
  target.cgroup_parent = values["parent"];
  target.root = values["root"];
  target.cgroup = values["cgroup"];
  const auto manager = base::ParseUnsigned(values["manager"]);
  if (target.name.empty() || target.socket.empty() || target.cgroup.empty() || !manager) {
    return base::InvalidArgument("target \"" + text + "\" lacks a name, socket, cgroup or manager");
  }
  target.manager = static_cast<pid_t>(*manager);
  target.client = std::make_shared<cri_client::Client>(target.socket);
  return target;
}

base::Status Measure(const Run& run, const std::vector<std::string>& suites, const std::string& output) {
  const std::set<std::string> wanted(suites.begin(), suites.end());
  const auto asked = [&](const char* suite) { return wanted.contains(suite); };
  for (const Target& target : run.targets) RETURN_IF_ERROR(RemoveAllPods(target));
  if (asked("start") || asked("stop")) RETURN_IF_ERROR(MeasureStartAndStop(run));
  RETURN_IF_ERROR(run.samples.Write(output));
  if (asked("start-host")) RETURN_IF_ERROR(MeasureStartHost(run));
  if (asked("exec")) RETURN_IF_ERROR(MeasureExec(run));
  RETURN_IF_ERROR(run.samples.Write(output));
  if (asked("burst")) RETURN_IF_ERROR(MeasureBurst(run));
  if (asked("logs")) RETURN_IF_ERROR(MeasureLogs(run));
  RETURN_IF_ERROR(run.samples.Write(output));
  const CrowdSuites crowd{asked("memory"), asked("list"), asked("idle"), asked("mounts")};
  if (crowd.memory || crowd.list || crowd.idle || crowd.mounts) RETURN_IF_ERROR(MeasureCrowd(run, crowd));
  RETURN_IF_ERROR(run.samples.Write(output));
  if (asked("scale")) RETURN_IF_ERROR(MeasureScale(run));
  return run.samples.Write(output);
}

}  // namespace
}  // namespace bench

int main(int argc, char** argv) {
  // Debian's Abseil looks for deadlocks at each lock of gRPC's, which would count for every runtime.
  absl::SetMutexDeadlockDetectionMode(absl::OnDeadlockCycle::kIgnore);
  CLI::App app("Measures CRI runtimes in turn", "runtime_bench");
  std::vector<std::string> suites;
  std::vector<std::string> targets;
  std::string output;
  bench::Samples samples;
  bench::Run run{.targets = {}, .image = {}, .samples = samples};
  app.add_option("suites", suites, "start stop start-host burst exec list memory idle logs mounts scale")->required();
  app.add_option("--target", targets, "name=,socket=,handler=,parent=,root=,cgroup=,manager=")->required();
  app.add_option("--image", run.image, "What the containers run, there already")->required();
  app.add_option("--output", output, "File for the samples")->required();
  app.add_option("--rounds", run.rounds, "How often each is measured")->capture_default_str();
  app.add_option("--pods", run.pods, "Pods of list, memory, idle and mounts")->capture_default_str();
  app.add_option("--idle-seconds", run.idle_seconds, "How long nothing is done")->capture_default_str();
  app.add_option("--log-megabytes", run.log_megabytes, "What a container writes")->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  for (const std::string& text : targets) {
    auto target = bench::ParseTarget(text);
    if (!target.ok()) {
      std::cerr << "runtime_bench: " << target.error().message() << "\n";
      return 2;
    }
    run.targets.push_back(*std::move(target));
  }
  if (const base::Status status = bench::Measure(run, suites, output); !status.ok()) {
    std::cerr << "runtime_bench: " << status.error().message() << "\n";
    return 1;
  }
  return 0;
}
