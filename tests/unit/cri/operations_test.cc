#include "cri/operations.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

namespace cri {
namespace {

using std::chrono::milliseconds;
using std::chrono::steady_clock;

TEST(Operations, RunOneAtATimeForAKey) {
  Operations operations;
  std::atomic<int> inside{0};
  std::atomic<int> most{0};
  std::vector<std::thread> threads;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      const auto turn = operations.Begin("a", steady_clock::now() + std::chrono::seconds(30));
      ASSERT_TRUE(turn.ok());
      const int now = ++inside;
      int seen = most;
      while (now > seen && !most.compare_exchange_weak(seen, now)) continue;
      std::this_thread::sleep_for(milliseconds(2));
      --inside;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(most, 1);
}

TEST(Operations, OtherKeysDoNotWait) {
  Operations operations;
  const auto first = operations.Begin("a", steady_clock::now());
  const auto second = operations.Begin("b", steady_clock::now());
  EXPECT_TRUE(first.ok());
  EXPECT_TRUE(second.ok());
}

TEST(Operations, AWaitThatIsTooLongSaysSo) {
  Operations operations;
  const auto first = operations.Begin("a", steady_clock::now());
  ASSERT_TRUE(first.ok());
  const auto second = operations.Begin("a", steady_clock::now() + milliseconds(5));
  ASSERT_FALSE(second.ok());
  EXPECT_EQ(second.error().code(), base::Code::kDeadlineExceeded);
}

}  // namespace
}  // namespace cri
