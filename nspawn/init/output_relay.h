// Output of a container that is a service of the host by itself.
#pragma once

#include "base/fd.h"
#include "base/result.h"

namespace nspawn {

// Makes two pipes for the container's program, and a process that carries what comes out of them to this process's own
// standard output and standard error; it ends when nobody has a pipe open any more. The unit's own output is a socket
// of the journal, and programs that open /dev/stdout anew, as many in images do, cannot open a socket.
base::Status StartOutputRelay(base::UniqueFd& output, base::UniqueFd& error);

}  // namespace nspawn
