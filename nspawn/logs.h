// Container output: FIFOs in, CRI log files out ("<RFC 3339 time> stdout F text").
//
// One thread serves all containers. Every line is written once and in order, also when the daemon is killed at any
// instant and started again: what has been taken from a FIFO is in a spool file below /run before it counts as taken.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "base/fd.h"
#include "base/result.h"
#include "nspawn/fd_store.h"

namespace nspawn {

struct LogTarget {
  std::string name;    // the container's unit name
  std::string bundle;  // directory with the FIFOs "stdout" and "stderr"; the spool files live there too
  std::string path;    // the CRI log file; empty: output is drained and dropped
};

class Logs {
 public:
  // `stored` are descriptors that an earlier run left in `store`, by name; those that no Open() asks for are dropped
  // from the store by Start().
  static base::Result<std::unique_ptr<Logs>> Create(FdStore& store, std::map<std::string, base::UniqueFd> stored);
  virtual ~Logs() = default;

  // Begins (or, after a restart of the daemon, goes on) draining a container's FIFOs. The log file is created with mode
  // 0640 if missing; kNotFound when its directory is missing. Takes effect before it returns: a container may be started afterwards.
  virtual base::Status Open(const LogTarget& target) = 0;
  // Ends draining: everything that the FIFOs hold is written, an unfinished last line as a partial record, then both are
  // closed. To be called after the container's processes are gone; bounded by `grace_milliseconds` should somebody
  // still write.
  virtual void Close(const std::string& name, int grace_milliseconds) = 0;
  // Begins a new file at the same path, between records (ReopenContainerLog, after the kubelet renamed the old one).
  // kFailedPrecondition when the container is not being logged.
  virtual base::Status Reopen(const std::string& name) = 0;
  // Lines that could not be written (disk full), over all containers since start.
  virtual uint64_t DroppedLines() const = 0;
};

}  // namespace nspawn
