// The boundary at which CNI plugins, and programs in their place, are executed, so that the daemon need not fork and
// tests need no plugins.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "base/result.h"

namespace cni {

struct PluginCall {
  std::string program;                   // absolute path
  std::vector<std::string> arguments;    // after the program's name; a plugin takes none
  std::vector<std::string> environment;  // NAME=value, complete
  std::string standard_input;
  std::chrono::milliseconds timeout{0};
};

struct PluginOutput {
  int exit_code = 0;  // 128 + signal number when a signal ended it
  std::string standard_output;
  std::string standard_error;
};

class PluginRunner {
 public:
  virtual ~PluginRunner() = default;
  // Runs a plugin to its end. kDeadlineExceeded when it was killed after the timeout, kNotFound when there is no such
  // program, kResourceExhausted when it wrote more than 1 MiB. Thread-safe; calls may run side by side.
  virtual base::Result<PluginOutput> Run(const PluginCall& call) = 0;
};

}  // namespace cni
