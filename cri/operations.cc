#include "cri/operations.h"

namespace cri {

Operations::Turn::~Turn() {
  if (operations_ != nullptr) operations_->End(key_);
}

base::Result<Operations::Turn> Operations::Begin(const std::string& key,
                                                 std::chrono::steady_clock::time_point deadline) {
  std::unique_lock lock(mutex_);
  if (!changed_.wait_until(lock, deadline, [&] { return running_.count(key) == 0; })) {
    return base::Error(base::Code::kDeadlineExceeded, "wait for an earlier operation on " + key + " to end");
  }
  running_.insert(key);
  return Turn(this, key);
}

void Operations::End(const std::string& key) {
  {
    const std::lock_guard lock(mutex_);
    running_.erase(key);
  }
  changed_.notify_all();
}

}  // namespace cri
