// RunPodSandbox, StopPodSandbox, RemovePodSandbox, PodSandboxStatus and ListPodSandbox.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "fakes.h"

namespace cri {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class SandboxRpc : public testing::Test {
 protected:
  SandboxRpc() {
    // The host's network spares these tests the real namespaces; cni's own tests have them.
    UseHostNetwork(request_);
    auto& metadata = *request_.mutable_config()->mutable_metadata();
    metadata.set_name("web");
    metadata.set_namespace_("default");
    metadata.set_uid("uid-1");
  }

  static void UseHostNetwork(v1::RunPodSandboxRequest& request) {
    request.mutable_config()->mutable_linux()->mutable_security_context()->mutable_namespace_options()->set_network(
        v1::NODE);
  }

  std::string Run() {
    v1::RunPodSandboxResponse response;
    status_ = node_.service->RunPodSandbox(&context_, &request_, &response);
    return response.pod_sandbox_id();
  }
  v1::PodSandboxStatus StatusOf(const std::string& id) {
    v1::PodSandboxStatusRequest request;
    request.set_pod_sandbox_id(id);
    v1::PodSandboxStatusResponse response;
    status_ = node_.service->PodSandboxStatus(&context_, &request, &response);
    return response.status();
  }
  grpc::Status Stop(const std::string& id) {
    v1::StopPodSandboxRequest request;
    request.set_pod_sandbox_id(id);
    v1::StopPodSandboxResponse response;
    return node_.service->StopPodSandbox(&context_, &request, &response);
  }
  grpc::Status Remove(const std::string& id) {
    v1::RemovePodSandboxRequest request;
    request.set_pod_sandbox_id(id);
    v1::RemovePodSandboxResponse response;
    return node_.service->RemovePodSandbox(&context_, &request, &response);
  }
  std::vector<std::string> List(const v1::PodSandboxFilter& filter = {}) {
    v1::ListPodSandboxRequest request;
    *request.mutable_filter() = filter;
    v1::ListPodSandboxResponse response;
    EXPECT_TRUE(node_.service->ListPodSandbox(&context_, &request, &response).ok());
    const auto received = Received(response);
    std::vector<std::string> ids;
    for (const auto& item : received.items()) ids.push_back(item.id());
    return ids;
  }
  void ExpectNothingLeft() {
    EXPECT_THAT(List(), IsEmpty());
    EXPECT_THAT(node_.machines.running, IsEmpty());
    EXPECT_THAT(node_.network.attached, IsEmpty());
    EXPECT_TRUE(std::filesystem::is_empty(node_.config.state_directory + "/sandboxes"));
    EXPECT_TRUE(std::filesystem::is_empty(node_.config.runtime_directory + "/sandboxes"));
  }

