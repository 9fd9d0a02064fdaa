#include "cri/metrics.h"

#include <algorithm>
#include <map>
#include <string_view>

#include "base/clock.h"

namespace cri {
namespace {

namespace v1 = runtime::v1;

constexpr uint64_t kNanosecondsPerSecond = 1'000'000'000;
constexpr uint64_t kMicrosecondsPerSecond = 1'000'000;

struct Descriptor {
  const char* name;
  const char* help;
  v1::MetricType type;
  std::vector<const char*> labels;  // beside those of the owner
};

// The protocol's values are whole numbers: seconds are cut.
const std::vector<Descriptor>& Descriptors() {
  static const std::vector<Descriptor> descriptors = {
      {"container_cpu_usage_seconds_total", "CPU time used, in seconds.", v1::COUNTER, {"cpu"}},
      {"container_cpu_user_seconds_total", "CPU time used outside the kernel, in seconds.", v1::COUNTER, {}},
      {"container_cpu_system_seconds_total", "CPU time used in the kernel, in seconds.", v1::COUNTER, {}},
      {"container_cpu_cfs_periods_total", "Periods of the CPU quota that have passed.", v1::COUNTER, {}},
      {"container_cpu_cfs_throttled_periods_total", "Periods in which the CPU quota was used up.", v1::COUNTER, {}},
      {"container_cpu_cfs_throttled_seconds_total", "Time spent waiting for CPU quota, in seconds.", v1::COUNTER, {}},
      {"container_memory_usage_bytes", "Memory in use, page cache included.", v1::GAUGE, {}},
      {"container_memory_max_usage_bytes", "Highest memory usage so far.", v1::GAUGE, {}},
      {"container_memory_working_set_bytes", "Memory in use less inactive file pages.", v1::GAUGE, {}},
      {"container_memory_rss", "Anonymous memory in bytes.", v1::GAUGE, {}},
      {"container_memory_cache", "Page cache in bytes.", v1::GAUGE, {}},
      {"container_memory_mapped_file", "Mapped files in bytes.", v1::GAUGE, {}},
      {"container_memory_swap", "Swap in use, in bytes.", v1::GAUGE, {}},
      {"container_memory_kernel_usage", "Kernel memory in bytes.", v1::GAUGE, {}},
      {"container_memory_failcnt", "How often the memory limit was hit.", v1::COUNTER, {}},
      {"container_memory_total_active_file_bytes", "Active file pages in bytes.", v1::GAUGE, {}},
      {"container_memory_total_inactive_file_bytes", "Inactive file pages in bytes.", v1::GAUGE, {}},
      {"container_memory_failures_total", "Page faults.", v1::COUNTER, {"failure_type", "scope"}},
      {"container_oom_events_total", "Processes killed for want of memory.", v1::COUNTER, {}},
      {"container_pressure_cpu_waiting_seconds_total",
       "Time in which at least one task waited for a CPU, in seconds.",
       v1::COUNTER,
       {}},
      {"container_pressure_cpu_stalled_seconds_total",
       "Time in which all tasks waited for a CPU, in seconds.",
       v1::COUNTER,
       {}},
      {"container_pressure_memory_waiting_seconds_total",
       "Time in which at least one task waited for memory, in seconds.",
       v1::COUNTER,
       {}},
      {"container_pressure_memory_stalled_seconds_total",
       "Time in which all tasks waited for memory, in seconds.",
       v1::COUNTER,
       {}},
      {"container_pressure_io_waiting_seconds_total",
       "Time in which at least one task waited for a device, in seconds.",
       v1::COUNTER,
       {}},
      {"container_pressure_io_stalled_seconds_total",
       "Time in which all tasks waited for a device, in seconds.",
       v1::COUNTER,
       {}},
      {"container_fs_reads_bytes_total", "Bytes read from the device.", v1::COUNTER, {"device"}},
      {"container_fs_reads_total", "Reads from the device.", v1::COUNTER, {"device"}},
      {"container_fs_writes_bytes_total", "Bytes written to the device.", v1::COUNTER, {"device"}},
      {"container_fs_writes_total", "Writes to the device.", v1::COUNTER, {"device"}},
      {"container_blkio_device_usage_total",
       "Bytes moved to and from the device.",
       v1::COUNTER,
       {"device", "major", "minor", "operation"}},
      {"container_fs_usage_bytes", "Bytes of the writable layer.", v1::GAUGE, {"device"}},
      {"container_fs_inodes_total", "Inodes of the writable layer.", v1::GAUGE, {"device"}},
      {"container_processes", "Processes and threads that run.", v1::GAUGE, {}},
      {"container_threads", "Threads that run.", v1::GAUGE, {}},
      {"container_threads_max", "Most threads that may run; 0 without a limit.", v1::GAUGE, {}},
      {"container_start_time_seconds", "Start of the container, in seconds since the Unix epoch.", v1::GAUGE, {}},
      {"container_last_seen", "When the values were read, in seconds since the Unix epoch.", v1::GAUGE, {}},
      {"container_spec_cpu_period", "Period of the CPU quota in microseconds.", v1::GAUGE, {}},
      {"container_spec_cpu_quota", "CPU quota in microseconds for each period.", v1::GAUGE, {}},
      {"container_spec_cpu_shares", "CPU shares.", v1::GAUGE, {}},
      {"container_spec_memory_limit_bytes", "Memory limit; 0 without one.", v1::GAUGE, {}},
      {"container_spec_memory_swap_limit_bytes", "Limit of memory and swap together; 0 without one.", v1::GAUGE, {}},
      {"container_network_receive_bytes_total", "Bytes received.", v1::COUNTER, {"interface"}},
      {"container_network_receive_packets_total", "Packets received.", v1::COUNTER, {"interface"}},
      {"container_network_receive_packets_dropped_total",
       "Received packets that were dropped.",
       v1::COUNTER,
       {"interface"}},
      {"container_network_receive_errors_total", "Errors while receiving.", v1::COUNTER, {"interface"}},
      {"container_network_transmit_bytes_total", "Bytes sent.", v1::COUNTER, {"interface"}},
      {"container_network_transmit_packets_total", "Packets sent.", v1::COUNTER, {"interface"}},
      {"container_network_transmit_packets_dropped_total",
       "Packets to be sent that were dropped.",
       v1::COUNTER,
       {"interface"}},
      {"container_network_transmit_errors_total", "Errors while sending.", v1::COUNTER, {"interface"}},
  };
  return descriptors;
}

const std::map<std::string_view, v1::MetricType>& Types() {
  static const auto* const types = [] {
    auto* map = new std::map<std::string_view, v1::MetricType>();
    for (const Descriptor& descriptor : Descriptors()) map->emplace(descriptor.name, descriptor.type);
    return map;
  }();
  return *types;
}

std::optional<uint64_t> Seconds(const std::optional<uint64_t>& nanoseconds) {
  if (!nanoseconds) return std::nullopt;
  return *nanoseconds / kNanosecondsPerSecond;
}

uint64_t NotNegative(int64_t value) {
  return static_cast<uint64_t>(std::max<int64_t>(value, 0));
}

}  // namespace

void FillMetricDescriptors(v1::ListMetricDescriptorsResponse& response) {
  for (const Descriptor& from : Descriptors()) {
    v1::MetricDescriptor& to = *response.add_descriptors();
    to.set_name(from.name);
    to.set_help(from.help);
    for (const char* label : {"container", "id", "image", "name", "namespace", "pod"}) to.add_label_keys(label);
    for (const char* label : from.labels) to.add_label_keys(label);
  }
}

void Metrics::Add(const char* name, uint64_t value, const std::vector<std::string>& more) {
  v1::Metric& metric = *values_.Add();
  metric.set_name(name);
  metric.set_metric_type(Types().at(name));
  for (const std::string& label :
       {owner_.container, owner_.cgroup, owner_.image, owner_.id, owner_.pod_namespace, owner_.pod}) {
    metric.add_label_values(label);
  }
  for (const std::string& label : more) metric.add_label_values(label);
  metric.mutable_value()->set_value(value);
}

void Metrics::Add(const char* name, const std::optional<uint64_t>& value, const std::vector<std::string>& more) {
  if (value) Add(name, *value, more);
}

void Metrics::AddUsage(const nspawn::Statistics& read) {
  Add("container_cpu_usage_seconds_total", Seconds(read.cpu_nanoseconds), {"total"});
  Add("container_cpu_user_seconds_total", Seconds(read.cpu_user_nanoseconds));
  Add("container_cpu_system_seconds_total", Seconds(read.cpu_system_nanoseconds));
  Add("container_cpu_cfs_periods_total", read.cpu_periods);
  Add("container_cpu_cfs_throttled_periods_total", read.cpu_throttled_periods);
  Add("container_cpu_cfs_throttled_seconds_total", Seconds(read.cpu_throttled_nanoseconds));

  Add("container_memory_usage_bytes", read.memory_usage);
  Add("container_memory_max_usage_bytes", read.memory_peak);
  Add("container_memory_working_set_bytes", read.memory_working_set);
  Add("container_memory_rss", read.memory_rss);
  Add("container_memory_cache", read.memory_cache);
  Add("container_memory_mapped_file", read.memory_mapped_file);
  Add("container_memory_swap", read.swap_usage);
  Add("container_memory_kernel_usage", read.memory_kernel);
  Add("container_memory_failcnt", read.memory_limit_hits);
  Add("container_memory_total_active_file_bytes", read.memory_active_file);
  Add("container_memory_total_inactive_file_bytes", read.memory_inactive_file);
  // The cgroup of a container has none below it that is not its own: both scopes are the same.
  for (const char* scope : {"container", "hierarchy"}) {
    Add("container_memory_failures_total", read.page_faults, {"pgfault", scope});
    Add("container_memory_failures_total", read.major_page_faults, {"pgmajfault", scope});
  }
  Add("container_oom_events_total", read.oom_kills);

  const auto add_pressure = [&](const std::optional<nspawn::Pressure>& pressure, const char* waiting,
                                const char* stalled) {
    if (!pressure) return;
    Add(waiting, pressure->some.total / kMicrosecondsPerSecond);
    Add(stalled, pressure->full.total / kMicrosecondsPerSecond);
  };
  add_pressure(read.cpu_pressure, "container_pressure_cpu_waiting_seconds_total",
               "container_pressure_cpu_stalled_seconds_total");
  add_pressure(read.memory_pressure, "container_pressure_memory_waiting_seconds_total",
               "container_pressure_memory_stalled_seconds_total");
  add_pressure(read.io_pressure, "container_pressure_io_waiting_seconds_total",
               "container_pressure_io_stalled_seconds_total");

  for (const nspawn::DeviceIo& io : read.io) {
    Add("container_fs_reads_bytes_total", io.read_bytes, {io.device});
    Add("container_fs_reads_total", io.reads, {io.device});
    Add("container_fs_writes_bytes_total", io.written_bytes, {io.device});
    Add("container_fs_writes_total", io.writes, {io.device});
    const size_t colon = io.device.find(':');
    const std::string major = io.device.substr(0, colon);
    const std::string minor = colon == std::string::npos ? "" : io.device.substr(colon + 1);
    Add("container_blkio_device_usage_total", io.read_bytes, {io.device, major, minor, "Read"});
    Add("container_blkio_device_usage_total", io.written_bytes, {io.device, major, minor, "Write"});
  }
  Add("container_processes", read.processes);
  Add("container_threads", read.processes);
  if (read.processes) Add("container_threads_max", read.most_processes.value_or(0));
  Add("container_last_seen", NotNegative(read.timestamp) / kNanosecondsPerSecond);
}

void Metrics::AddSpecification(const v1::LinuxContainerResources& resources) {
  if (resources.cpu_period() > 0) Add("container_spec_cpu_period", NotNegative(resources.cpu_period()));
  if (resources.cpu_quota() > 0) Add("container_spec_cpu_quota", NotNegative(resources.cpu_quota()));
  Add("container_spec_cpu_shares", NotNegative(resources.cpu_shares()));
  Add("container_spec_memory_limit_bytes", NotNegative(resources.memory_limit_in_bytes()));
  Add("container_spec_memory_swap_limit_bytes", NotNegative(resources.memory_swap_limit_in_bytes()));
}

void Metrics::AddStart(int64_t started_at) {
  Add("container_start_time_seconds", NotNegative(started_at) / kNanosecondsPerSecond);
}

void Metrics::AddWritableLayer(const nspawn::DiskUsage& usage, const std::string& device) {
  Add("container_fs_usage_bytes", usage.bytes, {device});
  Add("container_fs_inodes_total", usage.inodes, {device});
}

void Metrics::AddNetwork(const std::vector<nspawn::NetworkInterface>& interfaces) {
  for (const nspawn::NetworkInterface& interface : interfaces) {
    const std::vector<std::string> label = {interface.name};
    Add("container_network_receive_bytes_total", interface.received_bytes, label);
    Add("container_network_receive_packets_total", interface.received_packets, label);
    Add("container_network_receive_packets_dropped_total", interface.received_dropped, label);
    Add("container_network_receive_errors_total", interface.received_errors, label);
    Add("container_network_transmit_bytes_total", interface.sent_bytes, label);
    Add("container_network_transmit_packets_total", interface.sent_packets, label);
    Add("container_network_transmit_packets_dropped_total", interface.sent_dropped, label);
    Add("container_network_transmit_errors_total", interface.sent_errors, label);
  }
}

}  // namespace cri
