// One client of the churn: works on pods of its own, one call after the other, as its seed has it.
#pragma once

#include <functional>
#include <list>
#include <mutex>
#include <optional>
#include <random>
#include <string>
#include <vector>

#include "gate.h"
#include "model.h"
#include "tests/cri_client/client.h"

namespace faults {

// Shared by all clients.
struct Surroundings {
  std::string socket;
  std::string image;        // of the containers
  std::string other_image;  // pulled and removed
  Gate* gate = nullptr;
  // Called with what must not be. Thread-safe.
  std::function<void(const std::string&)> violation;
  // Whether something but the daemon has been killed, so that a call may fail for once.
  std::function<bool()> disturbed;
};

class Client {
 public:
  Client(int number, uint64_t seed, Surroundings surroundings);

  // Until the gate ends. Every call that fails is made again until it succeeds.
  void Run();
  // Runs a pod with a container that executes something.
  void WarmUp();
  // Removes whatever there is, by calls that must succeed.
  void RemoveAll();
  // Whether a call waits for being made again.
  bool pending() const { return static_cast<bool>(pending_); }
  // Makes the pending call until it succeeds; for a client that waits at the gate. False when it never does.
  bool Settle();

  // Makes sure that it is connected.
  void Greet() { (void)client_.Call(&v1::RuntimeService::Stub::Version, v1::VersionRequest()); }

  // Only while the client waits at the gate.
  std::list<PodModel>& pods() { return pods_; }
  int number() const { return number_; }
  size_t calls() const { return calls_; }
  // Whether the other image must be there, when a client knows.
  std::optional<bool> other_image_there() const { return other_image_there_; }
  const std::string& other_image() const { return surroundings_.other_image; }

 private:
  // A call on the model: makes it with this deadline, and applies what was acknowledged.
  using Operation = std::function<grpc::Status(std::chrono::milliseconds)>;

  bool Chance(int percent) { return static_cast<int>(random_() % 100) < percent; }
  size_t Below(size_t bound) { return random_() % bound; }
  void Begin(std::string what, Operation operation);
  bool Again();
  void Choose();
  void ChooseInPod(PodModel& pod);
  void ChooseForContainer(PodModel& pod, ContainerModel& container);
  void AskForPod();
  void RemoveUnready(const PodModel& pod);
  void AskForContainer(PodModel& pod);
  void AskForImage();
  void Look(PodModel& pod);
  void Forget(PodModel& pod);
  void Rotate(ContainerModel& container);

  template <typename Stub, typename Request, typename Response>
  cri_client::Answer<Response> Call(grpc::Status (Stub::*method)(grpc::ClientContext*, const Request&, Response*),
                                    const Request& request, std::chrono::milliseconds deadline) {
    ++calls_;
    return client_.Call(method, request, deadline);
  }

  const int number_;
  const Surroundings surroundings_;
  cri_client::Client client_;
  std::mt19937_64 random_;
  std::list<PodModel> pods_;
  Operation pending_;
  std::string pending_what_;
  int failures_ = 0;  // of the pending call
  int refusals_ = 0;  // those of them that a daemon has answered
  int names_ = 0;
  size_t calls_ = 0;
  std::optional<bool> other_image_there_;
};

}  // namespace faults
