#include "base/call_threads.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <latch>
#include <memory>
#include <semaphore>
#include <set>
#include <thread>

namespace base {
namespace {

// Runs `count` tasks of which none ends before all have begun; gives the threads that they ran in.
std::set<pid_t> RunTogether(CallThreads& threads, int count) {
  std::latch begun(count);
  std::latch done(count);
  std::mutex mutex;
  std::set<pid_t> used;
  for (int i = 0; i < count; ++i) {
    EXPECT_TRUE(threads
                    .Run([&] {
                      begun.arrive_and_wait();
                      {
                        const std::lock_guard lock(mutex);
                        used.insert(::gettid());  // which, unlike a std::thread::id, is not used again soon
                      }
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
  std::set<pid_t> used;
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

TEST(CallThreads, NoMoreThanAllowedAreAtWork) {
  CallThreads threads(2, 2);
  std::atomic<int> at_work{0};
  std::atomic<int> most{0};
  std::latch done(10);
  for (int i = 0; i < 10; ++i) {
    ASSERT_TRUE(threads
                    .Run([&] {
                      most = std::max<int>(most, ++at_work);
                      std::this_thread::sleep_for(std::chrono::milliseconds(5));
                      --at_work;
                      done.count_down();
                    })
                    .ok());
  }
  done.wait();
  EXPECT_LE(most, 2);
}

TEST(CallThreads, WhatWaitsForAThreadAtTheEndIsDropped) {
  const auto alive = std::make_shared<int>();
  std::atomic<int> ran{0};
  std::binary_semaphore begun(0);
  {
    CallThreads threads(1, 1);
    ASSERT_TRUE(threads
                    .Run([&] {
                      begun.release();
                      std::this_thread::sleep_for(std::chrono::milliseconds(50));
                      ++ran;
                    })
                    .ok());
    begun.acquire();
    ASSERT_TRUE(threads.Run([&ran, alive] { ++ran; }).ok());
  }
  EXPECT_EQ(ran, 1);
  EXPECT_EQ(alive.use_count(), 1);
}

TEST(CallThreads, ATaskMayRunAnother) {
  CallThreads threads(1);
  std::binary_semaphore done(0);
  ASSERT_TRUE(threads.Run([&] { EXPECT_TRUE(threads.Run([&] { done.release(); }).ok()); }).ok());
  done.acquire();
}

}  // namespace
}  // namespace base
