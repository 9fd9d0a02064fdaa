// Exec, Attach and PortForward: which of them get a URL, and what the streaming server is then given.

#include <arpa/inet.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include "cri/stream_backend.h"
#include "fakes.h"

namespace cri {
namespace {

using testing::ElementsAre;

class StreamRpc : public testing::Test {
 protected:
  StreamRpc() {
    v1::RunPodSandboxRequest run;
    auto& config = *run.mutable_config();
    config.mutable_metadata()->set_name("web");
    config.mutable_metadata()->set_namespace_("default");
    config.mutable_metadata()->set_uid("uid-1");
    config.set_log_directory(node_.directory.path());
    config.mutable_linux()->mutable_security_context()->mutable_namespace_options()->set_network(v1::NODE);
    v1::RunPodSandboxResponse sandbox;
    EXPECT_TRUE(node_.service->RunPodSandbox(&context_, &run, &sandbox).ok());
    sandbox_ = sandbox.pod_sandbox_id();
    v1::CreateContainerRequest create;
    create.set_pod_sandbox_id(sandbox_);
    create.mutable_config()->mutable_metadata()->set_name("app");
    create.mutable_config()->mutable_image()->set_image(node_.store.images.front().id);
    create.mutable_config()->set_log_path("app.log");
    v1::CreateContainerResponse container;
    EXPECT_TRUE(node_.service->CreateContainer(&context_, &create, &container).ok());
    container_ = container.container_id();
    exec_.set_container_id(container_);
    exec_.add_cmd("ls");
    exec_.set_stdout(true);
    attach_.set_container_id(container_);
    attach_.set_stdout(true);
  }
  void StartContainer() {
    v1::StartContainerRequest request;
    request.set_container_id(container_);
    v1::StartContainerResponse response;
    EXPECT_TRUE(node_.service->StartContainer(&context_, &request, &response).ok());
  }
  grpc::Status Exec() { return node_.service->Exec(&context_, &exec_, &exec_response_); }
  grpc::Status Attach() { return node_.service->Attach(&context_, &attach_, &attach_response_); }
  grpc::Status PortForward() {
    v1::PortForwardRequest request;
    request.set_pod_sandbox_id(sandbox_);
    return node_.service->PortForward(&context_, &request, &forward_response_);
  }

  FakeNode node_;
  grpc::ServerContext context_;
  std::string sandbox_, container_;
  v1::ExecRequest exec_;
  v1::AttachRequest attach_;
  v1::ExecResponse exec_response_;
  v1::AttachResponse attach_response_;
  v1::PortForwardResponse forward_response_;
};

TEST_F(StreamRpc, GiveTheUrlOfTheStreamingServer) {
  StartContainer();
  EXPECT_TRUE(Exec().ok());
  EXPECT_EQ(exec_response_.url(), "http://test/exec/1");
  EXPECT_TRUE(Attach().ok());
  EXPECT_EQ(attach_response_.url(), "http://test/attach/1");
  EXPECT_TRUE(PortForward().ok());
  EXPECT_EQ(forward_response_.url(), "http://test/portforward/1");
}

TEST_F(StreamRpc, NeedARunningContainerOrPod) {
  EXPECT_EQ(Exec().error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_EQ(Attach().error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  v1::StopPodSandboxRequest stop;
  stop.set_pod_sandbox_id(sandbox_);
  v1::StopPodSandboxResponse stopped;
  EXPECT_TRUE(node_.service->StopPodSandbox(&context_, &stop, &stopped).ok());
  EXPECT_EQ(PortForward().error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  exec_.set_container_id("unknown");
  attach_.set_container_id("unknown");
  sandbox_ = "unknown";
  EXPECT_EQ(Exec().error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(Attach().error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_EQ(PortForward().error_code(), grpc::StatusCode::NOT_FOUND);
}

TEST_F(StreamRpc, ACommandRunsInTheContainerThatWasNamed) {
  StartContainer();
  StreamBackend backend(*node_.runtime);
  const auto stream = backend.Exec(exec_);
  ASSERT_TRUE(stream.ok()) << stream.error().message();
  ASSERT_EQ(node_.spawner.requests.size(), 1u);
  EXPECT_THAT(node_.spawner.requests[0].arguments, ElementsAre("ls"));
  EXPECT_EQ(node_.spawner.requests[0].pid, node_.runtime->containers.Get(container_)->pid());
  EXPECT_GE((*stream)->Output(), 0);
  EXPECT_EQ((*stream)->Input(), -1);
}

// Between the RPC and the client's coming.
TEST_F(StreamRpc, AContainerThatHasEndedMeanwhileIsAnError) {
  StreamBackend backend(*node_.runtime);
  EXPECT_EQ(backend.Exec(exec_).error().code(), base::Code::kFailedPrecondition);
  EXPECT_FALSE(backend.Attach(attach_).ok());
  EXPECT_EQ(backend.Connect("unknown", 80).error().code(), base::Code::kNotFound);
}

TEST_F(StreamRpc, APortOfAPodOnTheHostsNetworkIsTheHosts) {
  const base::UniqueFd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = ::htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  ASSERT_EQ(::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
  ASSERT_EQ(::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
  StreamBackend backend(*node_.runtime);
  EXPECT_FALSE(backend.Connect(sandbox_, ::ntohs(address.sin_port)).ok());
  ASSERT_EQ(::listen(listener.get(), 1), 0);
  EXPECT_TRUE(backend.Connect(sandbox_, ::ntohs(address.sin_port)).ok());
}

}  // namespace
}  // namespace cri
