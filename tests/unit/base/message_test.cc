#include "base/message.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cerrno>

namespace base {
namespace {

TEST(SocketPair, ClosesOnExec) {
  const auto pair = MakeSocketPair();
  ASSERT_TRUE(pair.ok());
  EXPECT_EQ(::fcntl(pair->ours.get(), F_GETFD), FD_CLOEXEC);
  EXPECT_EQ(::fcntl(pair->theirs.get(), F_GETFD), FD_CLOEXEC);
}

TEST(SocketPair, KeepsMessagesApart) {
  const auto pair = MakeSocketPair();
  ASSERT_TRUE(pair.ok());
  ASSERT_TRUE(SendMessage(pair->ours.get(), "one").ok());
  ASSERT_TRUE(SendMessage(pair->ours.get(), "two and more").ok());
  for (const char* const expected : {"one", "two"}) {
    const auto message = ReceiveMessage(pair->theirs.get(), 3);
    ASSERT_TRUE(message.ok());
    ASSERT_TRUE(message->has_value());
    EXPECT_EQ((*message)->text, expected);
    EXPECT_FALSE((*message)->sender.has_value());
  }
  const auto none = ReceiveMessage(pair->theirs.get(), 3, MSG_DONTWAIT);
  ASSERT_FALSE(none.ok());
  EXPECT_EQ(none.error().number(), EAGAIN);
}

TEST(SocketPair, MayBeOfStreamsThatDoNotBlock) {
  const auto pair = MakeSocketPair(SOCK_STREAM | SOCK_NONBLOCK);
  ASSERT_TRUE(pair.ok());
  char byte = 0;
  EXPECT_EQ(::read(pair->ours.get(), &byte, 1), -1);
  EXPECT_EQ(errno, EAGAIN);
}

TEST(Message, CarriesDescriptorsAndWhoSentIt) {
  const auto pair = MakeSocketPair();
  ASSERT_TRUE(pair.ok());
  constexpr int kOn = 1;
  ASSERT_EQ(::setsockopt(pair->theirs.get(), SOL_SOCKET, SO_PASSCRED, &kOn, sizeof kOn), 0);
  const std::vector<int> most(kMostMessageDescriptors, pair->ours.get());
  ASSERT_TRUE(SendMessage(pair->ours.get(), "all", most).ok());
  const auto message = ReceiveMessage(pair->theirs.get(), 100);
  ASSERT_TRUE(message.ok());
  ASSERT_TRUE(message->has_value());
  EXPECT_EQ((*message)->text, "all");
  EXPECT_EQ((*message)->sender, ::getpid());
  ASSERT_EQ((*message)->descriptors.size(), kMostMessageDescriptors);
  ASSERT_TRUE(SendMessage((*message)->descriptors.back().get(), "through it").ok());
  const auto second = ReceiveMessage(pair->theirs.get(), 100);
  ASSERT_TRUE(second.ok() && second->has_value());
  EXPECT_EQ((*second)->text, "through it");
}

TEST(Message, TheEndOfTheOtherSideIsNone) {
  auto pair = MakeSocketPair();
  ASSERT_TRUE(pair.ok());
  pair->ours.reset();
  const auto message = ReceiveMessage(pair->theirs.get(), 100);
  ASSERT_TRUE(message.ok());
  EXPECT_FALSE(message->has_value());
  const Status sent = SendMessage(pair->theirs.get(), "nobody");
  ASSERT_FALSE(sent.ok());
  EXPECT_EQ(sent.error().code(), Code::kUnavailable);
}

}  // namespace
}  // namespace base
