// The streaming server: Exec, Attach and PortForward answer with a URL, and the client connects to that with an upgrade
// to SPDY/3.1 or a WebSocket.
#pragma once

#include <memory>
#include <string>

#include "base/result.h"
#include "cri/streaming/backend.h"
#include "cri/streaming/options.h"
#include "proto/runtime.pb.h"

namespace cri::streaming {

// Thread-safe. Its end cuts all sessions.
class Server {
 public:
  // Listens, and serves in one thread of its own; calls to `backend` are made in others. `backend` must outlive it.
  static base::Result<std::unique_ptr<Server>> Start(const ServerOptions& options, Backend& backend);
  virtual ~Server() = default;

  // Each gives a URL that serves the request once within a minute: http://127.0.0.1:45123/exec/<token>.
  // kInvalidArgument for what the CRI does not allow in a request, kResourceExhausted when too many URLs wait to be
  // used. Whether the container or pod is there is for the caller to check.
  virtual base::Result<std::string> Exec(const runtime::v1::ExecRequest& request) = 0;
  virtual base::Result<std::string> Attach(const runtime::v1::AttachRequest& request) = 0;
  virtual base::Result<std::string> PortForward(const runtime::v1::PortForwardRequest& request) = 0;
};

}  // namespace cri::streaming
