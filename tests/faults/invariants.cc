#include "invariants.h"

#include <sys/stat.h>

#include <algorithm>
#include <map>
#include <thread>

#include "base/clock.h"
#include "base/text.h"
#include "log_check.h"

namespace faults {
namespace {

using Kind = ContainerModel::Kind;
using State = ContainerModel::State;
using Runtime = v1::RuntimeService::Stub;

// Calls that were given up go on in the daemon; on a busy machine they take seconds.
constexpr std::chrono::seconds kPatience(30);
constexpr std::chrono::milliseconds kPause(50);
// systemd notices the end of a process late on a busy machine.
constexpr int64_t kLateness = int64_t{20} * 1'000'000'000;

struct Listing {
  std::map<std::string, v1::PodSandbox> pods;       // by id
  std::map<std::string, v1::Container> containers;  // by id
};

base::Result<Listing> List(cri_client::Client& client) {
  const auto pods = client.Call(&Runtime::ListPodSandbox, v1::ListPodSandboxRequest());
  if (!pods.ok()) return base::Internal("list the pods: " + pods.status.error_message());
  const auto containers = client.Call(&Runtime::ListContainers, v1::ListContainersRequest());
  if (!containers.ok()) return base::Internal("list the containers: " + containers.status.error_message());
  Listing listing;
  for (const auto& pod : pods.response.items()) listing.pods[pod.id()] = pod;
  for (const auto& container : containers.response.containers()) listing.containers[container.id()] = container;
  return listing;
}

std::string NameOf(const PodModel& pod, const ContainerModel& container) {
  return "container " + pod.config.metadata().name() + "/" + container.config.metadata().name();
}

bool Endless(const ContainerModel& container) {
  return container.kind == Kind::kIdle || container.kind == Kind::kWriter || container.kind == Kind::kTerminal;
}

// In which states a container may be that nothing is under way with.
std::string StateProblem(const PodModel& pod, const ContainerModel& container, v1::ContainerState state) {
  // What a kubelet does with it next is to remove it.
  if (pod.lost) return "";
  const bool pod_ends = pod.stop_asked || pod.removal_asked;
  switch (container.state) {
    case State::kAsked:
    case State::kGone:
      return "";
    case State::kCreated:
      if (state == v1::CONTAINER_CREATED) return "";
      // Its start was asked for.
      if (state == v1::CONTAINER_RUNNING || state == v1::CONTAINER_EXITED) return "";
      break;
    case State::kStarted:
      if (state == v1::CONTAINER_RUNNING && container.kind != Kind::kBroken) return "";
      if (state == v1::CONTAINER_EXITED && (!Endless(container) || container.stop_asked || pod_ends)) return "";
      break;
    case State::kStopped:
      if (state == v1::CONTAINER_EXITED) return "";
      break;
  }
  return "is in state " + v1::ContainerState_Name(state);
}

void Add(Owners& owners, const std::string& id) {
  owners.insert(ShortId(id));
}

}  // namespace

base::Result<std::unique_ptr<Invariants>> Invariants::Make(cri_client::Client& client) {
  std::unique_ptr<Invariants> invariants(new Invariants(client));
  ASSIGN_OR_RETURN(invariants->mounts_, OtherMounts());
  ASSIGN_OR_RETURN(invariants->daemon_, LookAtDaemon());
  return invariants;
}

base::Status Invariants::NoteLostPods(const std::vector<std::unique_ptr<Client>>& clients) {
  ASSIGN_OR_RETURN(const Listing listing, List(client_));
  for (const auto& client : clients) {
    for (PodModel& pod : client->pods()) {
      const auto found = listing.pods.find(pod.id);
      if (found != listing.pods.end() && found->second.state() == v1::SANDBOX_NOTREADY) pod.lost = true;
    }
  }
  return base::Ok();
}

std::vector<std::string> Invariants::Check(const std::vector<std::unique_ptr<Client>>& clients, bool fresh,
                                           const std::set<std::string>& known) {
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  // Their connections count among the daemon's descriptors.
  for (const auto& client : clients) client->Greet();
  while (true) {
    std::vector<std::string> problems = CheckOnce(clients, fresh);
    std::erase_if(problems, [&](const std::string& problem) { return known.count(problem) != 0; });
    if (problems.empty() || std::chrono::steady_clock::now() > deadline) return problems;
    std::this_thread::sleep_for(kPause);
  }
}

base::Status Invariants::CheckExit(const ContainerModel& container, const v1::Container& listed) {
  v1::ContainerStatusRequest request;
  request.set_container_id(listed.id());
  const auto answer = client_.Call(&Runtime::ContainerStatus, request);
  if (!answer.ok()) return base::Internal("has no status: " + answer.status.error_message());
  const v1::ContainerStatus& status = answer.response.status();
  if (status.state() != v1::CONTAINER_EXITED) return base::Ok();
  const std::string times = " (created " + std::to_string(status.created_at()) + ", started " +
                            std::to_string(status.started_at()) + ", finished " + std::to_string(status.finished_at()) +
                            ", reason " + status.reason() + ")";
  const int code = status.exit_code();
  if (container.kind == Kind::kBroken) {
    if (code == 128) return base::Ok();
    return base::Internal("could not be started and has exit code " + std::to_string(code) + times);
  }
  if (status.started_at() < status.created_at() || status.finished_at() < status.started_at() ||
      status.finished_at() > base::NowNanoseconds()) {
    return base::Internal("has impossible times" + times);
  }
  const bool killed = code == 137 || code == 143;
  struct stat end {};
  const bool ended = ::stat((container.folder + "/end").c_str(), &end) == 0;
  if (Endless(container) || (container.stop_asked && killed)) {
    if (!killed) return base::Internal("was killed and has exit code " + std::to_string(code) + times);
    return base::Ok();
  }
  if (code != container.exit_code) {
    return base::Internal("ended with " + std::to_string(container.exit_code) + " and has exit code " +
                          std::to_string(code) + times);
  }
  const int64_t last = int64_t{end.st_mtim.tv_sec} * 1'000'000'000 + end.st_mtim.tv_nsec;
  if (!ended || status.finished_at() < last || status.finished_at() > last + kLateness) {
    return base::Internal("ended after " + std::to_string(last) + " and has another time" + times);
  }
  return base::Ok();
}

std::vector<std::string> Invariants::CheckOnce(const std::vector<std::unique_ptr<Client>>& clients, bool fresh) {
  std::vector<std::string> problems;
  const auto listed = List(client_);
  if (!listed.ok()) return {listed.error().message()};

  // 1. The clients' view.
  std::set<std::string> known;
  std::map<std::string, const PodModel*> pod_models;
  for (const auto& client : clients) {
    if (const auto should_be_there = client->other_image_there()) {
      v1::ImageStatusRequest request;
      request.mutable_image()->set_image(client->other_image());
      const auto status = client_.Call(&v1::ImageService::Stub::ImageStatus, request);
      if (!status.ok()) return {"status of " + client->other_image() + ": " + status.status.error_message()};
      if (status.response.has_image() != *should_be_there) {
        problems.push_back(client->other_image() +
                           (*should_be_there ? " was pulled and is gone" : " was removed and is there"));
      }
    }
    for (const PodModel& pod : client->pods()) {
      const std::string name = "pod " + pod.config.metadata().name();
      std::vector<std::string> ids;
      for (const auto& [id, item] : listed->pods) {
        if (item.metadata().uid() == pod.config.metadata().uid()) ids.push_back(id);
      }
      if (ids.size() > 1) problems.push_back(name + " is there " + std::to_string(ids.size()) + " times");
      for (const std::string& id : ids) {
        known.insert(id);
        pod_models[id] = &pod;
      }
      if (pod.state == PodModel::State::kGone) {
        if (!ids.empty()) problems.push_back(name + " was removed and is listed");
        continue;
      }
      if (pod.state == PodModel::State::kAsked) continue;
      if (ids.empty()) {
        if (!pod.removal_asked) problems.push_back(name + " was acknowledged and is gone");
        continue;
      }
      const v1::PodSandbox& item = listed->pods.at(ids.front());
      if (item.id() != pod.id) problems.push_back(name + " was acknowledged with another id");
      const bool ready = item.state() == v1::SANDBOX_READY;
      if (ready && pod.state == PodModel::State::kStopped) problems.push_back(name + " was stopped and is ready");
      if (!ready && pod.state == PodModel::State::kReady && !pod.stop_asked && !pod.removal_asked && !pod.lost) {
        problems.push_back(name + " is not ready");
      }
      for (const ContainerModel& container : pod.containers) {
        const std::string container_name = NameOf(pod, container);
        std::vector<const v1::Container*> found;
        for (const auto& [id, each] : listed->containers) {
          if (each.pod_sandbox_id() == pod.id && each.metadata().name() == container.config.metadata().name()) {
            found.push_back(&each);
            known.insert(id);
          }
        }
        if (found.size() > 1) problems.push_back(container_name + " is there more than once");
        if (container.state == State::kGone) {
          if (!found.empty() && !pod.lost) problems.push_back(container_name + " was removed and is listed");
          continue;
        }
        if (container.state == State::kAsked) continue;
        if (found.empty()) {
          if (!container.removal_asked && !pod.removal_asked) {
            problems.push_back(container_name + " was acknowledged and is gone");
          }
          continue;
        }
        if (found[0]->id() != container.id) problems.push_back(container_name + " was acknowledged with another id");
        const std::string problem = StateProblem(pod, container, found[0]->state());
        if (!problem.empty()) problems.push_back(container_name + " " + problem);
        const bool exited = found[0]->state() == v1::CONTAINER_EXITED;
        ContainerModel seen = container;
        seen.stop_asked |= pod.stop_asked || pod.removal_asked || pod.lost;
        if (exited && !pod.lost) {
          if (auto exit = CheckExit(seen, *found[0]); !exit.ok()) {
            problems.push_back(container_name + " " + exit.error().message());
          }
        }
        const bool whole = exited && (container.state == State::kStarted || container.state == State::kStopped);
        if (auto log = CheckLog(seen, whole); !log.ok()) problems.push_back(log.error().message());
      }
    }
  }
  for (const auto& [id, pod] : listed->pods) {
    if (known.count(id) == 0) problems.push_back("nobody asked for pod " + pod.metadata().name() + " " + id);
  }
  for (const auto& [id, container] : listed->containers) {
    if (known.count(id) == 0) {
      problems.push_back("nobody asked for container " + container.metadata().name() + " " + id);
    }
  }

  // 2. The node's.
  Need machines;
  Need networks;
  Need pods;
  Need containers;
  Need changed;
  Need units;
  Need cgroups;
  int stored = 0;
  for (const auto& [id, pod] : listed->pods) {
    const auto model = pod_models.find(id);
    const bool networked = model == pod_models.end() || model->second->networked;
    Add(pods.least, id);
    if (pod.state() == v1::SANDBOX_READY) {
      for (Need* need : {&machines, &units, &cgroups}) {
        Add(need->least, id);
        Add(need->most, id);
      }
      if (networked) Add(networks.least, id);
      if (networked) Add(networks.most, id);
    } else if (!fresh && networked && model != pod_models.end() && model->second->state != PodModel::State::kStopped) {
      // Its machine has ended, or a stop has not come to its end: the client's next call makes it so.
      Add(networks.most, id);
    }
  }
  pods.most = pods.least;
  for (const auto& [id, container] : listed->containers) {
    Add(containers.least, id);
    Add(changed.most, id);
    Add(units.most, id);
    Add(cgroups.most, id);  // systemd keeps it until the unit is stopped
    if (container.state() != v1::CONTAINER_RUNNING) continue;
    Add(units.least, id);
    Add(cgroups.least, id);
    stored += 2;
  }
  containers.most = containers.least;
  for (const auto& client : clients) {
    for (const PodModel& pod : client->pods()) {
      for (const ContainerModel& container : pod.containers) {
        const auto found = listed->containers.find(container.id);
        if (found == listed->containers.end() || found->second.state() != v1::CONTAINER_RUNNING) continue;
        stored += container.config.tty() || container.config.stdin() ? 1 : 0;
      }
    }
  }
  const auto inventory = TakeInventory();
  if (!inventory.ok()) return {inventory.error().message()};
  Need veths;
  for (size_t i = 0; i < networks.least.size(); ++i) veths.least.insert("one");
  for (size_t i = 0; i < networks.most.size(); ++i) veths.most.insert("one");
  Need rules;
  rules.most = networks.most;
  for (std::string& difference : Compare(*inventory, {{"unit", units},
                                                      {"machine", machines},
                                                      {"transient unit file", machines},
                                                      {"propagation directory of nspawn", machines},
                                                      {"portable image", containers},
                                                      {"attached unit", containers},
                                                      {"drop-in of an attached unit", containers},
                                                      {"changed unit property", changed},
                                                      {"network namespace", networks},
                                                      {"mount of a network namespace", networks},
                                                      {"CNI cache entry", networks},
                                                      {"address lease", networks},
                                                      {"veth", veths},
                                                      {"NAT rule", rules},
                                                      {"pod record", pods},
                                                      {"folder of a pod's files", pods},
                                                      {"container record", containers},
                                                      {"bundle", containers},
                                                      {"staged image layer", {}},
                                                      {"cgroup", cgroups}})) {
    problems.push_back(std::move(difference));
  }
  const auto mounts = OtherMounts();
  if (mounts.ok() && *mounts != mounts_) {
    for (const std::string& mount : *mounts) {
      if (mounts->count(mount) > mounts_.count(mount)) problems.push_back("mount " + mount + " should not be there");
    }
  }

  // 3. The addresses.
  const auto leases = Leases();
  for (const auto& [id, pod] : listed->pods) {
    const auto model = pod_models.find(id);
    if (pod.state() != v1::SANDBOX_READY || (model != pod_models.end() && !model->second->networked)) continue;
    v1::PodSandboxStatusRequest request;
    request.set_pod_sandbox_id(id);
    const auto status = client_.Call(&Runtime::PodSandboxStatus, request);
    if (!status.ok()) return {"status of pod " + id + ": " + status.status.error_message()};
    const std::string& address = status.response.status().network().ip();
    const auto lease = leases.ok() ? leases->find(address) : leases->end();
    if (!leases.ok() || lease == leases->end() || lease->second != ShortId(id)) {
      problems.push_back("pod " + pod.metadata().name() + " has address " + address + ", which is not leased to it");
    }
  }

  // 4. The daemon itself.
  const auto daemon = LookAtDaemon();
  if (!daemon.ok()) return {daemon.error().message()};
  const auto differs = [&](const std::string& what, int is, int should) {
    if (is != should) problems.push_back(what + ": " + std::to_string(is) + ", not " + std::to_string(should));
  };
  differs("descriptors that systemd keeps", daemon->stored, stored);
  differs("processes of the service", daemon->processes, daemon_.processes);
  differs("inotify watches", daemon->watches, daemon_.watches);
  differs("descriptors of the spawner", daemon->spawner_descriptors, daemon_.spawner_descriptors);
  for (const auto& [kind, count] : daemon->descriptors) {
    if (kind == "file") continue;
    const auto before = daemon_.descriptors.find(kind);
    // gRPC has one for each of its threads that wait at the same time.
    if (kind == "anon_inode:[eventfd]" && count < before->second + 16) continue;
    // Terminals are files of devpts.
    differs("descriptors of the daemon that are " + kind, count,
            before == daemon_.descriptors.end() ? 0 : before->second);
  }
  for (const std::string& file : daemon->files) {
    const size_t bundles = file.find("/run/cri-nspawn/containers/");
    const size_t logs = file.find(kFolder);
    if (bundles == std::string::npos && logs == std::string::npos) continue;
    bool owned = logs != std::string::npos;
    for (const auto& [id, container] : listed->containers) {
      owned |= container.state() == v1::CONTAINER_RUNNING && file.find(ShortId(id)) != std::string::npos;
    }
    if (!owned || file.ends_with(" (deleted)")) problems.push_back("the daemon has " + file + " open");
  }
  return problems;
}

}  // namespace faults
