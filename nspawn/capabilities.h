// Capability names and the sets of containers.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace nspawn {

// What a container has that asks for nothing: CHOWN DAC_OVERRIDE FOWNER FSETID KILL NET_BIND_SERVICE SETFCAP SETGID
// SETPCAP SETUID SYS_CHROOT MKNOD NET_RAW AUDIT_WRITE, as containerd's default.
extern const uint64_t kDefaultCapabilities;

// The number of "NET_ADMIN", "CAP_NET_ADMIN" or "cap_net_admin"; nothing for a name that there is not.
std::optional<unsigned> CapabilityNumber(std::string_view name);
// All capabilities that the running kernel knows and that this process has in its bounding set.
uint64_t AllCapabilities();

// Their names without "CAP_", in the order of their numbers. Numbers without a name are left out.
std::vector<std::string> CapabilityNames(uint64_t capabilities);

}  // namespace nspawn
