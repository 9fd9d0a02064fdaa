#include "cri/call_threads.h"

#include <system_error>
#include <thread>
#include <utility>

namespace cri {

CallThreads::~CallThreads() {
  std::unique_lock lock(mutex_);
  ending_ = true;
  changed_.notify_all();
  changed_.wait(lock, [&] { return threads_ == 0; });
}

base::Status CallThreads::Run(std::function<void()> task) {
  {
    const std::lock_guard lock(mutex_);
    if (idle_ > tasks_.size()) {
      tasks_.push_back(std::move(task));
      changed_.notify_one();
      return base::Ok();
    }
    ++threads_;
  }
  try {
    std::thread([this, task = std::move(task)]() mutable { Work(std::move(task)); }).detach();
  } catch (const std::system_error& error) {
    const std::lock_guard lock(mutex_);
    --threads_;
    return base::Error::FromErrno(error.code().value(), "start a thread").WithCode(base::Code::kResourceExhausted);
  }
  return base::Ok();
}

void CallThreads::Work(std::function<void()> task) {
  std::unique_lock lock(mutex_, std::defer_lock);
  while (true) {
    task();
    task = nullptr;
    lock.lock();
    if (idle_ >= kept_ + tasks_.size()) break;
    ++idle_;
    changed_.wait(lock, [&] { return ending_ || !tasks_.empty(); });
    --idle_;
    if (tasks_.empty()) break;
    task = std::move(tasks_.front());
    tasks_.pop_front();
    lock.unlock();
  }
  --threads_;
  // Still under the lock: whoever waits for the last thread destroys all this.
  changed_.notify_all();
}

}  // namespace cri
