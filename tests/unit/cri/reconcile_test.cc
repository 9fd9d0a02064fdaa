// What a daemon makes of the node it finds at its start.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "fakes.h"

namespace cri {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class ReconcileTest : public testing::Test {
 protected:
  ReconcileTest() {
    v1::RunPodSandboxRequest request;
    auto& config = *request.mutable_config();
    config.mutable_metadata()->set_name("web");
    config.mutable_metadata()->set_namespace_("default");
    config.mutable_metadata()->set_uid("uid-1");
    config.mutable_linux()->mutable_security_context()->mutable_namespace_options()->set_network(v1::NODE);
    v1::RunPodSandboxResponse response;
    EXPECT_TRUE(node_.service->RunPodSandbox(&context_, &request, &response).ok());
    sandbox_ = response.pod_sandbox_id();
    v1::CreateContainerRequest create;
    create.set_pod_sandbox_id(sandbox_);
    create.mutable_config()->mutable_metadata()->set_name("app");
    create.mutable_config()->mutable_image()->set_image(node_.store.images.front().id);
    v1::CreateContainerResponse created;
    EXPECT_TRUE(node_.service->CreateContainer(&context_, &create, &created).ok());
    container_ = created.container_id();
    unit_ = node_.containers.created.back().name;
  }

  void Start() {
    v1::StartContainerRequest request;
    request.set_container_id(container_);
    v1::StartContainerResponse response;
    ASSERT_TRUE(node_.service->StartContainer(&context_, &request, &response).ok());
  }
  // As a killed daemon leaves it: nothing is told to the logs.
  void BeginRemoval() {
    const auto removing = [](ContainerRecord& record) {
      record.set_state(ContainerRecord::REMOVING);
      return true;
    };
    ASSERT_TRUE(node_.runtime->containers.Update(container_, removing).ok());
  }
  void Restart() {
    node_.logs.open.clear();
    node_.store.held.clear();
    node_.Restart();
    ASSERT_TRUE(node_.reconciled.ok()) << node_.reconciled.error().message();
  }
  v1::ContainerStatus Status() {
    v1::ContainerStatusRequest request;
    request.set_container_id(container_);
    v1::ContainerStatusResponse response;
    EXPECT_TRUE(node_.service->ContainerStatus(&context_, &request, &response).ok());
    return response.status();
  }
  v1::PodSandboxState SandboxState() {
    v1::PodSandboxStatusRequest request;
    request.set_pod_sandbox_id(sandbox_);
    v1::PodSandboxStatusResponse response;
    EXPECT_TRUE(node_.service->PodSandboxStatus(&context_, &request, &response).ok());
    return response.status().state();
  }

