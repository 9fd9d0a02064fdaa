// One operation at a time for each sandbox and container, so that repeated and concurrent calls of clients wait for the
// operation under way and then find its result.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <set>
#include <string>

#include "base/result.h"

namespace cri {

// Thread-safe. What is held is a key, not a mutex: an operation may take seconds and call the bus.
class Operations {
 public:
  // Ends the operation when it goes out of scope. Must not outlive its Operations.
  class Turn {
   public:
    Turn(Turn&& other) noexcept : operations_(std::exchange(other.operations_, nullptr)), key_(std::move(other.key_)) {}
    Turn& operator=(Turn&&) = delete;
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;
    ~Turn();

   private:
    friend class Operations;
    Turn(Operations* operations, std::string key) : operations_(operations), key_(std::move(key)) {}
    Operations* operations_;
    std::string key_;
  };

  // Waits until no operation with `key` runs and begins one; kDeadlineExceeded when that takes too long.
  base::Result<Turn> Begin(const std::string& key, std::chrono::steady_clock::time_point deadline);

 private:
  void End(const std::string& key);

  std::mutex mutex_;
  std::condition_variable changed_;
  std::set<std::string> running_;
};

}  // namespace cri
