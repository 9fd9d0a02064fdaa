#include "nspawn/host_service.h"

#include <fcntl.h>
#include <unistd.h>

#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>

#include "base/fd.h"
#include "base/files.h"
#include "base/text.h"
#include "nspawn/resources.h"
#include "nspawn/service_failure.h"
#include "nspawn/start_status.h"
#include "nspawn/unit_text.h"
#include "nspawn/writable_layer.h"

namespace nspawn {
namespace {

using base::Code;
using base::Error;
using base::Result;
using base::Status;

constexpr char kProfile[] = "cri-nspawn";
constexpr size_t kMostDropIn = 65536;

Status CheckName(const std::string& name) {
  if (IsReadableName(name)) return base::Ok();
  return base::InvalidArgument(
      "\"" + base::Printable(name, 80) +
      "\" is no valid name of a service: it takes lower-case letters, digits and dashes inside, "
      "at most 64");
}

// One call for all that was written, whoever wrote it.
Status SyncFileSystem(const std::string& directory) {
  const base::UniqueFd fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd || ::syncfs(fd.get()) != 0) return base::ErrnoError("sync " + directory);
  return base::Ok();
}

Status IgnoreNotFound(Status status) {
  if (!status.ok() && status.error().code() == Code::kNotFound) return base::Ok();
  return status;
}

// What a watcher of a unit has seen.
struct Seen {
  std::mutex mutex;
  std::condition_variable_any changed;
  std::optional<ServiceState> state;
};

}  // namespace

HostServices::HostServices(Bus& bus, HostServiceOptions options)
    : bus_(bus), options_(std::move(options)), bundles_(options_.bundle_root) {}

bool HostServices::IsAttached(const std::string& name) const {
  const auto text = base::ReadFile(options_.attached + "/" + UnitName(name) + ".d/20-portable.conf", kMostDropIn);
  return text.ok() && text->find("=" + bundles_.Path(name) + "\n") != std::string::npos;
}

Status HostServices::SyncUnits() const {
  // The directory itself may be gone with its last unit.
  return SyncFileSystem(options_.attached.substr(0, options_.attached.rfind('/')));
}

Status HostServices::Detach(const std::string& name) {
  if (!bundles_.Exists(name) || !IsAttached(name)) return base::Ok();
  return IgnoreNotFound(bus_.DetachImageForGood(bundles_.Path(name)));
}

Status HostServices::Install(ContainerSpec spec) {
  RETURN_IF_ERROR(CheckName(spec.name));
  const std::string doing = "install the service " + spec.name;
  spec.host_service = true;
  spec.process.unit_output = true;
  spec.process.oom_score_adjust = spec.oom_score_adjust;
  ASSIGN_OR_RETURN(const ResourceSettings resources, MapResources(spec.resources));
  ASSIGN_OR_RETURN(const std::string unit_text, UnitText(spec, resources, options_.init));
  RETURN_IF_ERROR(bundles_.RemoveIncomplete().Wrap(doing));
  RETURN_IF_ERROR(Detach(spec.name).Wrap(doing));
  RETURN_IF_ERROR(bundles_.Remove(spec.name).Wrap(doing));
  RETURN_IF_ERROR(MakeWritableLayer(spec.process).Wrap(doing));
  const auto install = [&]() -> Status {
    RETURN_IF_ERROR(bundles_.Write(spec, unit_text, {}));
    RETURN_IF_ERROR(SyncFileSystem(options_.bundle_root));
    RETURN_IF_ERROR(bus_.AttachImageForGood(bundles_.Path(spec.name), spec.name, kProfile));
    RETURN_IF_ERROR(bus_.Reload());
    RETURN_IF_ERROR(bus_.EnableUnit(UnitName(spec.name)));
    return SyncUnits();
  };
  Status installed = install();
  if (!installed.ok()) (void)Remove(spec.name);
  return std::move(installed).Wrap(doing);
}

Status HostServices::Start(const std::string& name) {
  const std::string doing = "start the service " + name;
  // Failures of before do not count.
  RETURN_IF_ERROR(IgnoreNotFound(bus_.ResetFailedUnit(UnitName(name))).Wrap(doing));
  ASSIGN_OR_RETURN(const std::string job, bus_.StartUnit(UnitName(name)).Wrap(doing));
  if (job == "done") return base::Ok();
  ASSIGN_OR_RETURN(const ServiceState state, bus_.GetService(UnitName(name)).Wrap(doing));
  if (auto error = ParseStartError(state.status_text)) return (*std::move(error)).Wrap(doing);
  return ServiceFailure(state, job, "init").Wrap(doing);
}

Status HostServices::StaysUp(const std::string& name, std::chrono::milliseconds time, const std::stop_token& stop) {
  const auto seen = std::make_shared<Seen>();
  bus_.Watch(UnitName(name), [seen](const ServiceState& state) {
    const std::lock_guard lock(seen->mutex);
    seen->state = state;
    seen->changed.notify_all();
  });
  const auto wait = [&]() -> Status {
    ASSIGN_OR_RETURN(const ServiceState first, bus_.GetService(UnitName(name)));
    const auto ended = [&](const ServiceState& state) {
      return state.main_pid == 0 || state.main_pid != first.main_pid;
    };
    if (first.main_pid == 0) return ServiceFailure(first, "done", "its program");
    std::unique_lock lock(seen->mutex);
    const bool over = seen->changed.wait_for(lock, stop, time, [&] { return seen->state && ended(*seen->state); });
    if (stop.stop_requested()) return Error(Code::kCancelled, "cancelled");
    if (!over) return base::Ok();
    return ServiceFailure(*seen->state, "done", "its program");
  };
  Status status = wait().Wrap("service " + name);
  bus_.Unwatch(UnitName(name));
  return status;
}

Result<bool> HostServices::IsRunning(const std::string& name) {
  ASSIGN_OR_RETURN(const ServiceState state, bus_.GetService(UnitName(name)));
  return state.main_pid != 0;
}

Status HostServices::Stop(const std::string& name) {
  if (!IsAttached(name)) return base::Ok();
  auto job = bus_.StopUnit(UnitName(name));
  if (!job.ok() && job.error().code() != Code::kNotFound)
    return std::move(job).error().Wrap("stop the service " + name);
  return IgnoreNotFound(bus_.ResetFailedUnit(UnitName(name)));
}

Status HostServices::Remove(const std::string& name) {
  RETURN_IF_ERROR(CheckName(name));
  const std::string doing = "remove the service " + name;
  if (!bundles_.Exists(name)) return base::Ok();
  if (IsAttached(name)) {
    RETURN_IF_ERROR(Stop(name).Wrap(doing));
    RETURN_IF_ERROR(IgnoreNotFound(bus_.DisableUnit(UnitName(name))).Wrap(doing));
    RETURN_IF_ERROR(Detach(name).Wrap(doing));
    RETURN_IF_ERROR(bus_.Reload().Wrap(doing));
    // The unit does not come back without its bundle.
    RETURN_IF_ERROR(SyncUnits().Wrap(doing));
  }
  // The bundle goes last: it says what else there is.
  if (const auto spec = bundles_.ReadSpec(name); spec.ok()) {
    RETURN_IF_ERROR(base::RemoveTree(spec->work_directory).Wrap(doing));
    RETURN_IF_ERROR(base::RemoveTree(spec->upper_directory).Wrap(doing));
  }
  return bundles_.Remove(name).Wrap(doing);
}

}  // namespace nspawn