  FakeNode node_;
  grpc::ServerContext context_;
  std::string sandbox_, container_, unit_;
};

TEST_F(ReconcileTest, RunningContainersAreTakenOver) {
  Start();
  Restart();
  EXPECT_EQ(Status().state(), v1::CONTAINER_RUNNING);
  EXPECT_EQ(SandboxState(), v1::SANDBOX_READY);
  EXPECT_EQ(node_.logs.open.count(unit_), 1u);
  EXPECT_THAT(node_.store.held[container_], ElementsAre(node_.store.images.front().id));
}

TEST_F(ReconcileTest, CreatedContainersStayCreated) {
  Restart();
  EXPECT_EQ(Status().state(), v1::CONTAINER_CREATED);
}

TEST_F(ReconcileTest, AStartThatWasCutOffComesToItsEnd) {
  for (auto& [name, unit] : node_.containers.units) unit.starting = true;
  Restart();
  EXPECT_EQ(Status().state(), v1::CONTAINER_RUNNING);
  EXPECT_THAT(node_.logs.open, testing::SizeIs(1));
}

TEST_F(ReconcileTest, AnExitThatNobodySawIsFound) {
  Start();
  node_.containers.End(unit_, 5);
  Restart();
  EXPECT_EQ(Status().state(), v1::CONTAINER_EXITED);
  EXPECT_EQ(Status().exit_code(), 5);
  EXPECT_EQ(Status().finished_at(), 2000);
  EXPECT_THAT(node_.logs.open, IsEmpty());
}

TEST_F(ReconcileTest, AnExitWhileContainersAreTakenOverIsRecordedWhenTheOutputHasBeenRead) {
  Start();
  node_.logs.last = {};
  node_.containers.after_list = [this] {
    node_.containers.End(unit_, 5);
    node_.containers.on_exit(unit_, node_.containers.units[unit_].exit);
    // Whoever handles it now has the time to.
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
  };
  Restart();
  for (int i = 0; i < 500 && Status().state() != v1::CONTAINER_EXITED; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  EXPECT_EQ(Status().state(), v1::CONTAINER_EXITED);
  EXPECT_EQ(Status().exit_code(), 5);
  EXPECT_EQ(node_.logs.last.name, unit_);
  EXPECT_THAT(node_.logs.open, IsEmpty());
}

TEST_F(ReconcileTest, AfterARebootContainersHaveEndedAndSandboxesAreNotReady) {
  Start();
  node_.containers.units.clear();
  node_.machines.running.clear();
  Restart();
  EXPECT_EQ(Status().state(), v1::CONTAINER_EXITED);
  EXPECT_EQ(Status().exit_code(), 255);
  EXPECT_EQ(Status().reason(), "Unknown");
  EXPECT_EQ(SandboxState(), v1::SANDBOX_NOTREADY);
}

TEST_F(ReconcileTest, WhatWasNeverAcknowledgedIsUndone) {
  ASSERT_TRUE(node_.runtime->containers
                  .Update(container_,
                          [](ContainerRecord& record) {
                            record.set_state(ContainerRecord::CREATING);
                            return true;
                          })
                  .ok());
  ASSERT_TRUE(node_.runtime->sandboxes
                  .Update(sandbox_,
                          [](SandboxRecord& record) {
                            record.set_state(SandboxRecord::CREATING);
                            return true;
                          })
                  .ok());
  Restart();
  EXPECT_TRUE(node_.runtime->containers.All().empty());
  EXPECT_TRUE(node_.runtime->sandboxes.All().empty());
  EXPECT_THAT(node_.containers.units, IsEmpty());
  EXPECT_THAT(node_.machines.running, IsEmpty());
  EXPECT_THAT(node_.store.held, IsEmpty());
}

TEST_F(ReconcileTest, ARemovalThatHadBegunIsFinished) {
  Start();
  ASSERT_TRUE(node_.runtime->sandboxes
                  .Update(sandbox_,
                          [](SandboxRecord& record) {
                            record.set_state(SandboxRecord::REMOVING);
                            return true;
                          })
                  .ok());
  Restart();
  EXPECT_TRUE(node_.runtime->containers.All().empty());
  EXPECT_TRUE(node_.runtime->sandboxes.All().empty());
  EXPECT_THAT(node_.machines.running, IsEmpty());
}

TEST_F(ReconcileTest, TheOutputOfAContainerWhoseRemovalHadBegunIsReadFirst) {
  Start();
  BeginRemoval();
  node_.logs.last = {};
  Restart();
  EXPECT_EQ(node_.logs.last.name, unit_);
  EXPECT_THAT(node_.logs.open, IsEmpty());
  EXPECT_TRUE(node_.runtime->containers.All().empty());
}

TEST_F(ReconcileTest, TheLogOfAContainerThatHadEndedIsNotOpenedAnew) {
  Start();
  node_.containers.End(unit_, 5);
  Restart();
  BeginRemoval();
  node_.logs.last = {};
  Restart();
  EXPECT_EQ(node_.logs.last.name, "");
  EXPECT_TRUE(node_.runtime->containers.All().empty());
}

TEST_F(ReconcileTest, WhatNoRecordKnowsIsRemoved) {
  node_.containers.units["stray-unit-000000000000"].name = "stray-unit-000000000000";
  node_.network.attached["stray-sandbox"] = {};
  ASSERT_TRUE(base::MakeDirectories(node_.config.state_directory + "/containers/broken").ok());
  ASSERT_TRUE(base::MakeDirectories(node_.config.runtime_directory + "/sandboxes/stray").ok());
  Restart();
  EXPECT_EQ(node_.containers.units.count("stray-unit-000000000000"), 0u);
  EXPECT_THAT(node_.network.attached, IsEmpty());
  EXPECT_FALSE(std::filesystem::exists(node_.config.state_directory + "/containers/broken"));
  EXPECT_FALSE(std::filesystem::exists(node_.config.runtime_directory + "/sandboxes/stray"));
}

// The bus is told of ends by a thread of its own, which goes on while a daemon stops.
TEST_F(ReconcileTest, AnEndThatIsToldToADaemonThatIsGoneIsForItsSuccessor) {
  Start();
  const auto told = node_.containers.on_exit;
  node_.service.reset();
  node_.runtime.reset();
  node_.containers.End(unit_, 3);
  told(unit_, node_.containers.units[unit_].exit);
  Restart();
  EXPECT_EQ(Status().state(), v1::CONTAINER_EXITED);
  EXPECT_EQ(Status().exit_code(), 3);
}

}  // namespace
}  // namespace cri
