// What all suites work with.
#pragma once

#include <string>
#include <vector>

#include "pods.h"
#include "samples.h"
#include "target.h"

namespace bench {

struct Run {
  std::vector<Target> targets;
  std::string image;
  int rounds = 30;
  int pods = 100;  // of `list`, `memory`, `idle` and `mounts`
  int idle_seconds = 60;
  int log_megabytes = 1024;
  Samples& samples;
};

// Has `measure` called for every target in every round, in another order each time, with rounds of warm-up before,
// whose number is negative.
template <typename Measure>
base::Status InTurn(const std::vector<Target>& targets, int rounds, int warm_up, Measure measure) {
  for (int round = -warm_up; round < rounds; ++round) {
    for (size_t i = 0; i < targets.size(); ++i) {
      const size_t turn = (i + static_cast<size_t>(round + warm_up)) % targets.size();
      RETURN_IF_ERROR(measure(targets[turn], round));
    }
  }
  return base::Ok();
}

}  // namespace bench
