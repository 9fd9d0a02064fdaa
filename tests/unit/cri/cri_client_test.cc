// The client of tests and benchmarks, against the services over a fake node.
#include <thread>

#include "served_node.h"
#include "tests/cri_client/client.h"
#include "tests/cri_client/requests.h"

namespace cri {
namespace {

using CriClientTest = ServedNode;

TEST_F(CriClientTest, GivesAnswerStatusAndDuration) {
  cri_client::Client client(socket_);
  ASSERT_TRUE(client.WaitUntilServed(std::chrono::seconds(20)));
  auto pod = cri_client::PodConfig("web", cri_client::RandomUid());
  pod.mutable_linux()->mutable_security_context()->mutable_namespace_options()->set_network(v1::NODE);
  const auto run = client.Call(&v1::RuntimeService::Stub::RunPodSandbox, cri_client::RunPod(pod));
  ASSERT_TRUE(run.ok()) << run.status.error_message();
  EXPECT_EQ(run.response.pod_sandbox_id().size(), 64u);
  EXPECT_GT(run.took.count(), 0);

  const auto start = client.Call(&v1::RuntimeService::Stub::StartContainer, cri_client::StartContainer("none"));
  EXPECT_EQ(start.code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_TRUE(client.Call(&v1::ImageService::Stub::ListImages, v1::ListImagesRequest()).ok());
}

TEST_F(CriClientTest, FindsTheDaemonAgainAfterItsReturn) {
  cri_client::Client client(socket_);
  ASSERT_TRUE(client.WaitUntilServed(std::chrono::seconds(20)));
  server_->Stop(std::chrono::seconds(1));
  server_.reset();
  EXPECT_FALSE(client.Call(&v1::RuntimeService::Stub::Version, v1::VersionRequest()).ok());
  EXPECT_FALSE(client.WaitUntilServed(std::chrono::milliseconds(100)));
  // A service can be registered but once.
  RuntimeService service(*node_.runtime, node_.streaming);
  ImageService images(*node_.runtime);
  ImageStoreService store(node_.store);
  auto started = Server::Start({socket_, std::nullopt}, service, images, store);
  ASSERT_TRUE(started.ok());
  EXPECT_TRUE(client.WaitUntilServed(std::chrono::seconds(20)));
}

}  // namespace
}  // namespace cri
