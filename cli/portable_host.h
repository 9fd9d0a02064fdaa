// What the subcommands for portable services share: the host's systemd, the records and the lock over both.
#pragma once

#include <chrono>
#include <memory>
#include <optional>
#include <string>

#include "base/fd.h"
#include "base/result.h"
#include "cli/command.h"
#include "cli/portable_records.h"
#include "image/store.h"
#include "nspawn/apparmor.h"
#include "nspawn/bus.h"
#include "nspawn/host_service.h"
#include "nspawn/spawner.h"

namespace cli {

class PortableHost {
 public:
  // Waits until no other process changes portable services.
  static base::Result<std::unique_ptr<PortableHost>> Open(const Context& context);

  base::Result<std::vector<PortableRecord>> Records() const { return LoadPortableRecords(records_); }
  base::Result<std::optional<PortableRecord>> Find(const std::string& name) const {
    return FindPortableRecord(records_, name);
  }
  base::Status Write(const PortableRecord& record) const { return WritePortableRecord(records_, record); }

  // The store of portable services, with what each needs held. It is locked while it is open.
  base::Result<std::unique_ptr<image::Store>> OpenStore() const;

  // Installs the service of a record, which is not running, to run `image` from its next start on.
  base::Status Install(const PortableRecord& record, const image::Image& image);
  // Has the timer of its updates run, or no longer.
  base::Status SetTimer(const std::string& name, bool on);
  // Removes the service with all that belongs to it, its record last; `volumes` as well if asked for.
  base::Status Remove(const std::string& name, bool volumes);
  // Removes the writable layers of a service but that of its present image.
  base::Status RemoveOldLayers(const PortableRecord& record) const;

  nspawn::HostServices& services() { return *services_; }

 private:
  explicit PortableHost(const Context& context);

  const Context& context_;
  const std::string records_;
  base::UniqueFd lock_;
  std::unique_ptr<nspawn::Spawner> spawner_;
  std::unique_ptr<nspawn::AppArmor> apparmor_;  // null where there is none
  std::unique_ptr<nspawn::Bus> bus_;
  std::unique_ptr<nspawn::HostServices> services_;
};

}  // namespace cli
