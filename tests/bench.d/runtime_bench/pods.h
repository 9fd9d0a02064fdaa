// Pods of one container, from their start to their removal, each call timed.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "base/result.h"
#include "target.h"

namespace bench {

namespace v1 = runtime::v1;

// In the command line of all that containers run here, to tell it from what runtimes run; a number of seconds to sleep.
inline constexpr char kWorkloadMark[] = "360077";

// Ends at once when it is asked to, which PID 1 of a PID namespace does only when it says so.
std::vector<std::string> IdleCommand();

struct Pod {
  v1::PodSandboxConfig config;
  std::string id;
  std::string container;
};

using Timings = std::map<std::string, double>;  // seconds by the call's name

struct PodOptions {
  bool host_network = false;
  std::string image;
  std::vector<std::string> command = IdleCommand();
};

// Runs a pod and starts a container in it, as a kubelet does. `timings` may be null.
base::Result<Pod> StartPod(const Target& target, const std::string& name, const PodOptions& options, Timings* timings);
// Stops container and pod and removes both.
base::Status StopPod(const Target& target, const Pod& pod, Timings* timings);
// What earlier runs left.
base::Status RemoveAllPods(const Target& target);

}  // namespace bench
