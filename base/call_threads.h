// Threads for calls that may take long.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <limits>
#include <mutex>

#include "base/result.h"

namespace base {

// Threads are made as calls come. Making one and ending it took a tenth of what a short command in a container takes,
// so that some are kept: idle ones cost next to nothing and do not wake up. Thread-safe.
class CallThreads {
 public:
  // Up to `kept` threads stay when they have nothing to do. With `most` of them at work, further calls wait for one.
  explicit CallThreads(size_t kept, size_t most = std::numeric_limits<size_t>::max()) : kept_(kept), most_(most) {}
  // Waits for the calls that have a thread; those that wait for one are destroyed.
  ~CallThreads();
  CallThreads(const CallThreads&) = delete;
  CallThreads& operator=(const CallThreads&) = delete;

  // Runs `call`, which may not throw, in a thread that does nothing else meanwhile. kResourceExhausted when there is
  // none and none can be had; the call is destroyed then.
  Status Run(std::function<void()> call);

 private:
  void Work(std::function<void()> call);

  const size_t kept_;
  const size_t most_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> calls_;  // the first of them have idle threads that have been woken for them
  size_t idle_ = 0;
  size_t threads_ = 0;
  bool ending_ = false;
};

}  // namespace base
