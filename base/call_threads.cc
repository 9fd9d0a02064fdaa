#include "base/call_threads.h"

#include <algorithm>
#include <system_error>
#include <thread>
#include <utility>

namespace base {

CallThreads::~CallThreads() {
  std::deque<std::function<void()>> dropped;
  std::unique_lock lock(mutex_);
  ending_ = true;
  while (calls_.size() > idle_) {
    dropped.push_back(std::move(calls_.back()));
    calls_.pop_back();
  }
  changed_.notify_all();
  changed_.wait(lock, [&] { return threads_ == 0; });
}

Status CallThreads::Run(std::function<void()> call) {
  {
    const std::lock_guard lock(mutex_);
    if (idle_ > calls_.size() || threads_ >= most_) {
      calls_.push_back(std::move(call));
      changed_.notify_one();
      return Ok();
    }
    ++threads_;
  }
  try {
    std::thread([this, call = std::move(call)]() mutable { Work(std::move(call)); }).detach();
  } catch (const std::system_error& error) {
    const std::lock_guard lock(mutex_);
    --threads_;
    return Error::FromErrno(error.code().value(), "start a thread").WithCode(Code::kResourceExhausted);
  }
  return Ok();
}

void CallThreads::Work(std::function<void()> call) {
  std::unique_lock lock(mutex_, std::defer_lock);
  while (true) {
    call();
    call = nullptr;
    lock.lock();
    if (calls_.size() <= idle_) {  // each has a thread that was woken for it
      if (idle_ - calls_.size() >= kept_) break;
      ++idle_;
      changed_.wait(lock, [&] { return ending_ || !calls_.empty(); });
      --idle_;
    }
    if (calls_.empty()) break;
    call = std::move(calls_.front());
    calls_.pop_front();
    lock.unlock();
  }
  --threads_;
  // Still under the lock: whoever waits for the last thread destroys all this.
  changed_.notify_all();
}

}  // namespace base
