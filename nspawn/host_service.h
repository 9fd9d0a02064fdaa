// Containers as services of the host by themselves: portable services that are attached for good, so that systemd
// starts them at boot. No daemon looks after them.
#pragma once

#include <chrono>
#include <stop_token>
#include <string>

#include "base/result.h"
#include "nspawn/bundle.h"
#include "nspawn/bus.h"
#include "nspawn/container.h"

namespace nspawn {

struct HostServiceOptions {
  std::string bundle_root;                                // must outlive a reboot
  std::string init = "/usr/lib/cri-nspawn/init";          // bound read-only into every bundle
  std::string attached = "/etc/systemd/system.attached";  // where portabled puts units
};

// Not thread-safe. Every call can be made again after a crash in the midst of it.
class HostServices {
 public:
  // `bus` must live longer.
  HostServices(Bus& bus, HostServiceOptions options);

  bool Exists(const std::string& name) const { return bundles_.Exists(name); }

  // Attaches and enables a service that is not running, in the place of an earlier one of ours by that name. `spec` is
  // completed with what every such service has. kAlreadyExists when the host has another unit by that name. After an
  // error there is none by that name.
  base::Status Install(ContainerSpec spec);

  // Starts it and waits until its program runs. An error says what init reported, as that of Containers::Start().
  base::Status Start(const std::string& name);
  // Waits, and gives an error when the service's process ends before the time is over.
  base::Status StaysUp(const std::string& name, std::chrono::milliseconds time, const std::stop_token& stop);
  base::Result<bool> IsRunning(const std::string& name);
  base::Status Stop(const std::string& name);

  // Has what was attached, enabled or disabled outlive a power loss: neither portabled nor systemd syncs what it
  // writes. Install() and Remove() do so for their unit.
  base::Status SyncUnits() const;

  // Stops it, disables and detaches it and removes its bundle and its writable layer. No error when there is nothing.
  base::Status Remove(const std::string& name);

 private:
  // Whether the host's unit by that name is that of our bundle: others are never touched.
  bool IsAttached(const std::string& name) const;
  base::Status Detach(const std::string& name);

  Bus& bus_;
  const HostServiceOptions options_;
  const Bundles bundles_;
};

}  // namespace nspawn
