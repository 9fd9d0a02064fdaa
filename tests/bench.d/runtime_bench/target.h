// A runtime that is measured, and where its node is to be seen from outside.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>

#include "tests/cri_client/client.h"

namespace bench {

struct Target {
  std::string name;           // "containerd+runc"
  std::string socket;         // of the CRI, as this process reaches it
  std::string handler;        // runtime handler of its pods
  std::string cgroup_parent;  // what a kubelet would have all pods in
  std::string root = "/";     // the node's root directory
  std::string cgroup;         // directory in cgroup2 with every process of the node
  pid_t manager = 1;          // the node's PID 1
  std::shared_ptr<cri_client::Client> client;
};

}  // namespace bench
