// A node of fakes behind a real socket, with clients for it.
#pragma once

#include <grpcpp/create_channel.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>

#include "cri/server.h"
#include "fakes.h"

namespace cri {

class ServedNode : public testing::Test {
 protected:
  ServedNode() {
    auto started = Server::Start({socket_, std::nullopt}, *node_.service, images_service_, store_service_);
    EXPECT_TRUE(started.ok());
    server_ = *std::move(started);
    node_.runtime->cgroup_root = node_.directory.path() + "/cgroup";
  }

  // A pod and, when `container` is not empty, a running container in it; gives back the id of the last.
  std::string RunPod(const std::string& name, const std::string& slice = "") {
    v1::RunPodSandboxRequest request;
    auto& config = *request.mutable_config();
    config.mutable_metadata()->set_name(name);
    config.mutable_metadata()->set_namespace_("default");
    config.mutable_metadata()->set_uid("uid-" + name);
    (*config.mutable_labels())["app"] = name;
    if (!slice.empty()) config.mutable_linux()->set_cgroup_parent("/" + slice);
    config.mutable_linux()->mutable_security_context()->mutable_namespace_options()->set_network(v1::NODE);
    v1::RunPodSandboxResponse response;
    Expect(runtime_->RunPodSandbox(Context().get(), request, &response));
    return response.pod_sandbox_id();
  }
  std::string CreateContainer(const std::string& sandbox, const std::string& name, size_t annotation_bytes = 0) {
    v1::CreateContainerRequest request;
    request.set_pod_sandbox_id(sandbox);
    auto& config = *request.mutable_config();
    config.mutable_metadata()->set_name(name);
    config.mutable_image()->set_image(node_.store.images.front().id);
    if (annotation_bytes > 0) (*config.mutable_annotations())["note"] = std::string(annotation_bytes, 'x');
    v1::CreateContainerResponse response;
    Expect(runtime_->CreateContainer(Context().get(), request, &response));
    return response.container_id();
  }
  std::string RunContainer(const std::string& sandbox, const std::string& name) {
    v1::StartContainerRequest start;
    start.set_container_id(CreateContainer(sandbox, name));
    v1::StartContainerResponse started;
    Expect(runtime_->StartContainer(Context().get(), start, &started));
    return start.container_id();
  }

  void WriteCgroup(const std::string& cgroup, const std::string& file, const std::string& content) {
    const std::string directory = node_.runtime->cgroup_root + cgroup;
    ASSERT_TRUE(base::MakeDirectories(directory).ok());
    ASSERT_TRUE(base::WriteFileAtomic(directory + "/" + file, content).ok());
  }

  static void Expect(const grpc::Status& status) { EXPECT_TRUE(status.ok()) << status.error_message(); }
  static std::unique_ptr<grpc::ClientContext> Context() {
    auto context = std::make_unique<grpc::ClientContext>();
    context->set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    return context;
  }

  FakeNode node_;
  ImageService images_service_{*node_.runtime};
  ImageStoreService store_service_{node_.store};
  const std::string socket_ = node_.directory.path() + "/cri.sock";
  std::unique_ptr<Server> server_;
  std::shared_ptr<grpc::Channel> channel_ =
      grpc::CreateChannel("unix://" + socket_, grpc::InsecureChannelCredentials());
  std::unique_ptr<v1::RuntimeService::Stub> runtime_ = v1::RuntimeService::NewStub(channel_);
  std::unique_ptr<v1::ImageService::Stub> images_ = v1::ImageService::NewStub(channel_);
};

}  // namespace cri
