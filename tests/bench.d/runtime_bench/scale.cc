#include "scale.h"

namespace bench {
namespace {

constexpr int kPods = 200;

base::Status MeasureScale(const Run& run, const Target& target) {
  PodOptions options;
  options.image = run.image;
  std::vector<Pod> pods;
  for (int number = 0; number < kPods; ++number) {
    Timings timings;
    ASSIGN_OR_RETURN(Pod pod, StartPod(target, "scale-" + std::to_string(number), options, &timings));
    pods.push_back(std::move(pod));
    double sum = 0;
    for (const auto& [call, seconds] : timings) sum += seconds;
    run.samples.Add({"scale", target.name, "start", number, {{"seconds", sum}}});
  }
  for (const Pod& pod : pods) RETURN_IF_ERROR(StopPod(target, pod, nullptr));
  return base::Ok();
}

}  // namespace

base::Status MeasureScale(const Run& run) {
  for (const Target& target : run.targets) RETURN_IF_ERROR(MeasureScale(run, target));
  return base::Ok();
}

}  // namespace bench
