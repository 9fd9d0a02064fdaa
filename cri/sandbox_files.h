// The files of a pod that all of its containers mount: resolv.conf, hosts and hostname.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "proto/runtime.pb.h"

namespace cri {

// Writes the three files into `directory`, which is made; they belong to `owner`, user and group of that number.
// Without a DNS configuration the pod has the host's resolv.conf; with the host's network it has the host's hosts file.
base::Status WriteSandboxFiles(const std::string& directory, const runtime::v1::PodSandboxConfig& config,
                               const std::string& hostname, bool host_network,
                               const std::vector<std::string>& addresses, uint32_t owner = 0);

// resolv.conf(5) of a DNS configuration. kInvalidArgument for a value with white space or control characters, or with
// more searches or servers than a resolver reads.
base::Result<std::string> ResolvConf(const runtime::v1::DNSConfig& dns);

}  // namespace cri
