// Why a service did not start, in words.
#pragma once

#include <string_view>

#include "base/result.h"
#include "nspawn/bus.h"

namespace nspawn {

// What went wrong with a service that did not start, from the state it was left in and its job's result. `program` is
// what a person calls the program that systemd was to run.
base::Error ServiceFailure(const ServiceState& state, std::string_view job_result, std::string_view program);

// 0..255 as a shell has it: 128 + signal for a process that a signal ended.
int ExitCode(const ServiceState& state);
// The signal that ended the process, 0 when none did.
int ExitSignal(const ServiceState& state);

}  // namespace nspawn
