// The standard streams of the container's program.
#pragma once

#include "base/fd.h"
#include "base/result.h"
#include "nspawn/init/mounts.h"
#include "nspawn/process_spec.h"

namespace nspawn {

// What of the bundle they are made of.
struct Streams {
  // Without a terminal: the FIFOs. No input is /dev/null.
  base::UniqueFd input;
  base::UniqueFd output;
  base::UniqueFd error;
  // With one: the connection to the daemon (console.h).
  base::UniqueFd console;
};

// To be called where the bundle is the root. kUnavailable when a terminal is asked for and no daemon waits for it.
base::Result<Streams> OpenStreams(const ProcessSpec& spec);

// In the new process, whose session has no terminal yet, when everything is mounted: makes its descriptors 0, 1 and 2.
// A terminal is made in the container's devpts, mounted at /dev/console, and its master handed to the daemon, which
// has to confirm that it keeps it.
base::Status SetStreams(const Streams& streams, const ProcessSpec& spec, int proc, const OwnFilesystems& own);

}  // namespace nspawn
