// CNI plugins run by the spawner.
#pragma once

#include "cni/plugin_runner.h"
#include "nspawn/spawner.h"

namespace cri {

class PluginRunner final : public cni::PluginRunner {
 public:
  explicit PluginRunner(nspawn::Spawner& spawner) : spawner_(spawner) {}

  base::Result<cni::PluginOutput> Run(const cni::PluginCall& call) override {
    nspawn::ProgramRequest request;
    request.program = call.program;
    request.arguments = {call.program};
    request.arguments.insert(request.arguments.end(), call.arguments.begin(), call.arguments.end());
    request.environment = call.environment;
    request.standard_input = call.standard_input;
    request.timeout = call.timeout;
    ASSIGN_OR_RETURN(nspawn::ProcessOutput output, spawner_.Run(request));
    return cni::PluginOutput{output.exit_code, std::move(output.standard_output), std::move(output.standard_error)};
  }

 private:
  nspawn::Spawner& spawner_;
};

}  // namespace cri
