// Host names of pods.
#pragma once

#include <string>
#include <string_view>

namespace nspawn {

// Whether systemd-nspawn takes it for a host name: labels of letters, digits and inner hyphens with dots between them,
// 64 characters at most.
bool IsHostname(std::string_view name);

// The host name of a pod that is given none: its name, as far as a host name goes, 63 characters at most as a kubelet
// has it. Characters that do not fit become hyphens.
std::string HostnameFrom(std::string_view pod_name);

}  // namespace nspawn
