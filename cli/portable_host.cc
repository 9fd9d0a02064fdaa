#include "cli/portable_host.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <iostream>
#include <thread>

#include "base/files.h"
#include "base/text.h"
#include "cli/images.h"
#include "cli/output.h"
#include "cli/portable_spec.h"
#include "cli/volume_fill.h"

namespace cli {
namespace {

using base::Code;
using base::Error;
using base::Result;
using base::Status;

constexpr std::chrono::milliseconds kRetry{200};
constexpr char kTimer[] = "cri-nspawn-image-auto-update@";

Result<base::UniqueFd> Lock(const std::string& path, const std::stop_token& stop) {
  base::UniqueFd fd(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!fd) return base::ErrnoError("open " + path);
  for (bool said = false; ::flock(fd.get(), LOCK_EX | LOCK_NB) != 0; said = true) {
    if (errno != EWOULDBLOCK && errno != EINTR) return base::ErrnoError("lock " + path);
    if (stop.stop_requested()) return Error(Code::kCancelled, "cancelled");
    if (!said) std::cerr << "waiting for another cri-nspawn-image\n";
    std::this_thread::sleep_for(kRetry);
  }
  return fd;
}

}  // namespace

PortableHost::PortableHost(const Context& context)
    : context_(context), records_(PortableRecordsDirectory(context.config)) {}

Result<std::unique_ptr<PortableHost>> PortableHost::Open(const Context& context) {
  std::unique_ptr<PortableHost> host(new PortableHost(context));
  const std::string root = context.config.state_directory + "/portable";
  RETURN_IF_ERROR(base::MakeDirectories(root, 0711));
  ASSIGN_OR_RETURN(host->lock_, Lock(root + "/lock", context.stop));
  ASSIGN_OR_RETURN(host->spawner_, nspawn::Spawner::Start(CRI_NSPAWN_LIBEXEC "/spawner").Wrap("start the spawner"));
  host->apparmor_ = std::make_unique<nspawn::AppArmor>(*host->spawner_);
  if (!host->apparmor_->IsEnabled()) host->apparmor_.reset();
  // Calls that are under way or come later fail when the bus is gone.
  ASSIGN_OR_RETURN(host->bus_, nspawn::Bus::Connect([](const Error&) {}).Wrap("connect to the system bus"));
  host->services_ = std::make_unique<nspawn::HostServices>(
      *host->bus_, nspawn::HostServiceOptions{.bundle_root = PortableServicesDirectory(context.config),
                                              .init = CRI_NSPAWN_LIBEXEC "/init"});
  return host;
}

Result<std::unique_ptr<image::Store>> PortableHost::OpenStore() const {
  image::StoreOptions options = context_.config.images;
  options.root = PortableStoreRoot(context_.config);
  ASSIGN_OR_RETURN(auto store, cli::OpenStore(options, context_.stop));
  RETURN_IF_ERROR(HoldForServices(records_, *store));
  return store;
}

Status PortableHost::Install(const PortableRecord& record, const image::Image& image) {
  ASSIGN_OR_RETURN(const nspawn::ContainerSpec spec, MakePortableSpec(record, image, context_.config, apparmor_.get()));
  const PortableData data = DataOf(context_.config, record.name);
  std::vector<std::pair<std::string, std::string>> volumes;
  for (const nspawn::Mount& mount : spec.process.mounts) {
    if (mount.source.starts_with(data.volumes + "/")) volumes.emplace_back(mount.destination, mount.source);
  }
  RETURN_IF_ERROR(FillVolumes(image.layer_directories, volumes));
  return services_->Install(spec);
}

Status PortableHost::SetTimer(const std::string& name, bool on) {
  const std::string unit = kTimer + name + ".timer";
  if (on) {
    RETURN_IF_ERROR(bus_->EnableUnit(unit));
    RETURN_IF_ERROR(services_->SyncUnits());
    RETURN_IF_ERROR(bus_->Reload());
    ASSIGN_OR_RETURN(const std::string job, bus_->StartUnit(unit));
    if (job != "done") return Error(Code::kInternal, unit + " did not start: " + job);
    return base::Ok();
  }
  const auto stopped = bus_->StopUnit(unit);
  if (!stopped.ok() && stopped.error().code() != Code::kNotFound) return stopped.error();
  const Status disabled = bus_->DisableUnit(unit);
  if (!disabled.ok() && disabled.error().code() != Code::kNotFound) return disabled;
  return bus_->Reload();
}

Status PortableHost::Remove(const std::string& name, bool volumes) {
  RETURN_IF_ERROR(SetTimer(name, false));
  RETURN_IF_ERROR(services_->Remove(name));
  const PortableData data = DataOf(context_.config, name);
  RETURN_IF_ERROR(base::RemoveTree(data.writable_layers));
  if (volumes) RETURN_IF_ERROR(base::RemoveTree(data.volumes));
  // Says what else there is.
  return RemovePortableRecord(records_, name);
}

Status PortableHost::RemoveOldLayers(const PortableRecord& record) const {
  const std::string directory = DataOf(context_.config, record.name).writable_layers;
  ASSIGN_OR_RETURN(const std::vector<std::string> layers, base::ListDirectory(directory));
  for (const std::string& layer : layers) {
    if (!record.image.starts_with("sha256:" + layer)) RETURN_IF_ERROR(base::RemoveTree(directory + "/" + layer));
  }
  return base::Ok();
}

}  // namespace cli
