#include "image/shared_pulls.h"

#include <algorithm>

namespace image {

using base::Code;
using base::Error;

std::shared_ptr<SharedPulls::Running> SharedPulls::Find(const std::string& reference, const Credentials& credentials) {
  const auto found = std::find_if(running_.begin(), running_.end(), [&](const auto& running) {
    return running->reference == reference && running->credentials == credentials && !running->stop.stop_requested();
  });
  return found == running_.end() ? nullptr : *found;
}

base::Result<std::string> SharedPulls::Run(const std::string& reference, const Credentials& credentials,
                                           const Pull& pull, const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  if (const auto running = Find(reference, credentials); running != nullptr) {
    ++running->waiting;
    if (changed_.wait(lock, stop, [&] { return running->result.has_value(); })) return *running->result;
    const bool last = --running->waiting == 0 && running->unwanted;
    lock.unlock();
    if (last) running->stop.request_stop();
    return Error(Code::kCancelled, "cancelled");
  }
  const auto running = std::make_shared<Running>();
  running->reference = reference;
  running->credentials = credentials;
  running_.push_back(running);
  lock.unlock();
  auto result = [&] {
    const std::stop_callback on_stop(stop, [&] {
      {
        const std::lock_guard stop_lock(mutex_);
        running->unwanted = true;
        if (running->waiting > 0) return;
      }
      running->stop.request_stop();
    });
    return pull(running->stop.get_token());
  }();
  lock.lock();
  running->result = result;
  running_.remove(running);
  changed_.notify_all();
  return result;
}

}  // namespace image
