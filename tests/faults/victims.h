// What is killed, and when.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "base/result.h"

namespace faults {

enum class Victim { kDaemon, kStep, kSpawner, kMachine, kPortabled, kMachined, kPlugin };

// "daemon", "spawner", …
std::string NameOf(Victim victim);

// Kills one with SIGKILL. False when there was none to kill within `patience` (a plugin lives for milliseconds).
// `choice` picks one of several.
base::Result<bool> Kill(Victim victim, uint64_t choice, std::chrono::milliseconds patience);

// The daemon will kill itself when it passes the step for the time after `passes`; Disarm() gives back whether it has.
base::Status Arm(const std::string& step, int passes);
bool Disarm();

// Waits until process `pid` has ended; false when it has not within `most`.
bool WaitForEnd(int pid, std::chrono::milliseconds most);

}  // namespace faults
