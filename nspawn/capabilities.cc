#include "nspawn/capabilities.h"

#include <linux/capability.h>
#include <sys/prctl.h>

#include <cctype>
#include <string>

namespace nspawn {
namespace {

constexpr std::string_view kNames[] = {
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
};
static_assert(std::size(kNames) == CAP_CHECKPOINT_RESTORE + 1);

constexpr uint64_t Bit(unsigned capability) {
  return uint64_t{1} << capability;
}

}  // namespace

const uint64_t kDefaultCapabilities = Bit(CAP_CHOWN) | Bit(CAP_DAC_OVERRIDE) | Bit(CAP_FOWNER) | Bit(CAP_FSETID) |
                                      Bit(CAP_KILL) | Bit(CAP_NET_BIND_SERVICE) | Bit(CAP_SETFCAP) | Bit(CAP_SETGID) |
                                      Bit(CAP_SETPCAP) | Bit(CAP_SETUID) | Bit(CAP_SYS_CHROOT) | Bit(CAP_MKNOD) |
                                      Bit(CAP_NET_RAW) | Bit(CAP_AUDIT_WRITE);

std::optional<unsigned> CapabilityNumber(std::string_view name) {
  constexpr std::string_view kPrefix = "CAP_";
  std::string upper;
  for (const char c : name) upper += static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  std::string_view bare = upper;
  if (bare.substr(0, kPrefix.size()) == kPrefix) bare.remove_prefix(kPrefix.size());
  for (unsigned number = 0; number < std::size(kNames); ++number) {
    if (kNames[number] == bare) return number;
  }
  return std::nullopt;
}

std::vector<std::string> CapabilityNames(uint64_t capabilities) {
  std::vector<std::string> names;
  for (unsigned number = 0; number < std::size(kNames); ++number) {
    if ((capabilities >> number & 1) != 0) names.emplace_back(kNames[number]);
  }
  return names;
}

uint64_t AllCapabilities() {
  uint64_t all = 0;
  for (unsigned number = 0; number < 64; ++number) {
    const int held = ::prctl(PR_CAPBSET_READ, number, 0, 0, 0);
    if (held < 0) break;
    if (held == 1) all |= Bit(number);
  }
  return all;
}

}  // namespace nspawn
