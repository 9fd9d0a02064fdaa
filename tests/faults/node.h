// What there is on the node that pods and containers may leave behind, to be compared with what the runtime lists.
#pragma once

#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/result.h"

namespace faults {

// What a thing on the node belongs to: the first twelve digits of the id of a pod or container, or the thing's own name
// when it has none in it.
using Owners = std::multiset<std::string>;

// By kind: "unit", "machine", "network namespace", … A kind of which there is nothing has an entry as well.
using Inventory = std::map<std::string, Owners>;

base::Result<Inventory> TakeInventory();

// What pods and containers need at least and at most, by kind; kinds that are missing are not compared.
struct Need {
  Owners least, most;
};
// Each difference as a sentence.
std::vector<std::string> Compare(const Inventory& inventory, const std::map<std::string, Need>& needs);

// The daemon's process, its spawner and what systemd keeps for it.
struct Daemon {
  int pid = 0;
  int spawner = 0;
  int stored = 0;     // descriptors in systemd's store
  int processes = 0;  // in the cgroup of the service
  int watches = 0;    // of inotify
  int spawner_descriptors = 0;
  std::map<std::string, int> descriptors;  // how many by kind: "socket", "pipe", "anon_inode:[eventpoll]", "file", …
  std::vector<std::string> files;          // the paths of those that are files
};
base::Result<Daemon> LookAtDaemon();

// The mounts of the node but for pinned network namespaces.
base::Result<std::multiset<std::string>> OtherMounts();

// Addresses that host-local has leased, to the short ids that hold them.
base::Result<std::map<std::string, std::string>> Leases();

// The id's first twelve digits.
std::string ShortId(const std::string& id);

}  // namespace faults
