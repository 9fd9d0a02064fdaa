// What a client does over its upgraded connection.
#pragma once

#include <memory>
#include <string>

namespace cri::streaming {

// Lives in the I/O thread; its end is that of the connection and of everything that it began.
class Session : public std::enable_shared_from_this<Session> {
 public:
  virtual ~Session() = default;
  // `received` came together with the request for the upgrade.
  virtual void Start(std::string received) = 0;
};

}  // namespace cri::streaming
