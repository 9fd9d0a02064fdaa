// Kernel parameters of a container's namespaces.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "base/result.h"

namespace nspawn {

// Writes "net.ipv4.ip_forward" and its like through the procfs `proc`, in the network and IPC namespaces of the caller.
// A name whose first separator is '/' has dots that belong to it ("net/ipv4/conf/eth0.1/forwarding").
base::Status WriteSysctls(int proc, const std::vector<std::pair<std::string, std::string>>& sysctls);

}  // namespace nspawn
