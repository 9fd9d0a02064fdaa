#include "nspawn/resources.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string_view>

#include "base/text.h"

namespace nspawn {
namespace {

using base::InvalidArgument;
using base::Result;
using base::Status;

constexpr uint64_t kInfinity = std::numeric_limits<uint64_t>::max();
constexpr uint64_t kDefaultPeriod = 100'000;
constexpr uint64_t kMostQuota = 1'000'000ULL * 1'000'000;  // microseconds; far more than any machine has
constexpr unsigned kMostCpus = 8192;

std::string Text(uint64_t value) {
  return value == kInfinity ? "infinity" : std::to_string(value);
}

base::Error BadValue(const std::string& name, std::string_view value) {
  return InvalidArgument(name + ": \"" + base::Printable(value, 64) + "\" is no valid value");
}

class Mapper {
 public:
  Result<ResourceSettings> Map(const Resources& resources) {
    RETURN_IF_ERROR(MapCpu(resources));
    RETURN_IF_ERROR(MapMemory(resources));
    for (const auto& [size, limit] : resources.hugepage_limits) {
      RETURN_IF_ERROR(AddFile("hugetlb." + size + ".max", std::to_string(limit)));
    }
    // These win over the members above: whoever sets them means cgroup v2.
    for (const auto& [file, value] : resources.unified) RETURN_IF_ERROR(MapUnified(file, value));
    return std::move(out_);
  }

 private:
  void Set(const std::string& line_key, const std::string& text, const std::string& name, SettingValue value) {
    const auto same = [&](const ResourceSettings::Entry& entry) { return entry.setting.name == name; };
    out_.unit.erase(std::remove_if(out_.unit.begin(), out_.unit.end(), same), out_.unit.end());
    std::string line = line_key;
    line += "=";
    line += text;
    out_.unit.push_back({std::move(line), {name, std::move(value)}});
  }
  void SetNumber(const std::string& key, uint64_t value) { Set(key, Text(value), key, value); }

