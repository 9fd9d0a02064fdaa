// The RPCs of containers, from CreateContainer to RemoveContainer.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "fakes.h"

namespace cri {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;
using testing::UnorderedElementsAre;

class ContainerRpc : public testing::Test {
 protected:
  ContainerRpc() {
    v1::RunPodSandboxRequest request;
    auto& config = *request.mutable_config();
    config.mutable_metadata()->set_name("web");
    config.mutable_metadata()->set_namespace_("default");
    config.mutable_metadata()->set_uid("uid-1");
    config.set_log_directory(node_.directory.path());
    config.mutable_linux()->mutable_security_context()->mutable_namespace_options()->set_network(v1::NODE);
    v1::RunPodSandboxResponse response;
    EXPECT_TRUE(node_.service->RunPodSandbox(&context_, &request, &response).ok());
    sandbox_ = response.pod_sandbox_id();
    create_.set_pod_sandbox_id(sandbox_);
    create_.mutable_config()->mutable_metadata()->set_name("app");
    create_.mutable_config()->mutable_image()->set_image(node_.store.images.front().id);
    create_.mutable_config()->set_log_path("app.log");
  }

  std::string Create() {
    v1::CreateContainerResponse response;
    status_ = node_.service->CreateContainer(&context_, &create_, &response);
    return response.container_id();
  }
  grpc::Status Start(const std::string& id) {
    v1::StartContainerRequest request;
    request.set_container_id(id);
    v1::StartContainerResponse response;
    return node_.service->StartContainer(&context_, &request, &response);
  }
  grpc::Status Stop(const std::string& id, int64_t timeout = 0) {
    v1::StopContainerRequest request;
    request.set_container_id(id);
    request.set_timeout(timeout);
    v1::StopContainerResponse response;
    return node_.service->StopContainer(&context_, &request, &response);
  }
  grpc::Status Remove(const std::string& id) {
    v1::RemoveContainerRequest request;
    request.set_container_id(id);
    v1::RemoveContainerResponse response;
    return node_.service->RemoveContainer(&context_, &request, &response);
  }
  v1::ContainerStatus StatusOf(const std::string& id) {
    v1::ContainerStatusRequest request;
    request.set_container_id(id);
    v1::ContainerStatusResponse response;
    status_ = node_.service->ContainerStatus(&context_, &request, &response);
    return response.status();
  }
  std::string Unit() const { return node_.containers.created.back().name; }
  void ExpectNoContainerLeft() {
    EXPECT_THAT(node_.containers.units, IsEmpty());
    EXPECT_THAT(node_.store.held, IsEmpty());
    EXPECT_THAT(node_.logs.open, IsEmpty());
    EXPECT_TRUE(std::filesystem::is_empty(node_.config.state_directory + "/containers"));
  }

