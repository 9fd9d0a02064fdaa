// Descriptors kept by systemd for the daemon's next run (FileDescriptorStoreMax= of its unit; sd_notify(3), FDSTORE=1).
#pragma once

#include <sys/types.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

namespace nspawn {

class FdStore {
 public:
  virtual ~FdStore() = default;
  // Hands a duplicate of `fd` to systemd under `name` (at most 255 characters, no ':' or control characters), with
  // FDPOLL=0: a pipe whose other end is closed must stay. No error where there is no service manager.
  virtual base::Status Put(const std::string& name, int fd) = 0;
  virtual void Remove(const std::string& name) = 0;
  // The same in the store of the unit that `process` belongs to (NotifyAccess=all, FileDescriptorStoreMax=), which
  // keeps it when the daemon's own is emptied, since somebody stopped the daemon. Nobody gets it back from there: it
  // only keeps the content of a FIFO, which has a name. No error where the process or its unit's store is not there.
  virtual base::Status Lend(pid_t process, const std::string& name, int fd) = 0;
  virtual void TakeBack(pid_t process, const std::string& name) = 0;
};

// The one of systemd.
std::unique_ptr<FdStore> MakeSystemdFdStore();
// What systemd kept from the run before, by name. To be called once.
std::map<std::string, base::UniqueFd> TakeStoredFds();

}  // namespace nspawn
