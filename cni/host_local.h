// Leases that the IPAM plugin host-local did not finish.
#pragma once

#include "base/result.h"
#include "cni/configuration.h"

namespace cni {

// host-local (containernetworking/plugins, backend/disk) makes the file DATADIR/NETWORK/ADDRESS and then writes whose
// it is. Killed in between, or by a power loss before the content was on disk, it leaves an empty file: its DEL and GC
// look for an owner and never find one, and the address is lost.
//
// Makes and releases are under a flock(2) of the file "lock" in that directory. Whoever holds it knows that an empty
// file named by an address is being written by nobody. This takes the lock, for which it waits two seconds at most, and
// removes such files.
//
// Of every plugin in `configuration` whose "ipam" is of type host-local. No symbolic link below its "dataDir" is
// followed. The first failure is given back after all have been tried. Thread-safe.
base::Status RemoveUnownedLeases(const Configuration& configuration);

}  // namespace cni
