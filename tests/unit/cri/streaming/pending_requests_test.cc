#include "cri/streaming/pending_requests.h"

#include <gtest/gtest.h>

#include <set>

namespace cri::streaming {
namespace {

class PendingRequestsTest : public testing::Test {
 protected:
  std::string Added(Request request = runtime::v1::ExecRequest()) {
    const auto token = requests_.Add(std::move(request));
    EXPECT_TRUE(token.ok());
    return token.ok() ? *token : "";
  }

  std::chrono::steady_clock::time_point now_;
  PendingRequests requests_{[this] { return now_; }};
};

TEST_F(PendingRequestsTest, AreTakenOnce) {
  runtime::v1::ExecRequest request;
  request.set_container_id("c1");
  const std::string token = Added(request);
  const auto taken = requests_.Take("exec", token);
  ASSERT_TRUE(taken);
  EXPECT_EQ(std::get<runtime::v1::ExecRequest>(*taken).container_id(), "c1");
  EXPECT_FALSE(requests_.Take("exec", token));
}

TEST_F(PendingRequestsTest, HaveTokensOf256RandomBits) {
  std::set<std::string> tokens;
  for (int i = 0; i < 100; ++i) tokens.insert(Added());
  EXPECT_EQ(tokens.size(), 100u);
  for (const std::string& token : tokens) EXPECT_EQ(token.size(), 64u);
}

TEST_F(PendingRequestsTest, AreVoidWhenAskedForAsAnotherKind) {
  const std::string token = Added();
  EXPECT_FALSE(requests_.Take("attach", token));
  EXPECT_FALSE(requests_.Take("exec", token));
  EXPECT_TRUE(requests_.Take("attach", Added(runtime::v1::AttachRequest())));
  EXPECT_TRUE(requests_.Take("portforward", Added(runtime::v1::PortForwardRequest())));
}

TEST_F(PendingRequestsTest, ExpireAfterAMinute) {
  const std::string early = Added();
  const std::string late = Added();
  now_ += std::chrono::seconds(59);
  EXPECT_TRUE(requests_.Take("exec", early));
  now_ += std::chrono::seconds(1);
  EXPECT_FALSE(requests_.Take("exec", late));
}

TEST_F(PendingRequestsTest, AreRefusedWhenAThousandWait) {
  for (size_t i = 0; i < PendingRequests::kMost; ++i) Added();
  const auto refused = requests_.Add(runtime::v1::ExecRequest());
  ASSERT_FALSE(refused.ok());
  EXPECT_EQ(refused.error().code(), base::Code::kResourceExhausted);
  now_ += std::chrono::minutes(1);
  Added();
}

}  // namespace
}  // namespace cri::streaming
