// The bus calls that machines and containers are made of: systemd1, machine1 and portable1 on the system bus.
//
// This is the boundary a unit test stands in for. The real one keeps a single connection with a thread of its own.
// Every call is asynchronous on the bus, so that calls of several threads run side by side, and blocks only its caller.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "base/result.h"

namespace nspawn {

// A command of a service: its arguments, the first of which is the program.
using Command = std::vector<std::string>;
// A unit's setting as D-Bus takes it. The alternatives are, in order, the types b, i, u, t, s, as, ay and a(sasb).
using SettingValue = std::variant<bool, int32_t, uint32_t, uint64_t, std::string, std::vector<std::string>,
                                  std::vector<uint8_t>, std::vector<Command>>;
struct Setting {
  std::string name;  // as in org.freedesktop.systemd1(5), "MemoryMax"
  SettingValue value;
  bool operator==(const Setting&) const = default;
};

// What systemd says of a service and its main process.
struct ServiceState {
  pid_t main_pid = 0;       // 0 unless it runs
  int exit_code = 0;        // CLD_EXITED, CLD_KILLED or CLD_DUMPED of the latest main process, 0 before it ended
  int exit_status = 0;      // its exit status or the signal
  uint64_t started_at = 0;  // microseconds since the epoch, 0: never
  uint64_t exited_at = 0;   // likewise
  std::string result;       // "success", "exit-code", "signal", "oom-kill", "timeout" …
  std::string status_text;  // STATUS= of sd_notify(3)
  std::string cgroup;       // only from GetService(); empty when there is none
  bool operator==(const ServiceState&) const = default;
};

// Thread-safe. Errors carry the code that fits the bus error: kNotFound for units, machines and images that there are
// not, kAlreadyExists, kDeadlineExceeded, kPermissionDenied, kUnavailable when the bus is gone, else kInternal.
class Bus {
 public:
  // `lost` is called once, from the bus thread, when the connection breaks. There is no reconnecting: signals may have
  // been missed, so the caller is expected to end the process and to start over.
  static base::Result<std::unique_ptr<Bus>> Connect(std::function<void(const base::Error&)> lost);
  virtual ~Bus() = default;

  // These wait for systemd's job and give back its result: "done", "failed", "canceled", "timeout", "dependency" …
  // When they return, every change of a watched unit up to the job's end has been handed to its watcher.
  virtual base::Result<std::string> StartUnit(const std::string& unit) = 0;
  virtual base::Result<std::string> StartTransientUnit(const std::string& unit,
                                                       const std::vector<Setting>& settings) = 0;
  virtual base::Result<std::string> StopUnit(const std::string& unit) = 0;

  // Whether systemd knows the unit. Costs it little: all other calls that name one have it loaded first, for which the
  // directories of units are looked through.
  virtual base::Result<bool> IsLoaded(const std::string& unit) = 0;
  // Sends a signal to the unit's main process.
  virtual base::Status KillMainProcess(const std::string& unit, int signal) = 0;
  virtual base::Status ResetFailedUnit(const std::string& unit) = 0;
  // Changes a unit until the next boot: at once when it runs, and for later starts.
  virtual base::Status SetUnitProperties(const std::string& unit, const std::vector<Setting>& settings) = 0;
  // Names of the loaded units that match a pattern ("*.service").
  virtual base::Result<std::vector<std::string>> ListUnits(const std::string& pattern) = 0;
  // A unit that there is not has a state without a process, a start or an exit.
  virtual base::Result<ServiceState> GetService(const std::string& unit) = 0;
  virtual base::Result<std::string> GetControlGroup(const std::string& unit) = 0;

  // Has `changed` called from the bus thread with the state of `unit` whenever it may have changed, until Unwatch(). It
  // must not block. A call that has begun may still be running when Unwatch() returns.
  virtual void Watch(const std::string& unit, std::function<void(const ServiceState&)> changed) = 0;
  virtual void Unwatch(const std::string& unit) = 0;

  // Makes a machine known to machined whose leader runs in a unit already.
  virtual base::Status RegisterMachine(const std::string& name, const std::vector<uint8_t>& id, pid_t leader,
                                       const std::string& root) = 0;

  // Attaches the portable service image in directory `path`, until the next boot, with the units whose names begin with
  // `prefix`.
  virtual base::Status AttachImage(const std::string& path, const std::string& prefix, const std::string& profile) = 0;
  // kNotFound when it is not attached.
  virtual base::Status DetachImage(const std::string& path) = 0;

  // The same for good. The unit's file is copied, since at boot the image may not be there yet. Who calls them reloads.
  virtual base::Status AttachImageForGood(const std::string& path, const std::string& prefix,
                                          const std::string& profile) = 0;
  virtual base::Status DetachImageForGood(const std::string& path) = 0;
  // Has a unit started at boot, or no longer, as its [Install] section says.
  virtual base::Status EnableUnit(const std::string& unit) = 0;
  virtual base::Status DisableUnit(const std::string& unit) = 0;
  // systemd reads all unit files anew.
  virtual base::Status Reload() = 0;
};

// The object path of a unit, and the label escaping that it takes.
std::string UnitPath(const std::string& unit);
// What kind of failure a D-Bus error name means.
base::Code CodeOfBusError(const std::string& name);

}  // namespace nspawn
