// The gRPC server on the daemon's unix socket.
#pragma once

#include <sys/types.h>

#include <memory>
#include <optional>
#include <string>

#include "base/result.h"
#include "cri/image_service.h"
#include "cri/image_store_service.h"
#include "cri/runtime_service.h"

namespace cri {

struct ServerOptions {
  std::string socket;          // path; mode 0600, or 0660 with a group
  std::optional<gid_t> group;  // whose members may connect beside root
};

// Serves until it is destroyed. Every connection's peer is checked by the kernel's word (SO_PEERCRED): root, or a
// process that is in the configured group; others are disconnected whatever the socket's mode.
class Server {
 public:
  static base::Result<std::unique_ptr<Server>> Start(const ServerOptions& options, RuntimeService& runtime,
                                                     ImageService& images, ImageStoreService& store);
  virtual ~Server() = default;
  // Takes no further connection and waits for running calls, at most the grace time.
  virtual void Stop(std::chrono::milliseconds grace) = 0;
};

}  // namespace cri
