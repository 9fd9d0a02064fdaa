// What must hold whenever nothing is under way: everything that was acknowledged is there and in its right state, and
// the node holds what the runtime lists and nothing else.
#pragma once

#include <list>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "client.h"
#include "node.h"
#include "tests/cri_client/client.h"

namespace faults {

class Invariants {
 public:
  // Takes the node as it is now, without any pod, as what it has of its own. The clients must be connected.
  static base::Result<std::unique_ptr<Invariants>> Make(cri_client::Client& client);

  // The clients wait at the gate. `fresh`: the daemon has been started since the last call of a client, so that nothing
  // may be half done. Gives what does not hold but for what is known; looks again for some seconds before, since kernel
  // and systemd take their time with removing.
  std::vector<std::string> Check(const std::vector<std::unique_ptr<Client>>& clients, bool fresh,
                                 const std::set<std::string>& known);

  // Tells what the clients do not know by themselves: which pods' machines have ended.
  base::Status NoteLostPods(const std::vector<std::unique_ptr<Client>>& clients);

 private:
  explicit Invariants(cri_client::Client& client) : client_(client) {}

  std::vector<std::string> CheckOnce(const std::vector<std::unique_ptr<Client>>& clients, bool fresh);
  base::Status CheckExit(const ContainerModel& container, const v1::Container& listed);

  cri_client::Client& client_;
  std::multiset<std::string> mounts_;
  Daemon daemon_;
};

}  // namespace faults
