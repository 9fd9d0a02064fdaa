#include "cri/usage.h"

namespace cri {

std::optional<uint64_t> CpuRates::Update(const std::string& id, int64_t timestamp, uint64_t cpu_nanoseconds) {
  constexpr int64_t kSecond = 1'000'000'000;
  const std::lock_guard lock(mutex_);
  const auto [found, first] = readings_.try_emplace(id, Reading{timestamp, cpu_nanoseconds, std::nullopt});
  Reading& last = found->second;
  // A clock that was set back, or a cgroup that began anew.
  if (first || timestamp < last.timestamp || cpu_nanoseconds < last.cpu_nanoseconds) {
    last = {timestamp, cpu_nanoseconds, std::nullopt};
    return std::nullopt;
  }
  const int64_t elapsed = timestamp - last.timestamp;
  if (elapsed < kSecond) return last.rate;
  const double cores = static_cast<double>(cpu_nanoseconds - last.cpu_nanoseconds) / static_cast<double>(elapsed);
  last = {timestamp, cpu_nanoseconds, static_cast<uint64_t>(cores * static_cast<double>(kSecond))};
  return last.rate;
}

void CpuRates::Forget(const std::string& id) {
  const std::lock_guard lock(mutex_);
  readings_.erase(id);
}

void Set(runtime::v1::UInt64Value& target, uint64_t value) {
  target.set_value(value);
}

}  // namespace cri
