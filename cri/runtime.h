// What all RPCs work on: the records, the parts below, and the steps that several RPCs share.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <string>

#include "base/result.h"
#include "cni/namespaces.h"
#include "cni/network.h"
#include "cri/config.h"
#include "cri/container_events.h"
#include "cri/operations.h"
#include "cri/record_table.h"
#include "cri/usage.h"
#include "cri/worker.h"
#include "image/store.h"
#include "nspawn/apparmor.h"
#include "nspawn/container.h"
#include "nspawn/kernel_features.h"
#include "nspawn/logs.h"
#include "nspawn/machine.h"
#include "nspawn/spawner.h"
#include "proto/records.pb.h"

namespace cri {

namespace v1 = runtime::v1;
using ContainerRecord = cri_nspawn::records::v1::ContainerRecord;
using SandboxRecord = cri_nspawn::records::v1::SandboxRecord;

// The parts below cri/. They must outlive the Runtime.
struct Parts {
  image::Store& images;
  nspawn::Machines& machines;
  nspawn::Containers& containers;
  nspawn::Logs& logs;
  nspawn::Spawner& spawner;
  cni::Network& network;
  cni::Namespaces& namespaces;
  nspawn::AppArmor& apparmor;
  nspawn::KernelFeatures kernel = {};
};

// What the names of our network namespaces begin with; the machine's name follows.
inline constexpr char kNamespacePrefix[] = "cri-nspawn-";

class Runtime {
 public:
  using Deadline = std::chrono::steady_clock::time_point;

  Runtime(const Config& config, const Parts& parts);
  Runtime(const Runtime&) = delete;
  Runtime& operator=(const Runtime&) = delete;
  ~Runtime();

  // Brings records, units, machines, networks and images into agreement after a start: finishes removals, undoes what
  // was never acknowledged, takes running containers over. To be called once, before the first RPC.
  base::Status Reconcile();

  // Ends whatever the sandbox has: containers at once, network, machine, namespace. Idempotent. The caller holds the
  // sandbox's turn.
  base::Status StopSandbox(const std::string& id, Deadline deadline);
  // Stops and removes a sandbox, its containers included. The caller holds the sandbox's turn.
  base::Status RemoveSandbox(const std::string& id, Deadline deadline);
  // Starts a created container and records how that went. The caller holds the container's turn.
  base::Status StartContainer(const ContainerRecord& record);
  // Ends a running container, recording how: the stop signal, then SIGKILL after `grace`. The caller holds the
  // container's turn.
  base::Status StopContainer(const ContainerRecord& record, std::chrono::milliseconds grace);
  // Removes a container in whatever state it is. The caller holds the container's turn.
  base::Status RemoveContainer(const std::string& id);
  // Records that a ready sandbox has lost its machine.
  void HandleMachineEnd(const std::string& name);
  // Records how a container ended, once, and finishes its log.
  void RecordExit(const std::string& id, const nspawn::Exit& exit);

  // Waits for earlier operations on this sandbox or container.
  base::Result<Operations::Turn> BeginOnSandbox(const std::string& id, Deadline deadline) {
    return operations.Begin("sandbox " + id, deadline);
  }
  base::Result<Operations::Turn> BeginOnContainer(const std::string& id, Deadline deadline) {
    return operations.Begin("container " + id, deadline);
  }

  std::vector<RecordTable<ContainerRecord>::Snapshot> ContainersOf(const std::string& sandbox_id) const;

  // Adds what the journal is to say of a container or a pod to the lines that this thread logs in its innermost
  // LogScope.
  void AddLogFields(const ContainerRecord& record) const;
  static void AddLogFields(const SandboxRecord& record);

  // Where the output of a container comes from and goes to.
  nspawn::LogTarget LogTargetOf(const ContainerRecord& record) const;
  // What the spawner needs to know of a container to run a command in it; the command is left out. kFailedPrecondition
  // unless it is running.
  base::Result<nspawn::ExecRequest> ExecIn(const std::string& container_id) const;

  // The configuration of a handler. kNotFound when there is none by that name.
  base::Result<RuntimeHandler> HandlerOf(const std::string& name) const;

  // Files of a pod that its containers mount: resolv.conf, hosts, hostname.
  std::string SandboxFiles(const std::string& id) const { return config.runtime_directory + "/sandboxes/" + id; }

  const Config config;
  const Parts parts;
  RecordTable<SandboxRecord> sandboxes;
  RecordTable<ContainerRecord> containers;
  Operations operations;
  ContainerEvents events;
  CpuRates cpu_rates;
  std::string cgroup_root = "/sys/fs/cgroup";  // a test gives a folder of its own

 private:
  base::Status ReconcileContainer(const ContainerRecord& record, const nspawn::Container* unit);
  base::Status ReconcileSandbox(const SandboxRecord& record);
  base::Status DetachNetwork(const SandboxRecord& record);
  // Has the network release what belongs to no sandbox.
  base::Status CollectNetworkGarbage();
  base::Status MarkNotReady(const std::string& sandbox_id);
  void HandleExit(const std::string& name, const nspawn::Exit& exit);
  void HandleContainerChange(const ContainerRecord* before, const ContainerRecord* after);
  void HandleSandboxChange(const SandboxRecord* before, const SandboxRecord* after);

  std::mutex taking_over_;                       // held until Reconcile() has looked at every container
  std::atomic<unsigned> removed_sandboxes_ = 0;  // since the start
  // Last: their threads use all of the above.
  const std::shared_ptr<Worker> worker_ = std::make_shared<Worker>();  // of what the bus tells
  Worker network_worker_;                                              // for CNI plugins that nobody waits for
};

// Writes whom a container that has been started runs as into its record.
void RecordUser(const nspawn::Container& container, ContainerRecord& record);

}  // namespace cri
