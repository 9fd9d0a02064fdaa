#include "cri/call_threads.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <latch>
#include <semaphore>
#include <set>
#include <thread>

namespace cri {
namespace {

// Runs `count` tasks of which none ends before all have begun; gives the threads that they ran in.
std::set<std::thread::id> RunTogether(CallThreads& threads, int count) {
  std::latch begun(count);
  std::latch done(count);
  std::mutex mutex;
  std::set<std::thread::id> used;
  for (int i = 0; i < count; ++i) {
    EXPECT_TRUE(threads
                    .Run([&] {
                      begun.arrive_and_wait();
                      const std::lock_guard lock(mutex);
                      used.insert(std::this_thread::get_id());
                      done.count_down();
                    })
                    .ok());
  }
  done.wait();
  return used;
}

TEST(CallThreads, TasksRunSideBySide) {
  CallThreads threads(2);
  for (int i = 0; i < 10; ++i) EXPECT_EQ(RunTogether(threads, 20).size(), 20u);
}

TEST(CallThreads, AThreadIsKept) {
  CallThreads threads(1);
  std::set<std::thread::id> used;
  for (int i = 0; i < 20; ++i) {
    const auto now = RunTogether(threads, 1);
    used.insert(now.begin(), now.end());
    std::this_thread::sleep_for(std::chrono::milliseconds(5));  // it is not idle at once
  }
  EXPECT_LT(used.size(), 20u);
}

TEST(CallThreads, TheEndWaitsForTasks) {
  std::atomic<int> ended{0};
  {
    CallThreads threads(3);
    for (int i = 0; i < 8; ++i) {
      ASSERT_TRUE(threads
                      .Run([&] {
                        std::this_thread::sleep_for(std::chrono::milliseconds(20));
                        ++ended;
                      })
                      .ok());
    }
  }
  EXPECT_EQ(ended, 8);
}

TEST(CallThreads, ATaskMayRunAnother) {
  CallThreads threads(1);
  std::binary_semaphore done(0);
  ASSERT_TRUE(threads.Run([&] { EXPECT_TRUE(threads.Run([&] { done.release(); }).ok()); }).ok());
  done.acquire();
}

}  // namespace
}  // namespace cri
