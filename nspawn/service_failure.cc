#include "nspawn/service_failure.h"

#include <signal.h>

#include <map>
#include <string>

#include "base/text.h"
#include "nspawn/signal_name.h"

namespace nspawn {
namespace {

using base::Code;
using base::Error;

// Exit statuses by which systemd says what it failed at before it could run the program (systemd.exec(5), "Process Exit
// Codes").
const char* SetupStep(int status) {
  static const std::map<int, const char*> steps = {
      {200, "changing the directory"},
      {201, "setting the nice level"},
      {202, "closing descriptors"},
      {203, "executing it"},
      {204, "lack of memory"},
      {205, "setting resource limits"},
      {206, "adjusting the OOM score"},
      {207, "setting the signal mask"},
      {208, "setting up standard input"},
      {209, "setting up standard output"},
      {210, "changing the root directory"},
      {213, "setting CPU affinity"},
      {214, "setting the scheduler"},
      {216, "setting the group"},
      {217, "setting the user"},
      {218, "setting capabilities"},
      {219, "joining its control group"},
      {222, "setting up standard error"},
      {225, "joining its network namespace"},
      {226, "setting up its mount namespace"},
      {227, "setting no_new_privs"},
      {228, "loading a seccomp filter"},
      {237, "setting up its keyring"},
  };
  const auto found = steps.find(status);
  return found == steps.end() ? nullptr : found->second;
}

}  // namespace

int ExitSignal(const ServiceState& state) {
  return state.exit_code == CLD_KILLED || state.exit_code == CLD_DUMPED ? state.exit_status : 0;
}

int ExitCode(const ServiceState& state) {
  const int signal = ExitSignal(state);
  return signal != 0 ? 128 + signal : state.exit_status;
}

Error ServiceFailure(const ServiceState& state, std::string_view job_result, std::string_view program) {
  const std::string name(program);
  const auto with_status = [&](std::string message) {
    if (!state.status_text.empty()) message += " (" + base::Printable(state.status_text) + ")";
    return message;
  };
  if (state.result == "oom-kill") {
    return {Code::kResourceExhausted, name + " was killed for lack of memory; the memory limit may be too low"};
  }
  if (state.result == "timeout" || job_result == "timeout") {
    return {Code::kDeadlineExceeded, with_status(name + " was not ready in time")};
  }
  if (job_result == "canceled") return {Code::kAborted, "the start was canceled by another request to systemd"};
  if (job_result == "dependency") return {Code::kFailedPrecondition, "a unit that it depends on failed"};
  if (const int signal = ExitSignal(state); signal != 0) {
    return {Code::kInternal, with_status(name + " was ended by signal " + SignalName(signal))};
  }
  if (state.exit_code == CLD_EXITED) {
    if (const char* step = SetupStep(state.exit_status)) {
      return {Code::kInternal, "systemd could not run " + name + ": it failed at " + step + " (exit status " +
                                   std::to_string(state.exit_status) + ")"};
    }
    return {Code::kInternal, with_status(name + " ended with exit status " + std::to_string(state.exit_status))};
  }
  // Nothing of it ran: for example, its control group could not be made ("resources").
  return {Code::kInternal, "systemd could not start it (result \"" +
                               base::Printable(state.result.empty() ? job_result : state.result) +
                               "\"); its journal says more"};
}

}  // namespace nspawn