  FakeNode node_;
  grpc::ServerContext context_;
  std::string sandbox_;
  v1::CreateContainerRequest create_;
  grpc::Status status_;
};

TEST_F(ContainerRpc, GoThroughTheirStates) {
  const std::string id = Create();
  ASSERT_TRUE(status_.ok()) << status_.error_message();
  EXPECT_EQ(StatusOf(id).state(), v1::CONTAINER_CREATED);
  ASSERT_TRUE(Start(id).ok());
  EXPECT_EQ(StatusOf(id).state(), v1::CONTAINER_RUNNING);
  EXPECT_EQ(StatusOf(id).started_at(), 1000);
  const v1::LinuxContainerUser user = StatusOf(id).user().linux();
  EXPECT_EQ(user.uid(), 1000);
  EXPECT_EQ(user.gid(), 1001);
  EXPECT_THAT(user.supplemental_groups(), ElementsAre(1001, 50));
  EXPECT_THAT(node_.logs.open, ElementsAre(Unit()));
  ASSERT_TRUE(Stop(id, 30).ok());
  EXPECT_THAT(node_.containers.grace_periods, ElementsAre(std::chrono::seconds(30)));
  const auto status = StatusOf(id);
  EXPECT_EQ(status.state(), v1::CONTAINER_EXITED);
  EXPECT_EQ(status.exit_code(), 143);
  EXPECT_EQ(status.reason(), "Error");
  EXPECT_EQ(status.finished_at(), 2000);
  EXPECT_THAT(node_.logs.open, IsEmpty());
  ASSERT_TRUE(Remove(id).ok());
  ExpectNoContainerLeft();
}

TEST_F(ContainerRpc, NamesOfImagesAndContainersAgree) {
  const std::string id = Create();
  const auto status = StatusOf(id);
  EXPECT_EQ(status.image_id(), node_.store.images.front().id);
  EXPECT_EQ(status.image_ref(), node_.store.images.front().digests.front());
  EXPECT_EQ(status.image().image(), "docker.io/library/app:1");
  EXPECT_EQ(Unit(), "default-web-app-" + id.substr(0, 12));
  EXPECT_EQ(status.log_path(), node_.directory.path() + "/app.log");
}

TEST_F(ContainerRpc, LinesInTheJournalTellContainerPodAndImage) {
  create_.mutable_config()->mutable_image()->set_user_specified_image("app:latest");
  const std::string id = Create();
  ASSERT_TRUE(Start(id).ok());
  EXPECT_THAT(node_.logs.last.journal_fields,
              UnorderedElementsAre(Pair("CRI_SANDBOX_ID", sandbox_), Pair("K8S_POD_NAME", "web"),
                                   Pair("K8S_NAMESPACE_NAME", "default"), Pair("K8S_POD_UID", "uid-1"),
                                   Pair("CRI_CONTAINER_ID", id), Pair("CONTAINER_NAME", "app"),
                                   Pair("CONTAINER_ID", id.substr(0, 12)), Pair("CONTAINER_ID_FULL", id),
                                   Pair("OBJECT_SYSTEMD_UNIT", Unit() + ".service"), Pair("SYSLOG_IDENTIFIER", "app"),
                                   Pair("IMAGE_NAME", "app:latest")));
}

TEST_F(ContainerRpc, AnUnknownImageIsNotFoundAndLeavesNothing) {
  create_.mutable_config()->mutable_image()->set_image("nope");
  Create();
  EXPECT_EQ(status_.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_THAT(status_.error_message(), HasSubstr("image \"nope\" not found"));
  ExpectNoContainerLeft();
}

TEST_F(ContainerRpc, ImagesOfVolumesAreHeldWhileTheContainerExists) {
  image::Image tools;
  tools.id = "sha256:" + std::string(64, 'e');
  tools.tags = {"tools:1"};
  tools.layer_directories = {"/layers/7", "/layers/8"};
  node_.store.images.push_back(tools);
  auto& mount = *create_.mutable_config()->add_mounts();
  mount.set_container_path("/tools");
  mount.mutable_image()->set_image("tools:1");
  mount.set_image_sub_path("bin");
  const std::string id = Create();
  ASSERT_TRUE(status_.ok()) << status_.error_message();
  const nspawn::Mount& made = node_.containers.created.back().process.mounts.back();
  EXPECT_THAT(made.image_layers, ElementsAre("/layers/7", "/layers/8"));
  EXPECT_EQ(made.image_sub_path, "bin");
  EXPECT_TRUE(made.read_only);
  EXPECT_EQ(StatusOf(id).mounts(0).image().image(), "tools:1");
  EXPECT_THAT(node_.store.held[id], UnorderedElementsAre(tools.id, node_.store.images.front().id));
  node_.store.held.clear();
  node_.Restart();
  EXPECT_THAT(node_.store.held[id], UnorderedElementsAre(tools.id, node_.store.images.front().id));
  ASSERT_TRUE(Remove(id).ok());
  ExpectNoContainerLeft();
}

TEST_F(ContainerRpc, ImageVolumesThatCannotBeAreRefused) {
  auto& mount = *create_.mutable_config()->add_mounts();
  mount.set_container_path("/tools");
  mount.mutable_image()->set_image("tools:1");
  Create();
  EXPECT_EQ(status_.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_THAT(status_.error_message(), HasSubstr("image volume at \"/tools\": image \"tools:1\" not found"));
  mount.mutable_image()->set_image(node_.store.images.front().id);
  mount.set_image_sub_path("a/../..");
  Create();
  EXPECT_EQ(status_.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  EXPECT_THAT(status_.error_message(), HasSubstr("leads out of the image"));
  mount.clear_image_sub_path();
  mount.set_host_path("/tmp");
  Create();
  EXPECT_EQ(status_.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  ExpectNoContainerLeft();
}

TEST_F(ContainerRpc, AnUnknownSandboxIsNotFound) {
  create_.set_pod_sandbox_id("nope");
  Create();
  EXPECT_EQ(status_.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_THAT(status_.error_message(), HasSubstr("pod sandbox \"nope\" not found"));
}

TEST_F(ContainerRpc, AMissingLogDirectoryIsNamed) {
  create_.mutable_config()->set_log_path("missing/app.log");
  Create();
  EXPECT_EQ(status_.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  EXPECT_THAT(status_.error_message(), HasSubstr(node_.directory.path() + "/missing\" does not exist"));
  create_.mutable_config()->set_log_path("../app.log");
  Create();
  EXPECT_EQ(status_.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
  ExpectNoContainerLeft();
}

TEST_F(ContainerRpc, AFailedCreationLeavesNothing) {
  node_.containers.create_failure = base::Error(base::Code::kUnavailable, "attach refused");
  Create();
  EXPECT_EQ(status_.error_code(), grpc::StatusCode::UNAVAILABLE);
  EXPECT_THAT(status_.error_message(), HasSubstr("create container app in pod default/web: attach refused"));
  ExpectNoContainerLeft();
}

TEST_F(ContainerRpc, ARepeatedCreationFindsTheFirst) {
  const std::string first = Create();
  EXPECT_EQ(Create(), first);
  ASSERT_TRUE(Start(first).ok());
  Create();
  EXPECT_EQ(status_.error_code(), grpc::StatusCode::ALREADY_EXISTS);
  create_.mutable_config()->mutable_metadata()->set_attempt(1);
  EXPECT_NE(Create(), first);
}

TEST_F(ContainerRpc, WhatAFailedCreationCouldNotCleanUpDoesNotTakeTheName) {
  node_.containers.create_failure = base::Internal("no bus");
  node_.containers.remove_failure = base::Internal("still none");
  EXPECT_EQ(Create(), "");
  node_.containers.create_failure.reset();
  node_.containers.remove_failure.reset();
  const std::string id = Create();
  EXPECT_EQ(node_.runtime->containers.All().size(), 1u);
  EXPECT_TRUE(Start(id).ok());
}

TEST_F(ContainerRpc, AProgramThatIsNotThereIsAStartErrorWithItsReason) {
  const std::string id = Create();
  node_.containers.start_failure = base::NotFound("exec /nope: No such file or directory");
  const grpc::Status started = Start(id);
  EXPECT_EQ(started.error_code(), grpc::StatusCode::NOT_FOUND);
  EXPECT_THAT(started.error_message(), HasSubstr("start container app: exec /nope"));
  const auto status = StatusOf(id);
  EXPECT_EQ(status.state(), v1::CONTAINER_EXITED);
  EXPECT_EQ(status.reason(), "StartError");
  EXPECT_EQ(status.exit_code(), 128);
  EXPECT_THAT(status.message(), HasSubstr("/nope"));
  EXPECT_THAT(node_.logs.open, IsEmpty());
  EXPECT_THAT(Start(id).error_message(), HasSubstr("cannot be started any more: exec /nope"));
}

TEST_F(ContainerRpc, ARepeatedStartFindsWhatTheFirstDid) {
  const std::string id = Create();
  ASSERT_TRUE(Start(id).ok());
  EXPECT_TRUE(Start(id).ok());
  // Also when its answer was lost and the program has ended since.
  ASSERT_TRUE(Stop(id).ok());
  EXPECT_TRUE(Start(id).ok());
  EXPECT_EQ(StatusOf(id).state(), v1::CONTAINER_EXITED);
}

TEST_F(ContainerRpc, AnExitIsSeenWithItsCodeAndReason) {
  const std::string id = Create();
  ASSERT_TRUE(Start(id).ok());
  nspawn::Exit exit;
  exit.code = 137;
  exit.oom_killed = true;
  node_.containers.on_exit(Unit(), exit);
  for (int i = 0; i < 500 && StatusOf(id).state() != v1::CONTAINER_EXITED; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  EXPECT_EQ(StatusOf(id).reason(), "OOMKilled");
  EXPECT_EQ(StatusOf(id).exit_code(), 137);
  EXPECT_THAT(node_.logs.open, IsEmpty());
}

TEST_F(ContainerRpc, StopAndRemoveOfWhatIsGoneSucceed) {
  EXPECT_TRUE(Stop("gone").ok());
  EXPECT_TRUE(Remove("gone").ok());
  const std::string id = Create();
  EXPECT_TRUE(Stop(id).ok());
  EXPECT_TRUE(Remove(id).ok());
  EXPECT_TRUE(Remove(id).ok());
}

TEST_F(ContainerRpc, AContainerWhoseBundleIsGoneCanStillBeStopped) {
  const std::string id = Create();
  ASSERT_TRUE(Start(id).ok());
  node_.containers.forget_stopped = true;
  ASSERT_TRUE(Stop(id).ok());
  EXPECT_EQ(StatusOf(id).state(), v1::CONTAINER_EXITED);
  EXPECT_EQ(StatusOf(id).exit_code(), 255);
}

TEST_F(ContainerRpc, NothingStartsInAStoppedPod) {
  const std::string id = Create();
  v1::StopPodSandboxRequest request;
  request.set_pod_sandbox_id(sandbox_);
  v1::StopPodSandboxResponse response;
  ASSERT_TRUE(node_.service->StopPodSandbox(&context_, &request, &response).ok());
  EXPECT_EQ(Start(id).error_code(), grpc::StatusCode::FAILED_PRECONDITION);
  Create();
  EXPECT_EQ(status_.error_code(), grpc::StatusCode::FAILED_PRECONDITION);
}

TEST_F(ContainerRpc, StoppingThePodKillsItsContainersAtOnce) {
  const std::string id = Create();
  ASSERT_TRUE(Start(id).ok());
  v1::StopPodSandboxRequest request;
  request.set_pod_sandbox_id(sandbox_);
  v1::StopPodSandboxResponse response;
  ASSERT_TRUE(node_.service->StopPodSandbox(&context_, &request, &response).ok());
  EXPECT_THAT(node_.containers.grace_periods, ElementsAre(std::chrono::seconds(0)));
  EXPECT_EQ(StatusOf(id).state(), v1::CONTAINER_EXITED);
}

TEST_F(ContainerRpc, ExecNeedsARunningContainer) {
  const std::string id = Create();
  v1::ExecSyncRequest request;
  request.set_container_id(id);
  request.add_cmd("true");
  request.set_timeout(7);
  v1::ExecSyncResponse response;
  EXPECT_EQ(node_.service->ExecuteSync(context_, request, response, {}).error_code(),
            grpc::StatusCode::FAILED_PRECONDITION);
  ASSERT_TRUE(Start(id).ok());
  ASSERT_TRUE(node_.service->ExecuteSync(context_, request, response, {}).ok());
  EXPECT_EQ(response.exit_code(), 3);
  EXPECT_EQ(response.stdout(), "out");
  EXPECT_EQ(response.stderr(), "err");
  EXPECT_EQ(node_.spawner.requests.front().pid, 815);
  EXPECT_EQ(node_.spawner.requests.front().timeout, std::chrono::seconds(7));
  request.clear_cmd();
  EXPECT_EQ(node_.service->ExecuteSync(context_, request, response, {}).error_code(),
            grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(ContainerRpc, ATimeoutOfManyYearsIsOneOfAYear) {
  const std::string id = Create();
  ASSERT_TRUE(Start(id).ok());
  v1::ExecSyncRequest request;
  request.set_container_id(id);
  request.add_cmd("true");
  request.set_timeout(std::numeric_limits<int64_t>::max());
  v1::ExecSyncResponse response;
  ASSERT_TRUE(node_.service->ExecuteSync(context_, request, response, {}).ok());
  EXPECT_EQ(node_.spawner.requests.front().timeout, std::chrono::hours(24 * 365));
  ASSERT_TRUE(Stop(id, std::numeric_limits<int64_t>::max()).ok());
  EXPECT_THAT(node_.containers.grace_periods, ElementsAre(std::chrono::hours(24 * 365)));
}

TEST_F(ContainerRpc, ReopeningTheLogNeedsARunningContainer) {
  const std::string id = Create();
  v1::ReopenContainerLogRequest request;
  request.set_container_id(id);
  v1::ReopenContainerLogResponse response;
  EXPECT_EQ(node_.service->ReopenContainerLog(&context_, &request, &response).error_code(),
            grpc::StatusCode::FAILED_PRECONDITION);
  ASSERT_TRUE(Start(id).ok());
  EXPECT_TRUE(node_.service->ReopenContainerLog(&context_, &request, &response).ok());
  EXPECT_THAT(node_.logs.reopened, ElementsAre(Unit()));
}

TEST_F(ContainerRpc, AnUpdateChangesOnlyWhatItNames) {
  create_.mutable_config()->mutable_linux()->mutable_resources()->set_memory_limit_in_bytes(1000);
  create_.mutable_config()->mutable_linux()->mutable_resources()->set_cpu_shares(512);
  const std::string id = Create();
  ASSERT_TRUE(Start(id).ok());
  v1::UpdateContainerResourcesRequest request;
  request.set_container_id(id);
  request.mutable_linux()->set_memory_limit_in_bytes(2000);
  v1::UpdateContainerResourcesResponse response;
  ASSERT_TRUE(node_.service->UpdateContainerResources(&context_, &request, &response).ok());
  EXPECT_EQ(node_.containers.updates.back().memory_limit, 2000);
  EXPECT_EQ(node_.containers.updates.back().cpu_shares, 512u);
  EXPECT_EQ(StatusOf(id).resources().linux().memory_limit_in_bytes(), 2000);
}

TEST_F(ContainerRpc, ImagesAreListedByTheirNamesWhileTheyHaveOne) {
  const auto listed = [&] {
    const v1::ListContainersRequest request;
    v1::ListContainersResponse response;
    EXPECT_TRUE(node_.service->ListContainers(&context_, &request, &response).ok());
    return Received(response).containers(0).image().image();
  };
  const std::string id = Create();
  image::Image& image = node_.store.images.front();
  image.tags = {"app:1", "app:2"};
  EXPECT_EQ(listed(), "app:1");
  EXPECT_EQ(StatusOf(id).image().image(), "app:1");
  image.tags.clear();
  EXPECT_EQ(listed(), image.id) << "what the client had asked for";
  node_.store.images.clear();
  EXPECT_EQ(listed(), create_.config().image().image());
}

TEST_F(ContainerRpc, ListFiltersByStateSandboxAndLabels) {
  (*create_.mutable_config()->mutable_labels())["tier"] = "front";
  const std::string first = Create();
  create_.mutable_config()->mutable_metadata()->set_name("other");
  (*create_.mutable_config()->mutable_labels())["tier"] = "back";
  const std::string second = Create();
  ASSERT_TRUE(Start(second).ok());
  const auto list = [&](const v1::ContainerFilter& filter) {
    v1::ListContainersRequest request;
    *request.mutable_filter() = filter;
    v1::ListContainersResponse response;
    EXPECT_TRUE(node_.service->ListContainers(&context_, &request, &response).ok());
    const auto received = Received(response);
    std::vector<std::string> ids;
    for (const auto& item : received.containers()) ids.push_back(item.id());
    return ids;
  };
  v1::ContainerFilter filter;
  EXPECT_EQ(list(filter).size(), 2u);
  filter.mutable_state()->set_state(v1::CONTAINER_RUNNING);
  EXPECT_THAT(list(filter), ElementsAre(second));
  filter.Clear();
  (*filter.mutable_label_selector())["tier"] = "front";
  EXPECT_THAT(list(filter), ElementsAre(first));
  filter.Clear();
  filter.set_pod_sandbox_id("another");
  EXPECT_THAT(list(filter), IsEmpty());
}

TEST_F(ContainerRpc, WhatACommandWritesFitsIntoOneMessage) {
  const std::string id = Create();
  ASSERT_TRUE(Start(id).ok());
  const size_t message = size_t{16} << 20;
  for (const auto& [out, error] : {std::pair{message, message}, {message, size_t{100}}, {size_t{100}, message}}) {
    node_.spawner.output = {0, std::string(out, 'o'), std::string(error, 'e')};
    v1::ExecSyncRequest request;
    request.set_container_id(id);
    request.add_cmd("cat");
    v1::ExecSyncResponse response;
    ASSERT_TRUE(node_.service->ExecuteSync(context_, request, response, {}).ok());
    EXPECT_LE(response.ByteSizeLong(), message);
    EXPECT_GE(response.stdout().size() + response.stderr().size(), message - 4096);
    EXPECT_GE(response.stdout().size(), std::min(out, message / 2 - 4096));
    EXPECT_GE(response.stderr().size(), std::min(error, message / 2 - 4096));
  }
}

}  // namespace
}  // namespace cri
