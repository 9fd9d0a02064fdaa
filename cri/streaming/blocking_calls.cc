#include "cri/streaming/blocking_calls.h"

namespace cri::streaming {

BlockingCalls::~BlockingCalls() {
  std::deque<std::function<void()>> dropped;
  {
    const std::lock_guard lock(mutex_);
    ending_ = true;
    dropped.swap(calls_);
  }
  changed_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void BlockingCalls::Post(std::function<void()> call) {
  const std::lock_guard lock(mutex_);
  calls_.push_back(std::move(call));
  if (calls_.size() > idle_ && threads_.size() < most_threads_) {
    threads_.emplace_back([this] { Run(); });
  }
  changed_.notify_one();
}

void BlockingCalls::Run() {
  std::unique_lock lock(mutex_);
  while (true) {
    ++idle_;
    changed_.wait(lock, [this] { return ending_ || !calls_.empty(); });
    --idle_;
    if (ending_) return;
    const std::function<void()> call = std::move(calls_.front());
    calls_.pop_front();
    lock.unlock();
    call();
    lock.lock();
  }
}

}  // namespace cri::streaming
