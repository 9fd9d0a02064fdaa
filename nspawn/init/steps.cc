#include "nspawn/init/steps.h"

#include <fcntl.h>
#include <time.h>
#include <unistd.h>

#include <cstdint>
#include <string>

namespace nspawn {
namespace {

int steps = -1;  // closed when the program is executed

}  // namespace

void OpenSteps() {
  steps = ::open("/steps", O_WRONLY | O_APPEND | O_CLOEXEC | O_NOFOLLOW);
}

void StepDone(std::string_view name) {
  if (steps < 0) return;
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  const int64_t time = int64_t{now.tv_sec} * 1'000'000 + now.tv_nsec / 1000;
  const std::string line = std::to_string(time) + " " + std::string(name) + "\n";
  [[maybe_unused]] const ssize_t put = ::write(steps, line.data(), line.size());
}

}  // namespace nspawn
