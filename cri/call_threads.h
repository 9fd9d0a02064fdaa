// Threads for calls that may take long.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>

#include "base/result.h"

namespace cri {

// Making a thread and ending it took a tenth of what a short command in a container takes. Thread-safe.
class CallThreads {
 public:
  // Up to `kept` threads stay when they have nothing to do, waiting without a timeout.
  explicit CallThreads(size_t kept) : kept_(kept) {}
  // Waits for all tasks.
  ~CallThreads();
  CallThreads(const CallThreads&) = delete;
  CallThreads& operator=(const CallThreads&) = delete;

  // Runs `task`, which may not throw, at once and in a thread of its own. kResourceExhausted when none can be had; the
  // task is dropped then.
  base::Status Run(std::function<void()> task);

 private:
  void Work(std::function<void()> task);

  const size_t kept_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> tasks_;  // that idle threads have been woken for
  size_t idle_ = 0;
  size_t threads_ = 0;
  bool ending_ = false;
};

}  // namespace cri
