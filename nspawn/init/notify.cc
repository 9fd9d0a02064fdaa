#include "nspawn/init/notify.h"

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstddef>
#include <cstdlib>
#include <cstring>

#include "base/message.h"

namespace nspawn {
namespace {

constexpr std::string_view kDoing = "notify the service manager";

}  // namespace

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
  return base::SendMessage(socket_.get(), assignments).Wrap(kDoing);
}

Result<UniqueFd> Notifier::Barrier() const {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return base::ErrnoError("make a pipe");
  UniqueFd read_end(ends[0]);
  const UniqueFd write_end(ends[1]);
  RETURN_IF_ERROR(base::SendMessage(socket_.get(), "BARRIER=1", {write_end.get()}).Wrap(kDoing));
  return read_end;
}

}  // namespace nspawn