  void SetQuota(uint64_t quota, uint64_t period) {
    if (quota == kInfinity) {
      Set("CPUQuota", "", "CPUQuotaPerSecUSec", kInfinity);
    } else {
      // In hundredths of a percent, which is as fine as the unit file has it; never less than asked for.
      const uint64_t permyriad = std::max<uint64_t>(1, (quota * 10'000 + period - 1) / period);
      const std::string cents = std::to_string(100 + permyriad % 100).substr(1);
      Set("CPUQuota", std::to_string(permyriad / 100) + "." + cents + "%", "CPUQuotaPerSecUSec", permyriad * 100);
    }
    Set("CPUQuotaPeriodSec", std::to_string(period) + "us", "CPUQuotaPeriodUSec", period);
  }

  Status MapCpu(const Resources& resources) {
    if (resources.cpu_shares.value_or(0) > 0) SetNumber("CPUWeight", CpuWeightOfShares(*resources.cpu_shares));
    const int64_t quota = resources.cpu_quota.value_or(0);
    const uint64_t period = resources.cpu_period.value_or(0);
    if (quota > 0 && static_cast<uint64_t>(quota) > kMostQuota) return BadValue("cpu quota", std::to_string(quota));
    // The kernel takes 1 ms to 1 s.
    if (period != 0 && (period < 1000 || period > 1'000'000)) return BadValue("cpu period", std::to_string(period));
    if (quota != 0) {
      SetQuota(quota < 0 ? kInfinity : static_cast<uint64_t>(quota), period != 0 ? period : kDefaultPeriod);
    }
    if (!resources.cpuset_cpus.empty()) RETURN_IF_ERROR(SetCpuSet("AllowedCPUs", resources.cpuset_cpus));
    if (!resources.cpuset_mems.empty()) RETURN_IF_ERROR(SetCpuSet("AllowedMemoryNodes", resources.cpuset_mems));
    return {};
  }

  Status MapMemory(const Resources& resources) {
    const int64_t limit = resources.memory_limit.value_or(0);
    const int64_t swap = resources.memory_swap_limit.value_or(0);
    if (limit != 0) SetNumber("MemoryMax", limit < 0 ? kInfinity : static_cast<uint64_t>(limit));
    if (swap < 0) SetNumber("MemorySwapMax", kInfinity);
    if (swap > 0) {
      // The two together, of which cgroup v2 wants the swap alone.
      if (limit <= 0) return InvalidArgument("a limit of memory and swap needs a memory limit");
      if (swap < limit) return InvalidArgument("the limit of memory and swap is below the memory limit");
      SetNumber("MemorySwapMax", static_cast<uint64_t>(swap - limit));
    }
    return {};
  }

  Status MapUnified(const std::string& file, const std::string& value) {
    static constexpr std::pair<std::string_view, const char*> kAmounts[] = {
        {"memory.min", "MemoryMin"}, {"memory.low", "MemoryLow"},          {"memory.high", "MemoryHigh"},
        {"memory.max", "MemoryMax"}, {"memory.swap.max", "MemorySwapMax"}, {"pids.max", "TasksMax"},
    };
    for (const auto& [name, key] : kAmounts) {
      if (name != file) continue;
      const auto number = value == "max" ? kInfinity : base::ParseUnsigned(value);
      if (!number) return BadValue(file, value);
      SetNumber(key, *number);
      return {};
    }
    if (file == "memory.oom.group") {
      if (value != "0" && value != "1") return BadValue(file, value);
      out_.oom_group = value == "1";
      return {};
    }
    if (file == "cpu.weight") return SetWeight("CPUWeight", file, value);
    if (file == "io.weight") {
      // A line for a single device has systemd's IODeviceWeight= only by path.
      const std::string_view plain =
          std::string_view(value).starts_with("default ") ? std::string_view(value).substr(8) : value;
      return base::ParseUnsigned(plain) ? SetWeight("IOWeight", file, plain) : AddFile(file, value);
    }
    if (file == "cpu.max") return SetCpuMax(value);
    if (file == "cpuset.cpus") return SetCpuSet("AllowedCPUs", value);
    if (file == "cpuset.mems") return SetCpuSet("AllowedMemoryNodes", value);
    return AddFile(file, value);
  }

  Status SetWeight(const char* key, const std::string& file, std::string_view value) {
    const auto weight = base::ParseUnsigned(value);
    if (!weight || *weight < 1 || *weight > 10'000) return BadValue(file, value);
    SetNumber(key, *weight);
    return {};
  }

  Status SetCpuMax(const std::string& value) {
    const auto words = base::Split(value, ' ');
    const auto quota = words[0] == "max" ? kInfinity : base::ParseUnsigned(words[0]);
    const auto period = words.size() > 1 ? base::ParseUnsigned(words[1]) : kDefaultPeriod;
    if (words.size() > 2 || !quota || *quota == 0 || (*quota != kInfinity && *quota > kMostQuota) || !period ||
        *period < 1000 || *period > 1'000'000) {
      return BadValue("cpu.max", value);
    }
    SetQuota(*quota, *period);
    return {};
  }

  // "0-2,7" as the bit mask that D-Bus takes, lowest first.
  Status SetCpuSet(const char* key, const std::string& list) {
    std::vector<uint8_t> mask;
    for (const std::string_view range : base::Split(list, ',')) {
      const auto ends = base::Split(range, '-');
      const auto first = base::ParseUnsigned(ends.front());
      const auto last = base::ParseUnsigned(ends.back());
      if (ends.size() > 2 || !first || !last || *first > *last || *last >= kMostCpus) return BadValue(key, list);
      mask.resize(std::max<size_t>(mask.size(), *last / 8 + 1));
      for (uint64_t i = *first; i <= *last; ++i) mask[i / 8] |= static_cast<uint8_t>(1U << (i % 8));
    }
    Set(key, list, key, std::move(mask));
    return {};
  }

  Status AddFile(const std::string& file, const std::string& value) {
    const auto plain = [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '_';
    };
    // cgroup.* files are no resources: cgroup.procs would move processes, cgroup.type change the tree.
    if (file.empty() || file.size() > 64 || file.front() == '.' || file.starts_with("cgroup.") ||
        file.find('.') == std::string::npos || !std::all_of(file.begin(), file.end(), plain)) {
      return InvalidArgument("\"" + base::Printable(file, 64) + "\" is no resource file of cgroup v2");
    }
    if (value.size() > 4096 || value.find('\0') != std::string::npos) return BadValue(file, value);
    out_.files.emplace_back(file, value);
    return {};
  }

  ResourceSettings out_;
};

}  // namespace

uint64_t CpuWeightOfShares(uint64_t shares) {
  if (shares <= 2) return 1;
  if (shares >= 262'144) return 10'000;
  const double logarithm = std::log2(static_cast<double>(shares));
  const double exponent = (logarithm * logarithm + 125 * logarithm) / 612.0 - 7.0 / 34.0;
  return static_cast<uint64_t>(std::ceil(std::pow(10, exponent)));
}

Result<ResourceSettings> MapResources(const Resources& resources) {
  return Mapper().Map(resources);
}

}  // namespace nspawn
