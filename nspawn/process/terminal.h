// A new terminal (pty) of a container.
#pragma once

#include <string>

#include "base/fd.h"
#include "base/result.h"

namespace nspawn {

struct Terminal {
  base::UniqueFd master;
  base::UniqueFd slave;  // belongs to root until Execute() gives it to the user
};

// Makes a terminal of the devpts instance to which `path` below `root` leads, as for a process whose root that is: its
// "ptmx". What is found there is checked before it is opened. `proc` is a procfs (OpenProc() of namespaces.h).
base::Result<Terminal> OpenTerminal(int proc, int root, const std::string& path);

// Makes it the controlling terminal of this process, which must lead a session that has none (ResetProcess()), and its
// descriptors 0, 1 and 2.
base::Status UseTerminal(int slave);

}  // namespace nspawn
