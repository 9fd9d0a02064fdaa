// Messages with descriptors over sockets that keep messages apart, such as those of type SOCK_SEQPACKET.
#pragma once

#include <sys/socket.h>

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

namespace base {

// Two connected ends.
struct FdPair {
  UniqueFd ours, theirs;
};

// `type` as of socketpair(2); close-on-exec.
Result<FdPair> MakeSocketPair(int type = SOCK_SEQPACKET);

struct Message {
  std::string text;
  std::vector<UniqueFd> descriptors;  // close-on-exec
  // The sender's number in this process's PID namespace, where the receiving socket has the option SO_PASSCRED.
  std::optional<int> sender;
};

// More than these cannot be sent with one message.
inline constexpr size_t kMostMessageDescriptors = 8;

// Sends one message; `text` must not be empty, since an empty message cannot be told from the end. kUnavailable when
// the other side has closed. `flags` as of send(2); no SIGPIPE is raised.
Status SendMessage(int socket, std::string_view text, const std::vector<int>& descriptors = {}, int flags = 0);

// Receives one message, of which no more than `longest` bytes are kept; nothing when the other side has closed. With
// MSG_DONTWAIT an error with the number EAGAIN says that there is none yet. Descriptors for which this process has no
// room are missing.
Result<std::optional<Message>> ReceiveMessage(int socket, size_t longest, int flags = 0);

}  // namespace base
