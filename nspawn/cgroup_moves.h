// Moves of processes to other control groups, as systemd does them for all that it starts.
#pragma once

namespace nspawn {

// Something is about to be started: has the kernel wait now for what systemd's move of the new process would wait for a
// little later, and returns at once. A move waits for a grace period of RCU, 5 to 14 ms, unless the last one was within
// the last of these (cgroup_threadgroup_rwsem, a per-CPU semaphore whose readers fork and exit). So the daemon "moves"
// itself to where it is, in a thread of its own. Nothing is lost when that does not work. Thread-safe.
void ExpectCgroupMove();

}  // namespace nspawn
