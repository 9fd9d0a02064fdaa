// What the streaming server is served by: processes in containers, and ports in pods.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/fd.h"
#include "base/result.h"
#include "nspawn/stream.h"
#include "proto/runtime.pb.h"

namespace cri::streaming {

// Thread-safe; calls may block.
class Backend {
 public:
  virtual ~Backend() = default;
  virtual base::Result<std::unique_ptr<nspawn::Stream>> Exec(const runtime::v1::ExecRequest& request) = 0;
  virtual base::Result<std::unique_ptr<nspawn::Stream>> Attach(const runtime::v1::AttachRequest& request) = 0;
  // A non-blocking socket that is connected to the port on the loopback interface of a pod.
  virtual base::Result<base::UniqueFd> Connect(const std::string& pod_sandbox_id, uint16_t port) = 0;
};

}  // namespace cri::streaming
