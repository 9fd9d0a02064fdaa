// Gives the streaming server the streams of containers and the ports of pods.
#pragma once

#include "cri/runtime.h"
#include "cri/streaming/backend.h"

namespace cri {

class StreamBackend final : public streaming::Backend {
 public:
  explicit StreamBackend(Runtime& runtime) : runtime_(runtime) {}

  base::Result<std::unique_ptr<nspawn::Stream>> Exec(const v1::ExecRequest& request) override;
  base::Result<std::unique_ptr<nspawn::Stream>> Attach(const v1::AttachRequest& request) override;
  base::Result<base::UniqueFd> Connect(const std::string& pod_sandbox_id, uint16_t port) override;

 private:
  Runtime& runtime_;
};

}  // namespace cri
