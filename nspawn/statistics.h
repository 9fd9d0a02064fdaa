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

// Absent where the controller is not enabled. All read at `timestamp`.
struct Statistics {
  int64_t timestamp = 0;  // nanoseconds since the epoch
  std::optional<uint64_t> cpu_nanoseconds;
  std::optional<uint64_t> memory_usage;        // bytes
  std::optional<uint64_t> memory_working_set;  // usage less inactive file pages
  std::optional<uint64_t> memory_available;    // limit less working set, where there is a limit
  std::optional<uint64_t> memory_rss;          // anonymous
  std::optional<uint64_t> page_faults;
  std::optional<uint64_t> major_page_faults;
  std::optional<uint64_t> swap_usage;
  std::optional<uint64_t> swap_available;
  std::optional<uint64_t> processes;
  std::optional<Pressure> cpu_pressure, memory_pressure, io_pressure;
};

struct NetworkInterface {
  std::string name;
  uint64_t received_bytes = 0, received_errors = 0, sent_bytes = 0, sent_errors = 0;
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
