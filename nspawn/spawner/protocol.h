// What the daemon and the spawner say to each other.
//
// Over the control socket (SOCK_SEQPACKET) the daemon sends one message a process, of one byte and kRequestDescriptors
// descriptors: the request's own socket, a memory file with the encoded request, and the process' standard input,
// output and error. Over the request's own socket come the answers:
//   "error <code>: <message>"  the process could not be started (FormatStartError() of start_status.h); nothing follows
//   "exit <status>"            it ended, with the status as of wait(2); nothing follows
// When the daemon closes or shuts down its end, the process is killed.
// Over the control socket the spawner sends kSpawnerReady when it has started, or an error as above.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace nspawn {

inline constexpr int kControlDescriptor = 3;
inline constexpr int kRequestDescriptors = 5;
inline constexpr std::string_view kSpawnerReady = "ready";
inline constexpr std::string_view kExitPrefix = "exit ";
// More than execve(2) takes for arguments and environment together.
inline constexpr size_t kLongestRequest = 4 * 1024 * 1024;

struct SpawnRequest {
  // A process in a container, when `bundle` is not empty.
  std::string bundle;
  int pid = 0;
  std::string cgroup;
  // A process of the host otherwise.
  std::string program;
  std::vector<std::string> environment;

  std::vector<std::string> arguments;
};

// As of process_spec.h: a sequence of NUL-terminated "key=value" strings.
std::string EncodeRequest(const SpawnRequest& request);
base::Result<SpawnRequest> DecodeRequest(std::string_view encoded);

}  // namespace nspawn
