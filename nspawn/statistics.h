// Usage of a unit as its cgroup (v2) tells, and of a pod's network interfaces.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"

namespace nspawn {

struct PressureLine {
  double average10 = 0, average60 = 0, average300 = 0;
  uint64_t total = 0;  // microseconds
};
struct Pressure {
  PressureLine some;
  PressureLine full;
};

// What a cgroup did on one block device.
struct DeviceIo {
  std::string device;  // "8:0"
  uint64_t read_bytes = 0, written_bytes = 0, reads = 0, writes = 0;
};

// Absent where the controller is not enabled. All read at `timestamp`.
struct Statistics {
  int64_t timestamp = 0;  // nanoseconds since the epoch
  std::optional<uint64_t> cpu_nanoseconds, cpu_user_nanoseconds, cpu_system_nanoseconds;
  // Periods of the CPU quota, those in which it was used up, and how long processes waited for the next then.
  std::optional<uint64_t> cpu_periods, cpu_throttled_periods, cpu_throttled_nanoseconds;
  std::optional<uint64_t> memory_usage;        // bytes
  std::optional<uint64_t> memory_working_set;  // usage less inactive file pages
  std::optional<uint64_t> memory_available;    // limit less working set, where there is a limit
  std::optional<uint64_t> memory_rss;          // anonymous
  std::optional<uint64_t> memory_peak;         // the highest usage; kernels before 5.19 do not tell
  std::optional<uint64_t> memory_cache;        // file pages
  std::optional<uint64_t> memory_mapped_file, memory_active_file, memory_inactive_file;
  std::optional<uint64_t> memory_kernel;
  std::optional<uint64_t> memory_limit_hits;  // how often the usage was about to go over the limit
  std::optional<uint64_t> oom_kills;          // processes killed for want of memory
  std::optional<uint64_t> page_faults;
  std::optional<uint64_t> major_page_faults;
  std::optional<uint64_t> swap_usage;
  std::optional<uint64_t> swap_available;
  std::optional<uint64_t> processes;
  std::optional<uint64_t> most_processes;  // the limit
  std::optional<Pressure> cpu_pressure, memory_pressure, io_pressure;
  std::vector<DeviceIo> io;
};

// What several cgroups used together: members that one of them has are added up, pressures are left out.
Statistics Sum(const std::vector<Statistics>& all);

struct NetworkInterface {
  std::string name;
  uint64_t received_bytes = 0, received_packets = 0, received_errors = 0, received_dropped = 0;
  uint64_t sent_bytes = 0, sent_packets = 0, sent_errors = 0, sent_dropped = 0;
};

// `cgroup` below `cgroup_root` ("/sys/fs/cgroup"; a test gives a folder of its own). kNotFound when it is gone.
base::Result<Statistics> ReadStatistics(const std::string& cgroup, const std::string& cgroup_root = "/sys/fs/cgroup");
// The interfaces of the network namespace of process `pid`, from /proc/<pid>/net/dev.
base::Result<std::vector<NetworkInterface>> ReadNetworkInterfaces(int pid, const std::string& proc_root = "/proc");
// Bytes and inodes that a directory tree takes on disk, with hard links counted once; mounts are not entered. At most
// `most_entries` are looked at (kResourceExhausted).
struct DiskUsage {
  uint64_t bytes = 0, inodes = 0;
};
base::Result<DiskUsage> ReadDiskUsage(const std::string& directory, uint64_t most_entries);

}  // namespace nspawn