  FakeNode node_;
  grpc::ServerContext context_;
  v1::RunPodSandboxRequest request_;
  grpc::Status status_;
};

TEST_F(SandboxRpc, ASandboxIsAMachineWithAReadableName) {
  const std::string id = Run();
  ASSERT_TRUE(status_.ok()) << status_.error_message();
  EXPECT_EQ(id.size(), 64u);
  ASSERT_EQ(node_.machines.started.size(), 1u);
  const nspawn::MachineSpec& spec = node_.machines.started.front();
  EXPECT_EQ(spec.name, "default-web-" + id.substr(0, 12));
  EXPECT_EQ(spec.uuid, "uid-1");
  EXPECT_TRUE(spec.host_uts);
  EXPECT_EQ(StatusOf(id).state(), v1::SANDBOX_READY);
}

TEST_F(SandboxRpc, LabelsAndAnnotationsComeBackUnaltered) {
  (*request_.mutable_config()->mutable_labels())["a/b"] = "\xC3\xA4 \n %n";
  (*request_.mutable_config()->mutable_annotations())["x"] = "{\"json\": true}";
  const auto status = StatusOf(Run());
  EXPECT_EQ(status.labels().at("a/b"), "\xC3\xA4 \n %n");
  EXPECT_EQ(status.annotations().at("x"), "{\"json\": true}");
}

TEST_F(SandboxRpc, ARepeatedCallFindsTheSandboxOfTheFirst) {
  const std::string first = Run();
  EXPECT_EQ(Run(), first);
  EXPECT_EQ(node_.machines.started.size(), 1u);
  request_.mutable_config()->mutable_metadata()->set_attempt(1);
  EXPECT_NE(Run(), first);
}

TEST_F(SandboxRpc, ConcurrentCallsForOnePodMakeOneSandbox) {
  std::vector<std::thread> threads;
  std::mutex mutex;
  std::set<std::string> ids;
  for (int i = 0; i < 8; ++i) {
    threads.emplace_back([&] {
      grpc::ServerContext context;
      v1::RunPodSandboxResponse response;
      EXPECT_TRUE(node_.service->RunPodSandbox(&context, &request_, &response).ok());
      const std::lock_guard lock(mutex);
      ids.insert(response.pod_sandbox_id());
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(ids.size(), 1u);
  EXPECT_EQ(node_.machines.started.size(), 1u);
}

TEST_F(SandboxRpc, AMachineThatDoesNotStartLeavesNothing) {
  node_.machines.failure = base::Error(base::Code::kUnavailable, "machine refused");
  Run();
  EXPECT_EQ(status_.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_THAT(status_.error_message(), HasSubstr("run pod sandbox default/web"));
  EXPECT_THAT(status_.error_message(), HasSubstr("machine refused"));
  ExpectNothingLeft();
}

TEST_F(SandboxRpc, WhatAFailedCallCouldNotCleanUpIsListedAndDoesNotTakeTheName) {
  node_.machines.failure = base::Internal("no machine today");
  node_.machines.stop_failure = base::Internal("nor its end");
  Run();
  EXPECT_THAT(status_.error_message(), HasSubstr("no machine today"));
  // A kubelet may have lost interest: it removes what is listed.
  EXPECT_THAT(List(), testing::SizeIs(1));
  node_.machines.failure.reset();
  node_.machines.stop_failure.reset();
  const std::string id = Run();
  EXPECT_TRUE(status_.ok()) << status_.error_message();
  EXPECT_THAT(List(), ElementsAre(id));
}

TEST_F(SandboxRpc, AMachineThatEndsBeforeItsSandboxIsReadyMakesItNotReady) {
  node_.machines.ends_at_once = true;
  const std::string id = Run();
  ASSERT_TRUE(status_.ok()) << status_.error_message();
  EXPECT_EQ(StatusOf(id).state(), v1::SANDBOX_NOTREADY);
}

TEST_F(SandboxRpc, NetworksCollectTheirGarbageAtTheStartAndAfterManyRemovals) {
  EXPECT_EQ(node_.network.collections, 1);
  for (int i = 0; i < 64; ++i) ASSERT_TRUE(Remove(Run()).ok());
  for (int i = 0; i < 1000 && node_.network.collections < 2; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  EXPECT_EQ(node_.network.collections, 2);
}

TEST_F(SandboxRpc, BadRequestsAreRefusedBeforeAnythingIsMade) {
  request_.mutable_config()->mutable_metadata()->clear_uid();
  Run();
  EXPECT_EQ(status_.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  request_.mutable_config()->mutable_metadata()->set_uid("u");
  for (const std::string& hostname : {std::string("evil\nname"), std::string("my_host"), std::string("-a"),
                                      std::string("a."), std::string(65, 'a')}) {
    request_.mutable_config()->set_hostname(hostname);
    Run();
    EXPECT_EQ(status_.error_code(), grpc::StatusCode::INVALID_ARGUMENT) << hostname;
    EXPECT_THAT(status_.error_message(), HasSubstr("hostname")) << hostname;
  }
  request_.mutable_config()->clear_hostname();
  request_.mutable_config()->mutable_linux()->set_cgroup_parent("/kubepods/pod1");
  Run();
  EXPECT_EQ(status_.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status_.error_message(), HasSubstr("cgroup driver"));
  request_.mutable_config()->mutable_linux()->clear_cgroup_parent();
  request_.set_runtime_handler("kata");
  Run();
  EXPECT_EQ(status_.error_code(), grpc::StatusCode::NOT_FOUND);
  ExpectNothingLeft();
}

TEST_F(SandboxRpc, TheSliceIsTheLastPartOfTheCgroupParent) {
  request_.mutable_config()->mutable_linux()->set_cgroup_parent("/kubepods.slice/kubepods-podabc.slice");
  Run();
  EXPECT_EQ(node_.machines.started.front().slice, "kubepods-podabc.slice");
}

TEST_F(SandboxRpc, StopAndRemoveAreIdempotent) {
  const std::string id = Run();
  EXPECT_TRUE(Stop(id).ok());
  EXPECT_TRUE(Stop(id).ok());
  EXPECT_EQ(StatusOf(id).state(), v1::SANDBOX_NOTREADY);
  EXPECT_TRUE(Remove(id).ok());
  EXPECT_TRUE(Remove(id).ok());
  EXPECT_TRUE(Stop(id).ok());
  StatusOf(id);
  EXPECT_EQ(status_.error_code(), grpc::StatusCode::NOT_FOUND);
  ExpectNothingLeft();
}

TEST_F(SandboxRpc, RemovingARunningSandboxStopsItFirst) {
  EXPECT_TRUE(Remove(Run()).ok());
  ExpectNothingLeft();
}

TEST_F(SandboxRpc, ListFiltersByIdStateAndLabels) {
  (*request_.mutable_config()->mutable_labels())["app"] = "web";
  const std::string first = Run();
  request_.mutable_config()->mutable_metadata()->set_uid("uid-2");
  (*request_.mutable_config()->mutable_labels())["app"] = "db";
  const std::string second = Run();
  ASSERT_TRUE(Stop(second).ok());

  v1::PodSandboxFilter filter;
  filter.set_id(first.substr(0, 12));
  EXPECT_THAT(List(filter), ElementsAre(first));
  filter.Clear();
  filter.mutable_state()->set_state(v1::SANDBOX_NOTREADY);
  EXPECT_THAT(List(filter), ElementsAre(second));
  filter.Clear();
  (*filter.mutable_label_selector())["app"] = "web";
  EXPECT_THAT(List(filter), ElementsAre(first));
}

TEST_F(SandboxRpc, AMachineThatEndsMakesItsSandboxNotReady) {
  const std::string id = Run();
  node_.machines.on_end("default-web-" + id.substr(0, 12));
  for (int i = 0; i < 500 && StatusOf(id).state() == v1::SANDBOX_READY; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  EXPECT_EQ(StatusOf(id).state(), v1::SANDBOX_NOTREADY);
}

class PodNetwork : public SandboxRpc {
 protected:
  PodNetwork() { request_.mutable_config()->mutable_linux()->Clear(); }
};

TEST_F(PodNetwork, AddressesAreThoseOfTheNetworkResult) {
  auto* mapping = request_.mutable_config()->add_port_mappings();
  mapping->set_protocol(v1::UDP);
  mapping->set_container_port(53);
  mapping->set_host_port(5353);
  request_.mutable_config()->add_port_mappings()->set_container_port(80);  // no host port: information only
  const std::string id = Run();
  ASSERT_TRUE(status_.ok()) << status_.error_message();
  const auto status = StatusOf(id);
  EXPECT_EQ(status.network().ip(), "10.1.2.3");
  ASSERT_EQ(status.network().additional_ips_size(), 1);
  EXPECT_EQ(status.network().additional_ips(0).ip(), "fd00::3");
  const cni::Attachment& attachment = node_.network.attached.at(id);
  ASSERT_EQ(attachment.port_mappings.size(), 1u);
  EXPECT_EQ(attachment.port_mappings.front().protocol, "udp");
  EXPECT_THAT(attachment.arguments, testing::Contains(std::pair<std::string, std::string>("K8S_POD_NAME", "web")));
  ASSERT_TRUE(Remove(id).ok());
  ExpectNothingLeft();
  EXPECT_TRUE(std::filesystem::is_empty(node_.config.network_namespace_directory));
}

TEST_F(PodNetwork, APluginThatFailsLeavesNothing) {
  node_.network.failure = base::Error(base::Code::kInternal, "plugin bridge: no bridge");
  Run();
  EXPECT_EQ(status_.error_code(), grpc::StatusCode::INTERNAL);
  EXPECT_THAT(status_.error_message(), HasSubstr("plugin bridge: no bridge"));
  ExpectNothingLeft();
  EXPECT_TRUE(std::filesystem::is_empty(node_.config.network_namespace_directory));
}

}  // namespace
}  // namespace cri
