#include "nspawn/init/notify.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstdlib>
#include <cstring>

namespace nspawn {

using base::Result;
using base::Status;
using base::UniqueFd;

Result<Notifier> Notifier::Connect() {
  const char* const path = std::getenv("NOTIFY_SOCKET");
  if (path == nullptr || path[0] == '\0') {
    return base::Error(base::Code::kFailedPrecondition,
                       "there is no $NOTIFY_SOCKET: init runs only in a container's unit");
  }
  const std::string_view name(path);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (name.size() >= sizeof address.sun_path) return base::InvalidArgument("$NOTIFY_SOCKET is too long");
  std::memcpy(address.sun_path, name.data(), name.size());
  // "@" begins the name of an abstract socket, which ends with its length; a path's length includes its NUL.
  const bool abstract = name[0] == '@';
  if (abstract) address.sun_path[0] = '\0';
  const size_t length = offsetof(sockaddr_un, sun_path) + name.size() + (abstract ? 0 : 1);
  UniqueFd socket(::socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket) return base::ErrnoError("make the notification socket");
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), static_cast<socklen_t>(length)) != 0) {
    return base::ErrnoError("connect to the notification socket " + std::string(name));
  }
  return Notifier(std::move(socket));
}

Status Notifier::Send(std::string_view assignments) const {
  return SendWith(assignments, -1);
}

Result<UniqueFd> Notifier::Barrier() const {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return base::ErrnoError("make a pipe");
  UniqueFd read_end(ends[0]);
  const UniqueFd write_end(ends[1]);
  RETURN_IF_ERROR(SendWith("BARRIER=1", write_end.get()));
  return read_end;
}

Status Notifier::SendWith(std::string_view assignments, int fd) const {
  iovec text{const_cast<char*>(assignments.data()), assignments.size()};
  msghdr message{};
  message.msg_iov = &text;
  message.msg_iovlen = 1;
  alignas(cmsghdr) char control[CMSG_SPACE(sizeof(int))] = {};
  if (fd >= 0) {
    message.msg_control = control;
    message.msg_controllen = sizeof control;
    cmsghdr* const header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(int));
    std::memcpy(CMSG_DATA(header), &fd, sizeof fd);
  }
  while (::sendmsg(socket_.get(), &message, MSG_NOSIGNAL) < 0) {
    if (errno != EINTR) return base::ErrnoError("notify the service manager");
  }
  return base::Ok();
}

}  // namespace nspawn
