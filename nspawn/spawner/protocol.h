// What the daemon and the spawner say to each other.
//
// Over the control socket (SOCK_SEQPACKET) the daemon sends one message a process, of one byte and kRequestDescriptors
// descriptors: the request's own socket, a memory file with the encoded request, and the process' standard input,
// output and error. Over the request's own socket come the answers:
//   "error <code>: <message>"  the process could not be started (FormatStartError() of start_status.h); nothing follows
//   "exit <status>"            it ended, with the status as of wait(2); nothing follows
//   "terminal"                 with the master of the terminal that was asked for, before the command is executed
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
inline constexpr std::string_view kTerminalAnswer = "terminal";
// No answer is longer.
inline constexpr size_t kLongestAnswer = 8192;
// More than execve(2) takes for arguments and environment together.
inline constexpr size_t kLongestRequest = 4 * 1024 * 1024;

struct SpawnRequest {
  // A process in a container, when `bundle` is not empty.
  std::string bundle;
  int pid = 0;
  std::string cgroup;
  bool terminal = false;  // a new one takes the place of the standard streams that come with the request
  // A process of the host otherwise.
  std::string program;
  std::vector<std::string> environment;

  std::vector<std::string> arguments;
};

// As of process_spec.h: a sequence of NUL-terminated "key=value" strings.
std::string EncodeRequest(const SpawnRequest& request);
base::Result<SpawnRequest> DecodeRequest(std::string_view encoded);

// The exit code, 128 + signal when a signal ended the process, or the error for which it could not be started.
base::Result<int> ParseAnswer(std::string_view answer);

}  // namespace nspawn
