// Threads for calls that may block, so that the I/O thread never does.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

namespace cri::streaming {

// Threads are started as calls come, up to a number, and stay: idle ones cost next to nothing and do not wake up.
class BlockingCalls {
 public:
  explicit BlockingCalls(size_t most_threads) : most_threads_(most_threads) {}
  // Waits for the calls that are being made; those that are queued are destroyed.
  ~BlockingCalls();
  BlockingCalls(const BlockingCalls&) = delete;
  BlockingCalls& operator=(const BlockingCalls&) = delete;

  // Thread-safe. The call must not throw.
  void Post(std::function<void()> call);

 private:
  void Run();

  const size_t most_threads_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<std::function<void()>> calls_;
  size_t idle_ = 0;
  bool ending_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace cri::streaming
