// What a cgroup used, as CRI has it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>

#include "nspawn/statistics.h"
#include "proto/runtime.pb.h"

namespace cri {

// CPU time per second from one reading to the next, for each container and sandbox. Thread-safe.
class CpuRates {
 public:
  // Nanoseconds of CPU time in a second since the reading before, which must be at least a second old: clients that ask
  // more often get the last answer. Nothing on the first reading.
  std::optional<uint64_t> Update(const std::string& id, int64_t timestamp, uint64_t cpu_nanoseconds);
  void Forget(const std::string& id);

 private:
  struct Reading {
    int64_t timestamp = 0;
    uint64_t cpu_nanoseconds = 0;
    std::optional<uint64_t> rate;
  };
  std::mutex mutex_;
  std::map<std::string, Reading> readings_;
};

void Set(runtime::v1::UInt64Value& target, uint64_t value);

// `owner` is any message with pressure (CpuUsage, MemoryUsage, IoUsage).
template <typename Owner>
void FillPressure(const std::optional<nspawn::Pressure>& pressure, Owner& owner) {
  if (!pressure) return;
  const auto fill = [](const nspawn::PressureLine& line, runtime::v1::PsiData& data) {
    data.set_total(std::min(line.total, UINT64_MAX / 1000) * 1000);
    data.set_avg10(line.average10);
    data.set_avg60(line.average60);
    data.set_avg300(line.average300);
  };
  fill(pressure->some, *owner.mutable_psi()->mutable_some());
  fill(pressure->full, *owner.mutable_psi()->mutable_full());
}

// Fills cpu, memory and io of ContainerStats or LinuxPodSandboxStats; what the kernel did not tell stays absent.
template <typename Stats>
void FillUsage(const nspawn::Statistics& read, std::optional<uint64_t> cpu_rate, Stats& stats) {
  if (read.cpu_nanoseconds) {
    runtime::v1::CpuUsage& cpu = *stats.mutable_cpu();
    cpu.set_timestamp(read.timestamp);
    Set(*cpu.mutable_usage_core_nano_seconds(), *read.cpu_nanoseconds);
    if (cpu_rate) Set(*cpu.mutable_usage_nano_cores(), *cpu_rate);
    FillPressure(read.cpu_pressure, cpu);
  }
  // There also where the kernel does not account memory: clients take the timestamp for granted.
  runtime::v1::MemoryUsage& memory = *stats.mutable_memory();
  memory.set_timestamp(read.timestamp);
  if (read.memory_usage) Set(*memory.mutable_usage_bytes(), *read.memory_usage);
  if (read.memory_working_set) Set(*memory.mutable_working_set_bytes(), *read.memory_working_set);
  if (read.memory_available) Set(*memory.mutable_available_bytes(), *read.memory_available);
  if (read.memory_rss) Set(*memory.mutable_rss_bytes(), *read.memory_rss);
  if (read.page_faults) Set(*memory.mutable_page_faults(), *read.page_faults);
  if (read.major_page_faults) Set(*memory.mutable_major_page_faults(), *read.major_page_faults);
  FillPressure(read.memory_pressure, memory);
  if (read.io_pressure) {
    runtime::v1::IoUsage& io = *stats.mutable_io();
    io.set_timestamp(read.timestamp);
    FillPressure(read.io_pressure, io);
  }
}

}  // namespace cri
