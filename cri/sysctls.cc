#include "cri/sysctls.h"

#include <algorithm>
#include <string_view>

#include "base/text.h"

namespace cri {
namespace {

using base::InvalidArgument;

constexpr size_t kLongestName = 256;
constexpr size_t kLongestValue = 4096;

// What ipc_namespaces(7) lists, beside all below fs/mqueue.
constexpr std::string_view kIpc[] = {"kernel/msgmax", "kernel/msgmnb", "kernel/msgmni", "kernel/sem",
                                     "kernel/shmall", "kernel/shmmax", "kernel/shmmni", "kernel/shm_rmid_forced"};

// The name as a path below /proc/sys: as sysctl.d(5) has it, the first separator decides which one separates.
std::string PathOf(const std::string& name) {
  std::string path = name;
  const size_t separator = path.find_first_of("./");
  if (separator != std::string::npos && path[separator] == '.') {
    for (char& c : path) {
      if (c == '.' || c == '/') c = c == '.' ? '/' : '.';
    }
  }
  return path;
}

bool IsPlain(const std::string& path) {
  const bool known = std::all_of(path.begin(), path.end(), [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '/' || c == '.' || c == '_' || c == '-';
  });
  if (!known || path.size() > kLongestName) return false;
  const auto parts = base::Split(path, '/');
  return parts.size() > 1 && std::none_of(parts.begin(), parts.end(), [](std::string_view part) {
           return part.empty() || part == "." || part.find("..") != std::string_view::npos;
         });
}

}  // namespace

base::Result<Sysctls> ReadSysctls(const v1::PodSandboxConfig& config) {
  const v1::NamespaceOption& options = config.linux().security_context().namespace_options();
  Sysctls sysctls;
  for (const auto& [name, value] : config.linux().sysctls()) {
    const std::string what = "sysctl \"" + base::Printable(name, kLongestName) + "\"";
    const std::string path = PathOf(name);
    if (!IsPlain(path)) return InvalidArgument(what + ": this is no name of a sysctl");
    const bool has_control =
        std::any_of(value.begin(), value.end(), [](unsigned char c) { return c < ' ' && c != '\t'; });
    if (value.empty() || value.size() > kLongestValue || has_control) {
      return InvalidArgument(what + ": its value is empty, too long or not one line of text");
    }
    const bool network = path.starts_with("net/");
    const bool ipc =
        path.starts_with("fs/mqueue/") || std::find(std::begin(kIpc), std::end(kIpc), path) != std::end(kIpc);
    if (!network && !ipc) {
      return InvalidArgument(what + ": it belongs to no namespace of a pod, setting it would change the node");
    }
    // They are written when a container starts, which is late to find out.
    if (ipc && !std::all_of(value.begin(), value.end(), [](unsigned char c) {
          return std::isdigit(c) != 0 || c == ' ' || c == '\t' || c == '-';
        })) {
      return InvalidArgument(what + ": its value is not one of numbers");
    }
    if (network && options.network() == v1::NODE) {
      return InvalidArgument(what + ": the pod uses the node's network, setting it would change the node");
    }
    if (ipc && options.ipc() == v1::NODE) {
      return InvalidArgument(what + ": the pod uses the node's IPC namespace, setting it would change the node");
    }
    (network ? sysctls.network : sysctls.ipc).emplace_back(name, value);
  }
  std::sort(sysctls.network.begin(), sysctls.network.end());
  std::sort(sysctls.ipc.begin(), sysctls.ipc.end());
  return sysctls;
}

}  // namespace cri
