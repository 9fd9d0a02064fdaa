// Network namespaces that outlive the thread that made them, pinned by a bind mount in /run/netns as ip-netns(8) does.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

namespace cni {

// A TCP connection (non-blocking, close-on-exec) to `port` on the loopback addresses 127.0.0.1 and, when nobody listens
// there, ::1 of the network namespace at `path` (empty: the calling process'). kUnavailable when nobody listens on
// either; kNotFound when there is no such namespace. May wait for a listener that is behind with accepting, some
// seconds at most. Thread-safe.
base::Result<base::UniqueFd> ConnectToLoopback(const std::string& path, uint16_t port);

// Runs `action` in a thread of its own that is in the network namespace at `path`; an error when that is the calling
// process' own. Thread-safe.
base::Status RunInNamespace(const std::string& path, const std::function<base::Status()>& action);

class Namespaces {
 public:
  // `directory` is made when first needed, usually /run/netns.
  explicit Namespaces(std::string directory) : directory_(std::move(directory)) {}

  // Makes a network namespace with its loopback device up and pins it at <directory>/<name>; gives that path. Sysctls
  // ("net.ipv4.ip_forward" or with slashes) are set inside; only names below "net" are taken. Whatever fails, nothing
  // is left.
  base::Result<std::string> Create(const std::string& name,
                                   const std::vector<std::pair<std::string, std::string>>& sysctls);
  // Pins the network namespace of a process, which must not be the host's, in the same way and with sysctls set. Its
  // loopback device is whoever's who made it.
  base::Result<std::string> Pin(const std::string& name, int pid,
                                const std::vector<std::pair<std::string, std::string>>& sysctls);
  // Unpins and removes <directory>/<name>; no error when it does not exist.
  base::Status Remove(const std::string& name);
  // The names below the directory that start with `prefix`.
  base::Result<std::vector<std::string>> List(const std::string& prefix) const;

 private:
  base::Result<std::string> PinIn(const std::string& name, const std::function<base::Status(const std::string&)>& pin);

  std::string directory_;
};

}  // namespace cni
