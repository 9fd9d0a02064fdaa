#include "cri/event_engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <mutex>
#include <vector>

namespace cri {
namespace {

using namespace std::chrono_literals;

// Servers, clients and exporters of all other tests of this program run as in the daemon.
const bool started = [] {
  StartGrpc();
  return true;
}();

TEST(EventEngine, RunsClosuresOnThreadsOfItsOwn) {
  const auto engine = MakeEventEngine();
  std::promise<bool> ran;
  engine->Run([&] { ran.set_value(engine->IsWorkerThread()); });
  EXPECT_TRUE(ran.get_future().get());
  EXPECT_FALSE(engine->IsWorkerThread());
}

TEST(EventEngine, AClosureMayWaitForAnother) {
  const auto engine = MakeEventEngine();
  std::promise<void> first;
  std::promise<void> second;
  engine->Run([&] {
    first.get_future().wait();
    second.set_value();
  });
  engine->Run([&] { first.set_value(); });
  EXPECT_EQ(second.get_future().wait_for(10s), std::future_status::ready);
}

TEST(EventEngine, RunsTimersInTheirOrderAndNotBefore) {
  const auto engine = MakeEventEngine();
  std::mutex mutex;
  std::vector<int> order;
  std::promise<void> done;
  const auto begin = std::chrono::steady_clock::now();
  engine->RunAfter(200ms, [&] {
    const std::lock_guard lock(mutex);
    order.push_back(2);
    done.set_value();
  });
  engine->RunAfter(20ms, [&] {
    const std::lock_guard lock(mutex);
    order.push_back(1);
  });
  done.get_future().wait();
  EXPECT_GE(std::chrono::steady_clock::now() - begin, 200ms);
  const std::lock_guard lock(mutex);
  EXPECT_THAT(order, testing::ElementsAre(1, 2));
}

TEST(EventEngine, CancelsWhatHasNotBegun) {
  const auto engine = MakeEventEngine();
  std::promise<void> ran;
  const auto never = engine->RunAfter(std::chrono::nanoseconds::max(), [] { FAIL(); });
  const auto soon = engine->RunAfter(1ms, [&] { ran.set_value(); });
  ran.get_future().wait();
  EXPECT_TRUE(engine->Cancel(never));
  EXPECT_FALSE(engine->Cancel(never));
  EXPECT_FALSE(engine->Cancel(soon));
}

TEST(EventEngine, EndsWhileTimersArePending) {
  auto engine = MakeEventEngine();
  engine->RunAfter(1h, [] { FAIL(); });
  engine.reset();
}

TEST(EventEngine, MayBeLetGoOfByOneOfItsThreads) {
  std::shared_ptr<grpc_event_engine::experimental::EventEngine> engine = MakeEventEngine();
  std::promise<void> gone;
  std::promise<void> handed_over;
  engine->Run([held = engine, &gone, &handed_over]() mutable {
    handed_over.get_future().wait();
    held.reset();
    gone.set_value();
  });
  engine.reset();
  handed_over.set_value();
  EXPECT_EQ(gone.get_future().wait_for(10s), std::future_status::ready);
}

TEST(EventEngine, SaysThatItKnowsNoConnections) {
  const auto engine = MakeEventEngine();
  EXPECT_EQ(engine->GetDNSResolver({}), nullptr);
}

}  // namespace
}  // namespace cri
