// Container output: FIFOs in, CRI log files out ("<RFC 3339 time> stdout F text").
//
// One thread serves all containers. Every line is written once and in order, also when the daemon is killed at any
// instant and started again: what has been taken from a FIFO is in a spool file below /run before it counts as taken.
// The journal may get a copy of the lines; there, the lines of the batch in which the daemon was killed are missing.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "base/fd.h"
#include "base/result.h"
#include "nspawn/container_journal.h"
#include "nspawn/fd_store.h"
#include "nspawn/stream.h"

namespace nspawn {

struct LogTarget {
  std::string name;    // the container's unit name
  std::string bundle;  // directory with the FIFOs "stdout" and "stderr"; the spool files live there too
  std::string path;    // the CRI log file; empty: output is drained and dropped
  // The output comes from a terminal, whose master init hands over at the start of the container: see console.h.
  bool terminal = false;
  // Clients may write to the container: through the FIFO "stdin" in the bundle, or the terminal.
  bool input = false;
  bool input_once = false;  // CRI's stdin_once; means nothing with a terminal
  // The pod's first process, whose unit keeps output and input too while the daemon is stopped; 0: there is none.
  pid_t pod_process = 0;
  // Of every line in the journal, if output goes there.
  JournalFields journal_fields = {};
};

// Thread-safe; the calls wait for the thread that serves the containers, which never blocks but on a disk.
class Logs {
 public:
  // `stored` are descriptors that an earlier run left in `store`, by name: "log-<container>-stdout", "-stderr",
  // "-terminal" and "-stdin" are taken up by Open(), others are closed and stay stored. `store` must outlive the
  // object.
  static base::Result<std::unique_ptr<Logs>> Create(FdStore& store, std::map<std::string, base::UniqueFd> stored,
                                                    const JournalOptions& journal = {});
  // Stops reading. Containers go on, and a later run goes on with their output.
  virtual ~Logs() = default;

  // Begins (or, after a restart of the daemon, goes on) draining a container's FIFOs, which must exist. The log file is
  // created with mode 0640 if missing; kNotFound when its directory is missing, kAlreadyExists when the container is
  // being logged. Takes effect before it returns: a container may be started afterwards. After a restart a log file
  // that cannot be opened is no error: lines are dropped until it can be. The input is held open from now on; a
  // terminal of which the earlier run has left no master is waited for.
  virtual base::Status Open(const LogTarget& target) = 0;
  // Drops from the store what an earlier run left and no Open() has asked for. To be called when the containers of
  // that run have been opened.
  virtual void DropUnclaimed() = 0;
  // Ends draining: everything that the FIFOs hold is written, an unfinished last line as a partial record, then both
  // are closed and the spool files removed. To be called after the container's processes are gone; it never waits for
  // output, and `grace_milliseconds` bounds it should somebody still write. No error when it is not being logged.
  virtual void Close(const std::string& name, int grace_milliseconds) = 0;
  // Begins a new file at the same path, between records (ReopenContainerLog, after the kubelet renamed the old one).
  // kFailedPrecondition when the container is not being logged.
  virtual base::Status Reopen(const std::string& name) = 0;
  // Connects a client to the standard streams of a container that is being logged: it gets the bytes that the container
  // writes from now on, and what it writes goes to the container. Input() is -1 when the container has no input, its
  // program has closed it, or stdin_once has given it to another client. Whether there is a terminal is the container's
  // matter and not the options'; Error() is -1 then. Any number of clients; one that reads too slowly misses output, is
  // told how much in a line of its own among the output, and holds nobody up. Output and Error end, and Ended() is
  // readable, when Close() has written the last output, or when the object goes; ExitCode() is 0 then.
  // kFailedPrecondition when the container is not being logged.
  virtual base::Result<std::unique_ptr<Stream>> Attach(const std::string& name, const StreamOptions& options) = 0;
  // Records that could not be written (disk full), over all containers since start.
  virtual uint64_t DroppedLines() const = 0;
};

}  // namespace nspawn
