#include "nspawn/statistics.h"

#include <fcntl.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <ctime>
#include <string_view>
#include <utility>

#include "base/clock.h"
#include "base/fd.h"
#include "base/files.h"
#include "base/text.h"

namespace nspawn {
namespace {

// Far more than the kernel writes into one of these files.
constexpr size_t kMostFile = 64 * 1024;
constexpr size_t kMostNetworkFile = 4 * 1024 * 1024;

// The files of one cgroup. A file that is not there or cannot be read is nothing.
class Cgroup {
 public:
  explicit Cgroup(base::UniqueFd directory) : directory_(std::move(directory)) {}

  std::optional<std::string> Read(const char* name) {
    const base::UniqueFd file(::openat(directory_.get(), name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
    if (!file) return std::nullopt;
    auto content = base::ReadAll(file.get(), kMostFile, name);
    if (!content) {
      // What the kernel answers for a file of a cgroup that has been removed since.
      gone_ |= content.error().number() == ENODEV;
      return std::nullopt;
    }
    return *std::move(content);
  }

  // A number; nothing for "max".
  std::optional<uint64_t> ReadNumber(const char* name) {
    const auto content = Read(name);
    return content ? base::ParseUnsigned(base::Trim(*content)) : std::nullopt;
  }

  bool gone() const { return gone_; }

 private:
  base::UniqueFd directory_;
  bool gone_ = false;
};

// The value of `key` in lines of "key value".
std::optional<uint64_t> FindValue(std::string_view content, std::string_view key) {
  for (const std::string_view line : base::Split(content, '\n')) {
    if (line.size() > key.size() && line.starts_with(key) && line[key.size()] == ' ') {
      return base::ParseUnsigned(base::Trim(line.substr(key.size())));
    }
  }
  return std::nullopt;
}

bool ParseAverage(std::string_view text, double* value) {
  const auto result = std::from_chars(text.data(), text.data() + text.size(), *value);
  return result.ec == std::errc() && result.ptr == text.data() + text.size();
}

// "some avg10=0.00 avg60=0.00 avg300=0.00 total=0"
bool ParsePressureLine(std::string_view line, PressureLine* result) {
  for (const std::string_view field : base::Split(line, ' ')) {
    const size_t equals = field.find('=');
    if (equals == std::string_view::npos) continue;
    const std::string_view key = field.substr(0, equals);
    const std::string_view value = field.substr(equals + 1);
    bool good = true;
    if (key == "avg10") good = ParseAverage(value, &result->average10);
    if (key == "avg60") good = ParseAverage(value, &result->average60);
    if (key == "avg300") good = ParseAverage(value, &result->average300);
    if (key == "total") {
      const auto total = base::ParseUnsigned(value);
      good = total.has_value();
      result->total = total.value_or(0);
    }
    if (!good) return false;
  }
  return true;
}

std::optional<Pressure> ReadPressure(Cgroup& cgroup, const char* name) {
  const auto content = cgroup.Read(name);
  if (!content) return std::nullopt;
  Pressure pressure;
  bool found = false;
  for (const std::string_view line : base::Split(*content, '\n')) {
    const bool some = line.starts_with("some ");
    if (!some && !line.starts_with("full ")) continue;
    if (!ParsePressureLine(line, some ? &pressure.some : &pressure.full)) return std::nullopt;
    found |= some;
  }
  if (!found) return std::nullopt;
  return pressure;
}

std::optional<uint64_t> Nanoseconds(std::optional<uint64_t> microseconds) {
  if (!microseconds) return std::nullopt;
  return *microseconds * 1000;
}

// "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=0 dios=0"
std::vector<DeviceIo> ParseIo(std::string_view content) {
  std::vector<DeviceIo> devices;
  for (const std::string_view line : base::Split(content, '\n')) {
    const std::vector<std::string_view> fields = base::Split(line, ' ');
    if (fields.size() < 2) continue;
    DeviceIo device;
    device.device = fields.front();
    for (const std::string_view field : fields) {
      const size_t equals = field.find('=');
      if (equals == std::string_view::npos) continue;
      const uint64_t value = base::ParseUnsigned(field.substr(equals + 1)).value_or(0);
      const std::string_view key = field.substr(0, equals);
      if (key == "rbytes") device.read_bytes = value;
      if (key == "wbytes") device.written_bytes = value;
      if (key == "rios") device.reads = value;
      if (key == "wios") device.writes = value;
    }
    devices.push_back(std::move(device));
  }
  return devices;
}

void Add(std::optional<uint64_t>& sum, const std::optional<uint64_t>& value) {
  if (value) sum = sum.value_or(0) + *value;
}

std::optional<uint64_t> Less(std::optional<uint64_t> from, std::optional<uint64_t> what) {
  if (!from || !what) return std::nullopt;
  return *from - std::min(*from, *what);
}

}  // namespace

base::Result<Statistics> ReadStatistics(const std::string& cgroup, const std::string& cgroup_root) {
  const std::string path = cgroup_root + "/" + cgroup;
  base::UniqueFd directory(::open(path.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!directory) return base::ErrnoError("opening the cgroup " + path);
  Cgroup files(std::move(directory));

  Statistics result;
  result.timestamp = base::NowNanoseconds();

  if (const auto stat = files.Read("cpu.stat")) {
    result.cpu_nanoseconds = Nanoseconds(FindValue(*stat, "usage_usec"));
    result.cpu_user_nanoseconds = Nanoseconds(FindValue(*stat, "user_usec"));
    result.cpu_system_nanoseconds = Nanoseconds(FindValue(*stat, "system_usec"));
    result.cpu_periods = FindValue(*stat, "nr_periods");
    result.cpu_throttled_periods = FindValue(*stat, "nr_throttled");
    result.cpu_throttled_nanoseconds = Nanoseconds(FindValue(*stat, "throttled_usec"));
  }

  result.memory_usage = files.ReadNumber("memory.current");
  if (const auto stat = files.Read("memory.stat")) {
    result.memory_rss = FindValue(*stat, "anon");
    result.memory_cache = FindValue(*stat, "file");
    result.memory_mapped_file = FindValue(*stat, "file_mapped");
    result.memory_active_file = FindValue(*stat, "active_file");
    result.memory_inactive_file = FindValue(*stat, "inactive_file");
    result.memory_kernel = FindValue(*stat, "kernel");
    result.page_faults = FindValue(*stat, "pgfault");
    result.major_page_faults = FindValue(*stat, "pgmajfault");
    // As the kubelet and cAdvisor have it: what the kernel could not take back easily.
    result.memory_working_set = Less(result.memory_usage, FindValue(*stat, "inactive_file").value_or(0));
  }
  result.memory_available = Less(files.ReadNumber("memory.max"), result.memory_working_set);
  result.swap_usage = files.ReadNumber("memory.swap.current");
  result.swap_available = Less(files.ReadNumber("memory.swap.max"), result.swap_usage);
  result.memory_peak = files.ReadNumber("memory.peak");
  if (const auto events = files.Read("memory.events")) {
    result.memory_limit_hits = FindValue(*events, "max");
    result.oom_kills = FindValue(*events, "oom_kill");
  }
  result.processes = files.ReadNumber("pids.current");
  result.most_processes = files.ReadNumber("pids.max");
  if (const auto io = files.Read("io.stat")) result.io = ParseIo(*io);
  result.cpu_pressure = ReadPressure(files, "cpu.pressure");
  result.memory_pressure = ReadPressure(files, "memory.pressure");
  result.io_pressure = ReadPressure(files, "io.pressure");
  if (files.gone()) return base::NotFound("the cgroup " + path + " has been removed");
  return result;
}

Statistics Sum(const std::vector<Statistics>& all) {
  Statistics sum;
  for (const Statistics& one : all) {
    sum.timestamp = std::max(sum.timestamp, one.timestamp);
    for (const auto member : {&Statistics::cpu_nanoseconds,
                              &Statistics::cpu_user_nanoseconds,
                              &Statistics::cpu_system_nanoseconds,
                              &Statistics::cpu_periods,
                              &Statistics::cpu_throttled_periods,
                              &Statistics::cpu_throttled_nanoseconds,
                              &Statistics::memory_usage,
                              &Statistics::memory_working_set,
                              &Statistics::memory_rss,
                              &Statistics::memory_cache,
                              &Statistics::memory_mapped_file,
                              &Statistics::memory_active_file,
                              &Statistics::memory_inactive_file,
                              &Statistics::memory_kernel,
                              &Statistics::memory_limit_hits,
                              &Statistics::oom_kills,
                              &Statistics::page_faults,
                              &Statistics::major_page_faults,
                              &Statistics::swap_usage,
                              &Statistics::processes}) {
      Add(sum.*member, one.*member);
    }
    for (const DeviceIo& io : one.io) {
      const auto same = [&](const DeviceIo& other) { return other.device == io.device; };
      const auto found = std::find_if(sum.io.begin(), sum.io.end(), same);
      if (found == sum.io.end()) {
        sum.io.push_back(io);
        continue;
      }
      found->read_bytes += io.read_bytes;
      found->written_bytes += io.written_bytes;
      found->reads += io.reads;
      found->writes += io.writes;
    }
  }
  return sum;
}

base::Result<std::vector<NetworkInterface>> ReadNetworkInterfaces(int pid, const std::string& proc_root) {
  const std::string path = proc_root + "/" + std::to_string(pid) + "/net/dev";
  ASSIGN_OR_RETURN(const std::string content, base::ReadFile(path, kMostNetworkFile));
  std::vector<NetworkInterface> result;
  for (const std::string_view line : base::Split(content, '\n')) {
    // "  eth0: 1 2 …"; the two lines of the heading have no colon.
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos) continue;
    // Received: bytes packets errs drop fifo frame compressed multicast; sent: bytes packets errs drop …
    std::array<uint64_t, 12> numbers = {};
    size_t count = 0;
    for (const std::string_view field : base::Split(line.substr(colon + 1), ' ')) {
      if (field.empty() || count == numbers.size()) continue;
      const auto number = base::ParseUnsigned(field);
      if (!number) return base::Internal(path + " has an unknown format: " + base::Printable(line));
      numbers[count++] = *number;
    }
    if (count != numbers.size()) return base::Internal(path + " has an unknown format: " + base::Printable(line));
    result.push_back({.name = std::string(base::Trim(line.substr(0, colon))),
                      .received_bytes = numbers[0],
                      .received_packets = numbers[1],
                      .received_errors = numbers[2],
                      .received_dropped = numbers[3],
                      .sent_bytes = numbers[8],
                      .sent_packets = numbers[9],
                      .sent_errors = numbers[10],
                      .sent_dropped = numbers[11]});
  }
  return result;
}

}  // namespace nspawn
