#include "client.h"

#include <stdio.h>
#include <sys/stat.h>

#include <algorithm>
#include <thread>

#include "base/files.h"
#include "base/text.h"
#include "log_check.h"

namespace faults {
namespace {

using std::chrono::milliseconds;
using Kind = ContainerModel::Kind;
using Runtime = v1::RuntimeService::Stub;
using Images = v1::ImageService::Stub;

constexpr size_t kMostPods = 3;
constexpr size_t kMostContainers = 4;
// A call that something else was killed under may need a few tries.
constexpr int kMostTries = 40;
constexpr milliseconds kPause(50);

// Numbered lines in bursts; how many there are so far is told after each burst, from outside of the log.
constexpr char kWriterScript[] =
    "i=0; while :; do n=0; while [ $n -lt 20 ]; do echo line $i; i=$((i+1)); n=$((n+1)); done; "
    "echo $i >/v/written; usleep 20000; done";
constexpr char kCountedScript[] =
    "i=0; while [ $i -lt $LINES ]; do echo line $i; i=$((i+1)); [ $((i % 50)) != 0 ] || usleep 10000; done; "
    ": >/v/end; exit $CODE";
constexpr char kQuickScript[] = ": >/v/end; exit $CODE";

void SetEnvironment(v1::ContainerConfig& config, const std::string& name, const std::string& value) {
  v1::KeyValue& variable = *config.add_envs();
  variable.set_key(name);
  variable.set_value(value);
}

bool IsBroken(const grpc::Status& status) {
  return status.error_code() == grpc::StatusCode::UNAVAILABLE || status.error_code() == grpc::StatusCode::CANCELLED;
}

}  // namespace

Client::Client(int number, uint64_t seed, Surroundings surroundings)
    : number_(number),
      surroundings_(std::move(surroundings)),
      client_(surroundings_.socket),
      random_(seed * 1000 + static_cast<uint64_t>(number)) {}

void Client::Run() {
  while (surroundings_.gate->Pass()) {
    if (!pending_) Choose();
    (void)Again();
  }
}

void Client::Begin(std::string what, Operation operation) {
  pending_what_ = std::move(what);
  pending_ = std::move(operation);
  failures_ = 0;
  refusals_ = 0;
}

// Makes the pending call once. False when it failed and is still pending.
bool Client::Again() {
  if (!pending_) return true;
  // A kubelet's deadline, or now and then one that ends in the middle of the work.
  const bool hurried = failures_ == 0 && Chance(15);
  const milliseconds deadline = hurried ? milliseconds(1 + Below(150)) : milliseconds(60'000);
  const grpc::Status status = pending_(deadline);
  if (status.ok()) {
    pending_ = nullptr;
    return true;
  }
  ++failures_;
  const bool late = hurried && status.error_code() == grpc::StatusCode::DEADLINE_EXCEEDED;
  if (late) return false;
  if (IsBroken(status)) {
    // The daemon was killed; whoever did it closes the gate before long.
    std::this_thread::sleep_for(milliseconds(10));
    return false;
  }
  // Without a daemon there are as many as time allows: they count for nothing.
  ++refusals_;
  if (!surroundings_.disturbed() || refusals_ > kMostTries) {
    surroundings_.violation("client " + std::to_string(number_) + ": " + pending_what_ + ": " +
                            base::Printable(status.error_message(), 500));
    pending_ = nullptr;
    return false;
  }
  std::this_thread::sleep_for(kPause);
  return false;
}

bool Client::Settle() {
  for (int i = 0; pending_ && i < 2 * kMostTries; ++i) (void)Again();
  return !pending_;
}

void Client::Choose() {
  std::erase_if(pods_, [](const PodModel& pod) { return pod.state == PodModel::State::kGone; });
  if (number_ == 0 && Chance(15)) return AskForImage();
  if (pods_.empty() || (pods_.size() < kMostPods && Chance(20))) return AskForPod();
  auto pod = pods_.begin();
  std::advance(pod, Below(pods_.size()));
  ChooseInPod(*pod);
}

void Client::AskForPod() {
  // A few slices for each client, instead of new ones without end: they are the kubelet's to remove.
  const std::string name = "c" + std::to_string(number_) + "-p" + std::to_string(names_++);
  PodModel& pod = pods_.emplace_back();
  const std::string folder = std::string(kFolder) + "/" + name;
  pod.config = cri_client::PodConfig(name, cri_client::RandomUid(), folder);
  pod.config.mutable_linux()->set_cgroup_parent(
      "/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podfaults" + std::to_string(number_) +
      std::to_string(Below(kMostPods)) + ".slice");
  auto& namespaces = *pod.config.mutable_linux()->mutable_security_context()->mutable_namespace_options();
  namespaces.set_pid(v1::CONTAINER);
  const size_t choice = Below(10);
  if (choice == 0) {
    namespaces.set_network(v1::NODE);
    pod.networked = false;
    pod.config.clear_hostname();
  } else if (choice == 1) {
    auto& users = *namespaces.mutable_userns_options();
    users.set_mode(v1::POD);
    for (v1::IDMapping* mapping : {users.add_uids(), users.add_gids()}) {
      mapping->set_host_id(static_cast<uint32_t>(1'000'000 + number_ * 65536));
      mapping->set_container_id(0);
      mapping->set_length(65536);
    }
  } else if (choice == 2) {
    namespaces.set_pid(v1::POD);
  } else if (choice == 3) {
    v1::PortMapping& mapping = *pod.config.add_port_mappings();
    mapping.set_container_port(80);
    mapping.set_host_port(20000 + number_ * 1000 + names_ % 1000);
  }
  if (!base::MakeDirectories(folder).ok()) surroundings_.violation("cannot make " + folder);
  Begin("run pod " + name, [this, &pod](milliseconds deadline) {
    const auto answer = Call(&Runtime::RunPodSandbox, cri_client::RunPod(pod.config), deadline);
    if (answer.ok()) {
      pod.id = answer.response.pod_sandbox_id();
      pod.state = PodModel::State::kReady;
    } else if (answer.code() == grpc::StatusCode::ALREADY_EXISTS && surroundings_.disturbed()) {
      RemoveUnready(pod);
    }
    return answer.status;
  });
}

// A pod whose machine was killed before anybody heard of it: a kubelet finds it in the list.
void Client::RemoveUnready(const PodModel& pod) {
  const auto listed = client_.Call(&Runtime::ListPodSandbox, v1::ListPodSandboxRequest());
  for (const v1::PodSandbox& each : listed.response.items()) {
    if (each.metadata().uid() != pod.config.metadata().uid() || each.state() == v1::SANDBOX_READY) continue;
    (void)client_.Call(&Runtime::RemovePodSandbox, cri_client::RemovePod(each.id()));
  }
}

void Client::ChooseInPod(PodModel& pod) {
  std::erase_if(pod.containers,
                [](const ContainerModel& container) { return container.state == ContainerModel::State::kGone; });
  const std::string name = pod.config.metadata().name();
  const bool usable = pod.state == PodModel::State::kReady && !pod.lost;
  const size_t choice = Below(100);
  if (choice < 8 || !usable) {
    if (pod.state == PodModel::State::kReady && (choice % 2 == 0 || pod.lost)) {
      pod.stop_asked = true;
      return Begin("stop pod " + name, [this, &pod](milliseconds deadline) {
        const auto answer = Call(&Runtime::StopPodSandbox, cri_client::StopPod(pod.id), deadline);
        if (answer.ok()) {
          pod.state = PodModel::State::kStopped;
          for (ContainerModel& container : pod.containers) container.stop_asked = true;
        }
        return answer.status;
      });
    }
    pod.removal_asked = true;
    return Begin("remove pod " + name, [this, &pod](milliseconds deadline) {
      const auto answer = Call(&Runtime::RemovePodSandbox, cri_client::RemovePod(pod.id), deadline);
      if (answer.ok()) Forget(pod);
      return answer.status;
    });
  }
  if (choice < 15) return Look(pod);
  if (pod.containers.empty() || (pod.containers.size() < kMostContainers && choice < 40)) return AskForContainer(pod);
  auto container = pod.containers.begin();
  std::advance(container, Below(pod.containers.size()));
  ChooseForContainer(pod, *container);
}

void Client::Forget(PodModel& pod) {
  pod.state = PodModel::State::kGone;
  for (ContainerModel& container : pod.containers) {
    container.stop_asked = true;
    if (container.state != ContainerModel::State::kStarted && container.state != ContainerModel::State::kStopped)
      continue;
    if (auto log = CheckLog(container, true); !log.ok()) surroundings_.violation(log.error().message());
  }
  (void)base::RemoveTree(std::string(kFolder) + "/" + pod.config.metadata().name());
}

void Client::AskForContainer(PodModel& pod) {
  ContainerModel& container = pod.containers.emplace_back();
  const std::string name = "k" + std::to_string(names_++);
  constexpr Kind kKinds[] = {Kind::kIdle,    Kind::kIdle,    Kind::kWriter, Kind::kWriter, Kind::kTerminal,
                             Kind::kCounted, Kind::kCounted, Kind::kQuick,  Kind::kBroken};
  container.kind = kKinds[Below(std::size(kKinds))];
  std::vector<std::string> command;
  switch (container.kind) {
    case Kind::kIdle:
      command = {"sleep", "100000"};
      break;
    case Kind::kWriter:
    case Kind::kTerminal:
      command = {"sh", "-c", kWriterScript};
      break;
    case Kind::kCounted:
      command = {"sh", "-c", kCountedScript};
      break;
    case Kind::kQuick:
      command = {"sh", "-c", kQuickScript};
      break;
    case Kind::kBroken:
      command = {"/no/such/program"};
      break;
  }
  container.config = cri_client::ContainerConfig(name, surroundings_.image, command);
  container.lines = static_cast<int>(Below(1500));
  container.exit_code = static_cast<int>(Below(100));
  container.config.set_tty(container.kind == Kind::kTerminal);
  container.config.set_stdin(container.kind == Kind::kIdle && Chance(30));
  SetEnvironment(container.config, "LINES", std::to_string(container.lines));
  SetEnvironment(container.config, "CODE", std::to_string(container.exit_code));
  const v1::NamespaceOption& pod_namespaces = pod.config.linux().security_context().namespace_options();
  auto& namespaces = *container.config.mutable_linux()->mutable_security_context()->mutable_namespace_options();
  namespaces = pod_namespaces;
  container.folder = pod.config.log_directory() + "/" + name;
  container.log = container.folder + ".log";
  v1::Mount& volume = *container.config.add_mounts();
  volume.set_container_path("/v");
  volume.set_host_path(container.folder);
  if (!base::MakeDirectories(container.folder, 0777).ok()) surroundings_.violation("cannot make " + container.folder);
  Begin("create container " + name, [this, &pod, &container](milliseconds deadline) {
    const auto answer =
        Call(&Runtime::CreateContainer, cri_client::CreateContainer(pod.id, pod.config, container.config), deadline);
    if (answer.ok()) {
      container.id = answer.response.container_id();
      container.state = ContainerModel::State::kCreated;
    } else if (pod.lost) {
      // A kubelet goes on with the next attempt of the pod.
      container.state = ContainerModel::State::kGone;
      return grpc::Status::OK;
    }
    return answer.status;
  });
}

void Client::ChooseForContainer(PodModel& pod, ContainerModel& container) {
  const std::string name = pod.config.metadata().name() + "/" + container.config.metadata().name();
  const size_t choice = Below(100);
  if (container.state == ContainerModel::State::kCreated && choice < 75) {
    return Begin("start container " + name, [this, &pod, &container](milliseconds deadline) {
      const auto answer = Call(&Runtime::StartContainer, cri_client::StartContainer(container.id), deadline);
      const bool broken = container.kind == Kind::kBroken && !answer.ok() && !IsBroken(answer.status) &&
                          answer.code() != grpc::StatusCode::DEADLINE_EXCEEDED;
      if (answer.ok() || broken) container.state = ContainerModel::State::kStarted;
      if (broken) return grpc::Status::OK;
      if (!answer.ok() && pod.lost) {
        container.state = ContainerModel::State::kStarted;
        container.stop_asked = true;
        container.start_unsure = true;
        return grpc::Status::OK;
      }
      return answer.status;
    });
  }
  if (choice < 12 || (container.state == ContainerModel::State::kStopped && choice < 60)) {
    container.stop_asked = true;
    container.removal_asked = true;
    return Begin("remove container " + name, [this, &container](milliseconds deadline) {
      const bool ran =
          container.state == ContainerModel::State::kStarted || container.state == ContainerModel::State::kStopped;
      const auto answer = Call(&Runtime::RemoveContainer, cri_client::RemoveContainer(container.id), deadline);
      if (!answer.ok()) return answer.status;
      container.state = ContainerModel::State::kGone;
      if (!ran) return answer.status;
      if (auto log = CheckLog(container, true); !log.ok()) surroundings_.violation(log.error().message());
      return answer.status;
    });
  }
  if (choice < 30) {
    container.stop_asked = true;
    const int64_t grace = Chance(10) ? 1 : 0;
    return Begin("stop container " + name, [this, &container, grace](milliseconds deadline) {
      const auto answer = Call(&Runtime::StopContainer, cri_client::StopContainer(container.id, grace), deadline);
      if (answer.ok() && container.state == ContainerModel::State::kStarted) {
        container.state = ContainerModel::State::kStopped;
      }
      return answer.status;
    });
  }
  const bool runs =
      container.state == ContainerModel::State::kStarted && !container.stop_asked &&
      (container.kind == Kind::kIdle || container.kind == Kind::kWriter || container.kind == Kind::kTerminal);
  if (!runs) return Look(pod);
  if (choice < 60) {
    return Begin("execute in container " + name, [this, &pod, &container](milliseconds deadline) {
      const auto answer =
          Call(&Runtime::ExecSync,
               cri_client::ExecSync(container.id, {"sh", "-c", "echo out; echo err >&2; exit 3"}, 30), deadline);
      if (answer.ok() && (answer.response.stdout() != "out\n" || answer.response.stderr() != "err\n" ||
                          answer.response.exit_code() != 3)) {
        return grpc::Status(grpc::StatusCode::DATA_LOSS, "its result is \"" + answer.response.stdout() + "\", \"" +
                                                             answer.response.stderr() + "\", " +
                                                             std::to_string(answer.response.exit_code()));
      }
      return !answer.ok() && pod.lost ? grpc::Status::OK : answer.status;
    });
  }
  if (choice < 75) {
    return Begin("update container " + name, [this, &pod, &container](milliseconds deadline) {
      v1::UpdateContainerResourcesRequest request;
      request.set_container_id(container.id);
      request.mutable_linux()->set_cpu_shares(200);
      const auto answer = Call(&Runtime::UpdateContainerResources, request, deadline);
      return !answer.ok() && pod.lost ? grpc::Status::OK : answer.status;
    });
  }
  if (choice < 90) {
    Rotate(container);
    return Begin("reopen the log of container " + name, [this, &pod, &container](milliseconds deadline) {
      v1::ReopenContainerLogRequest request;
      request.set_container_id(container.id);
      const auto answer = Call(&Runtime::ReopenContainerLog, request, deadline);
      return !answer.ok() && pod.lost ? grpc::Status::OK : answer.status;
    });
  }
  Look(pod);
}

void Client::Rotate(ContainerModel& container) {
  const std::string renamed = container.log + "." + std::to_string(container.rotations + 1);
  if (::rename(container.log.c_str(), renamed.c_str()) == 0) ++container.rotations;
}

void Client::Look(PodModel& pod) {
  Begin("look at pod " + pod.config.metadata().name(), [this, &pod](milliseconds deadline) {
    v1::PodSandboxStatusRequest request;
    request.set_pod_sandbox_id(pod.id);
    const auto status = Call(&Runtime::PodSandboxStatus, request, deadline);
    if (!status.ok()) return status.status;
    const auto stats = Call(&Runtime::ListContainerStats, v1::ListContainerStatsRequest(), deadline);
    if (!stats.ok()) return stats.status;
    return Call(&Runtime::ListPodSandboxStats, v1::ListPodSandboxStatsRequest(), deadline).status;
  });
}

void Client::AskForImage() {
  // Mostly the one that has something to do.
  const bool pull = Chance(80) != other_image_there_.value_or(false);
  other_image_there_.reset();
  if (pull) {
    Begin("pull " + surroundings_.other_image, [this](milliseconds deadline) {
      const auto answer = Call(&Images::PullImage, cri_client::PullImage(surroundings_.other_image), deadline);
      if (answer.ok()) other_image_there_ = true;
      return answer.status;
    });
  } else {
    Begin("remove " + surroundings_.other_image, [this](milliseconds deadline) {
      v1::RemoveImageRequest request;
      request.mutable_image()->set_image(surroundings_.other_image);
      const auto answer = Call(&Images::RemoveImage, request, deadline);
      if (answer.ok()) other_image_there_ = false;
      return answer.status;
    });
  }
}

void Client::WarmUp() {
  AskForPod();
  (void)Settle();
  PodModel& pod = pods_.back();
  AskForContainer(pod);
  (void)Settle();
  const auto started =
      Call(&Runtime::StartContainer, cri_client::StartContainer(pod.containers.back().id), milliseconds(60'000));
  const auto executed =
      Call(&Runtime::ExecSync, cri_client::ExecSync(pod.containers.back().id, {"true"}, 30), milliseconds(60'000));
  static_cast<void>(started.ok() && executed.ok());
}

void Client::RemoveAll() {
  (void)Settle();
  for (PodModel& pod : pods_) {
    if (pod.id.empty() || pod.state == PodModel::State::kGone) continue;
    const auto answer = Call(&Runtime::RemovePodSandbox, cri_client::RemovePod(pod.id), milliseconds(60'000));
    if (answer.ok()) {
      Forget(pod);
    } else {
      surroundings_.violation("remove pod " + pod.config.metadata().name() + ": " + answer.status.error_message());
    }
  }
  pods_.clear();
}

}  // namespace faults
