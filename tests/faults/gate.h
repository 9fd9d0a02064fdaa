// Holds the clients while the node is looked at.
#pragma once

#include <condition_variable>
#include <mutex>

namespace faults {

class Gate {
 public:
  explicit Gate(int clients) : clients_(clients) {}

  // By a client, between two calls: waits while the gate is closed. False when the run is over.
  bool Pass() {
    std::unique_lock lock(mutex_);
    if (open_) return !over_;
    ++waiting_;
    changed_.notify_all();
    changed_.wait(lock, [&] { return open_; });
    --waiting_;
    return !over_;
  }

  // Closes and waits until all clients wait at it.
  void Close() {
    std::unique_lock lock(mutex_);
    open_ = false;
    changed_.wait(lock, [&] { return waiting_ == clients_; });
  }
  void Open() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    changed_.notify_all();
  }
  void End() {
    const std::lock_guard lock(mutex_);
    open_ = true;
    over_ = true;
    changed_.notify_all();
  }

  bool closing() {
    const std::lock_guard lock(mutex_);
    return !open_;
  }

 private:
  const int clients_;
  std::mutex mutex_;
  std::condition_variable changed_;
  int waiting_ = 0;
  bool open_ = false;
  bool over_ = false;
};

}  // namespace faults
