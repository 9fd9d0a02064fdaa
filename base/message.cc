#include "base/message.h"

#include <sys/socket.h>

#include <cerrno>
#include <cstring>

namespace base {

Result<FdPair> MakeSocketPair(int type) {
  int ends[2];
  if (::socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends) != 0) return ErrnoError("make a socket pair");
  return FdPair{UniqueFd(ends[0]), UniqueFd(ends[1])};
}

Status SendMessage(int socket, std::string_view text, const std::vector<int>& descriptors, int flags) {
  if (text.empty() || descriptors.size() > kMostMessageDescriptors) return Internal("no message can be made of this");
  iovec data{const_cast<char*>(text.data()), text.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * kMostMessageDescriptors)] = {};
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  if (!descriptors.empty()) {
    const size_t size = sizeof(int) * descriptors.size();
    message.msg_control = control;
    message.msg_controllen = CMSG_SPACE(size);
    cmsghdr* const header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(size);
    std::memcpy(CMSG_DATA(header), descriptors.data(), size);
  }
  while (::sendmsg(socket, &message, MSG_NOSIGNAL | flags) < 0) {
    if (errno == EPIPE || errno == ECONNRESET) return ErrnoError("send a message").WithCode(Code::kUnavailable);
    if (errno != EINTR) return ErrnoError("send a message");
  }
  return Ok();
}

Result<std::optional<Message>> ReceiveMessage(int socket, size_t longest, int flags) {
  Message received;
  received.text.resize(longest);
  iovec data{received.text.data(), received.text.size()};
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int) * kMostMessageDescriptors) + CMSG_SPACE(sizeof(ucred))];
  msghdr message{};
  message.msg_iov = &data;
  message.msg_iovlen = 1;
  message.msg_control = control;
  message.msg_controllen = sizeof control;
  ssize_t length = 0;
  while ((length = ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC | flags)) < 0) {
    if (errno == ECONNRESET) return std::optional<Message>();
    if (errno != EINTR) return ErrnoError("receive a message");
  }
  for (cmsghdr* header = CMSG_FIRSTHDR(&message); header != nullptr; header = CMSG_NXTHDR(&message, header)) {
    if (header->cmsg_level != SOL_SOCKET) continue;
    if (header->cmsg_type == SCM_CREDENTIALS) {
      ucred credentials{};
      std::memcpy(&credentials, CMSG_DATA(header), sizeof credentials);
      received.sender = credentials.pid;
    }
    if (header->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof fd);
      received.descriptors.emplace_back(fd);
    }
  }
  if (length == 0) return std::optional<Message>();
  received.text.resize(static_cast<size_t>(length));
  return std::optional<Message>(std::move(received));
}

}  // namespace base
