// The service manager's notification protocol, sd_notify(3), as far as a container's start needs it.
#pragma once

#include <string>
#include <string_view>

#include "base/fd.h"
#include "base/result.h"

namespace nspawn {

class Notifier {
 public:
  // Connects to $NOTIFY_SOCKET. It stays connected when the mount namespace is changed afterwards.
  static base::Result<Notifier> Connect();

  // Sends assignments, one a line.
  base::Status Send(std::string_view assignments) const;
  // A descriptor that becomes readable (end of file) when the manager has dealt with all that was sent before.
  base::Result<base::UniqueFd> Barrier() const;

 private:
  explicit Notifier(base::UniqueFd socket) : socket_(std::move(socket)) {}
  base::UniqueFd socket_;
};

}  // namespace nspawn
