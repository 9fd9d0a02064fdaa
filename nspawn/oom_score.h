// Whether systemd may make processes less likely to be killed for lack of memory.
#pragma once

namespace nspawn {

// Whether a unit may have a negative OOMScoreAdjust=: it takes CAP_SYS_RESOURCE, which PID 1 of a container often
// lacks, and a unit that may not have it fails to start.
bool MayLowerOomScore();

}  // namespace nspawn
