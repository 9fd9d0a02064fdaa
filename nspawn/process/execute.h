// The last steps of every process that comes to run in a container: become its user with its capabilities and execute.
//
// init runs them for a container's own process, the spawner for those that join it, so that both get the same.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "nspawn/process/user.h"
#include "nspawn/process_spec.h"

namespace nspawn {

struct Execution {
  const ProcessSpec& spec;
  const Identity& identity;
  const std::vector<std::string>& arguments;
  std::string_view seccomp;  // the filter's bytes when spec.seccomp
  bool terminal = false;     // it has one: TERM=xterm unless the environment says otherwise
};

// No signal is ignored or handled any more, which children inherit.
void ResetSignals();

// Puts the rest of what the kernel keeps for each process into the state of a new one: own session, umask 0022, no
// signal blocked.
base::Status ResetProcess();

// Makes the three descriptors 0, 1 and 2. Each of the given ones must be above 2.
base::Status SetStandardStreams(int input, int output, int error);

// Writes /proc/self/oom_score_adj through `proc`. Where lowering it is not allowed, the present value stays.
base::Status SetOomScoreAdjust(int proc, int value);

// Asks AppArmor to confine the program that is executed next. No error for an empty profile.
base::Status SetAppArmorProfile(int proc, const std::string& profile);

// Asks SELinux to run the program that is executed next under a label. No error for an empty one.
base::Status SetSelinuxLabel(int proc, const std::string& label);

// Executes a file, with argv and the environment complete. Returns only when that failed, with an error as Execute().
base::Error ExecuteFile(const std::string& path, const std::vector<std::string>& arguments,
                        const std::vector<std::string>& environment);

// Becomes the user in the container's root filesystem, which must be the caller's root already, gives the user the
// pipes and the terminal among the descriptors 0 to 2, and executes the first of the arguments, looked up in PATH. All
// descriptors but 0 to 2 are closed by it. Returns only when that failed.
base::Error Execute(const Execution& execution);

}  // namespace nspawn
