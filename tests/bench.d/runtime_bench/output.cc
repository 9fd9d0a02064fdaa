#include "output.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <string_view>
#include <thread>

#include "base/fd.h"
#include "usage.h"

namespace bench {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::minutes kLongest(10);
constexpr std::chrono::milliseconds kPoll(5);
constexpr char kLast[] = "the last line";
constexpr int kRounds = 3;  // each writes a gibibyte

off_t SizeOf(const std::string& path) {
  struct stat info {};
  return ::stat(path.c_str(), &info) == 0 ? info.st_size : 0;
}

// Whether the file's end holds the line that is written last.
bool HasLast(const std::string& path) {
  const base::UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return false;
  char end[256];
  const auto length = static_cast<off_t>(sizeof end);
  const ssize_t got = ::pread(file.get(), end, sizeof end, std::max<off_t>(0, SizeOf(path) - length));
  return got > 0 && std::string_view(end, static_cast<size_t>(got)).find(kLast) != std::string_view::npos;
}

}  // namespace

base::Status MeasureLogs(const Run& run) {
  PodOptions options;
  options.image = run.image;
  // A mebibyte of lines is made before the first is written, so that making them costs nothing while it is measured.
  options.command = {
      "sh", "-c",
      "line=$(printf '%099d' 0); i=0; while [ $i -lt 10486 ]; do echo $line; i=$((i+1)); done >/tmp/block; "
      "i=0; while [ $i -lt " +
          std::to_string(run.log_megabytes) + " ]; do cat /tmp/block; i=$((i+1)); done; echo '" + kLast +
          "'; exec sleep " + kWorkloadMark};
  return InTurn(run.targets, kRounds, 0, [&](const Target& target, int round) -> base::Status {
    ASSIGN_OR_RETURN(const Pod pod, StartPod(target, "logs", options, nullptr));
    const std::string path = target.root + pod.config.log_directory() + "/main.log";
    const auto deadline = Clock::now() + kLongest;
    while (SizeOf(path) == 0 && Clock::now() < deadline) std::this_thread::sleep_for(kPoll);
    const auto begin = Clock::now();
    ASSIGN_OR_RETURN(const double cpu_before, NodeCpu(target));
    while (!HasLast(path) && Clock::now() < deadline) std::this_thread::sleep_for(kPoll);
    if (!HasLast(path)) return base::Internal(target.name + " did not write the log's last line");
    const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
    ASSIGN_OR_RETURN(const double cpu_after, NodeCpu(target));
    RETURN_IF_ERROR(StopPod(target, pod, nullptr));
    run.samples.Add({"logs", target.name, "total", round, {{"seconds", seconds}, {"cpu", cpu_after - cpu_before}}});
    return base::Ok();
  });
}

}  // namespace bench
