// cri-nspawnd: the daemon.

#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <systemd/sd-daemon.h>

#include <CLI/CLI.hpp>
#include <iostream>
#include <thread>

#include "base/log.h"
#include "base/memory.h"
#include "base/text.h"
#include "base/trace.h"
#include "cri/config.h"
#include "cri/event_engine.h"
#include "cri/image_holds.h"
#include "cri/plugin_runner.h"
#include "cri/remove_pods.h"
#include "cri/server.h"
#include "cri/stream_backend.h"
#include "cri/streaming/server.h"
#include "cri/trace_export.h"
#include "image/signature_policy.h"
#include "nspawn/bus.h"

namespace cri {
namespace {

// A client that holds a call open must not hold up the daemon's end; the kubelet repeats what was cut off.
constexpr std::chrono::seconds kStopGrace{5};

base::Result<std::optional<gid_t>> GroupOf(const std::string& name) {
  if (name.empty()) return std::optional<gid_t>();
  const group* entry = ::getgrnam(name.c_str());  // NOLINT(concurrency-mt-unsafe): before there are threads
  if (entry == nullptr) return base::InvalidArgument("the configured group \"" + name + "\" does not exist");
  return std::optional<gid_t>(entry->gr_gid);
}

// Blocks until a signal asks to end, while telling systemd's watchdog that the daemon lives, and giving back, since it
// is awake anyway, what memory the work since then has left. Without its spawner or the bus the daemon can do nothing
// and may have missed signals: either's end is an error, and systemd starts it anew.
base::Status WaitForEnd(int signals, int spawner_death, int bus_lost) {
  uint64_t watchdog_microseconds = 0;
  const bool watched = ::sd_watchdog_enabled(0, &watchdog_microseconds) > 0;
  const int timeout = watched ? static_cast<int>(watchdog_microseconds / 2000) : -1;
  pollfd polled[] = {{signals, POLLIN, 0}, {spawner_death, POLLIN, 0}, {bus_lost, POLLIN, 0}};
  while (true) {
    const int ready = ::poll(polled, 3, timeout);
    if (ready < 0 && errno != EINTR) return base::ErrnoError("wait for signals");
    if (ready == 0) {
      ::sd_notify(0, "WATCHDOG=1");
      base::ReleaseMemory();
    }
    if (ready > 0 && polled[1].revents != 0) return base::Internal("the spawner has ended unexpectedly");
    if (ready > 0 && polled[2].revents != 0) return base::Error(base::Code::kUnavailable, "the system bus is gone");
    if (ready > 0 && polled[0].revents != 0) return base::Ok();
  }
}

base::Status Run(const Config& config) {
  base::LimitHeaps();
  ASSIGN_OR_RETURN(const std::optional<gid_t> group, GroupOf(config.group));
  // Before any thread exists: signals are taken by this thread alone, and the spawner is forked from a plain process.
  sigset_t mask;
  ::sigemptyset(&mask);
  ::sigaddset(&mask, SIGTERM);
  ::sigaddset(&mask, SIGINT);
  ::pthread_sigmask(SIG_BLOCK, &mask, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
  const base::UniqueFd signals(::signalfd(-1, &mask, SFD_CLOEXEC));
  if (!signals) return base::ErrnoError("make a signalfd");
  RETURN_IF_ERROR(base::MakeDirectories(config.state_directory, 0711));
  RETURN_IF_ERROR(base::MakeDirectories(config.runtime_directory, 0711));
  RETURN_IF_ERROR(base::MakeDirectories(config.images.root, 0755));
  const nspawn::KernelFeatures kernel = nspawn::ProbeKernel(config.images.root);
  if (!kernel.user_namespaces) {
    base::Log(base::LogLevel::kNotice, "pods cannot have user namespaces: " + kernel.why_no_user_namespaces);
  }
  ASSIGN_OR_RETURN(const auto spawner, nspawn::Spawner::Start(CRI_NSPAWN_LIBEXEC "/spawner").Wrap("start the spawner"));
  StartGrpc();
  // Outlives all that has threads.
  std::unique_ptr<TraceExport> traces;
  if (!config.trace_endpoint.empty()) {
    traces = std::make_unique<TraceExport>(config.trace_endpoint, config.trace_sampling_rate);
  }

  ASSIGN_OR_RETURN(const auto store, image::Store::Open(config.images).Wrap("open the image store"));
  PluginRunner plugins(*spawner);
  const auto network = cni::Network::Create(config.network, plugins);
  cni::Namespaces namespaces(config.network_namespace_directory);

  const auto fd_store = nspawn::MakeSystemdFdStore();
  ASSIGN_OR_RETURN(const auto logs, nspawn::Logs::Create(*fd_store, nspawn::TakeStoredFds(), config.journal));
  const base::UniqueFd bus_lost(::eventfd(0, EFD_CLOEXEC));
  if (!bus_lost) return base::ErrnoError("make an eventfd");
  ASSIGN_OR_RETURN(const auto bus, nspawn::Bus::Connect([&bus_lost](const base::Error& error) {
                                     base::Log(base::LogLevel::kError, error.message());
                                     ::eventfd_write(bus_lost.get(), 1);
                                   }).Wrap("connect to the system bus"));
  nspawn::MachineOptions machine_options;
  // Not below /run, which an initramfs of Debian mounts noexec: pause is executed there.
  machine_options.root = config.state_directory + "/pause-root";
  machine_options.pause = CRI_NSPAWN_LIBEXEC "/pause";
  ASSIGN_OR_RETURN(const auto machines, nspawn::Machines::Make(*bus, machine_options));
  nspawn::ContainerOptions container_options;
  container_options.bundle_root = config.runtime_directory + "/containers";
  container_options.init = CRI_NSPAWN_LIBEXEC "/init";
  ASSIGN_OR_RETURN(const auto containers, nspawn::Containers::Make(*bus, container_options));

  nspawn::AppArmor apparmor(*spawner);
  if (apparmor.IsEnabled()) {
    // Containers that ask for it are refused until it can be loaded; all others run.
    const base::Status loaded = apparmor.LoadDefault();
    if (!loaded.ok()) base::Log(base::LogLevel::kWarning, loaded.error().message());
  }

  Runtime runtime(config, {*store, *machines, *containers, *logs, *spawner, *network, namespaces, apparmor, kernel});
  RETURN_IF_ERROR(runtime.Reconcile().Wrap("reconcile with the node"));

  StreamBackend stream_backend(runtime);
  ASSIGN_OR_RETURN(const auto streaming,
                   streaming::Server::Start(config.streaming, stream_backend).Wrap("start the streaming server"));
  RuntimeService runtime_service(runtime, *streaming);
  ImageService image_service(runtime);
  ImageStoreService store_service(*store);
  ASSIGN_OR_RETURN(const auto server,
                   Server::Start({config.socket, group}, runtime_service, image_service, store_service));
  base::Log(base::LogLevel::kNotice, "serving CRI v1 on " + config.socket);
  ::sd_notify(0, "READY=1");
  base::ReleaseMemory();
  base::Status ended = WaitForEnd(signals.get(), spawner->DeathFd(), bus_lost.get());
  ::sd_notify(0, "STOPPING=1");
  server->Stop(kStopGrace);
  return ended;
}

// Checks all layers while no daemon runs, and pulls again what differs. Gives the exit status.
base::Result<int> CheckStore(const Config& config) {
  image::StoreOptions options = config.images;
  options.import_directory.clear();
  auto opened = image::Store::Open(options);
  if (!opened.ok()) {
    const bool locked = opened.error().code() == base::Code::kFailedPrecondition;
    return std::move(opened).error().Wrap(locked ? "while the daemon runs, use cri-nspawn-image check" : "check");
  }
  const auto store = *std::move(opened);
  // Layers of removed images stay for the containers that run from them.
  RETURN_IF_ERROR(HoldForContainers(config.state_directory, *store));
  size_t checked = 0;
  size_t bad = 0;
  RETURN_IF_ERROR(store->Check(
      /*repair=*/true,
      [&](const image::CheckedLayer& layer) {
        using State = image::CheckedLayer::State;
        ++checked;
        if (layer.state == State::kGood) return;
        if (layer.state != State::kRepaired) ++bad;
        std::cout << "layer " << layer.diff_id << (layer.adaptation ? " (as adapted to the layers below)" : "")
                  << (layer.state == State::kRepaired ? " repaired" : " damaged");
        if (!layer.error.empty()) std::cout << ": " << base::Printable(layer.error, 8192);
        std::cout << "\n";
        for (const std::string& example : layer.examples) std::cout << "  " << example << "\n";
      },
      {}));
  std::cout << checked << " layers checked, " << bad << " damaged\n";
  return bad == 0 ? 0 : 1;
}

}  // namespace
}  // namespace cri

int main(int argc, char** argv) {
  CLI::App app("Kubernetes CRI v1 runtime over systemd-nspawn and portable services", "cri-nspawnd");
  std::string config_path(cri::kDefaultConfigPath);
  bool check = false;
  bool check_store = false;
  bool remove_pods = false;
  std::string trace;
  app.add_option("--config,-c", config_path, "Configuration file")->capture_default_str();
  auto* const config_only =
      app.add_flag("--check-config", check, "Read the configuration, say whether it is right, and exit");
  auto* const pods = app.add_flag("--remove-pods", remove_pods, "Have the running daemon remove every pod, and exit")
                         ->excludes(config_only);
  app.add_flag("--check-store", check_store,
               "Compare all image layers with what was pulled, pull again what differs, and exit")
      ->excludes(config_only)
      ->excludes(pods);
  app.add_option("--trace", trace, "Write where time goes to this file, for chrome://tracing or ui.perfetto.dev");
  app.set_version_flag("--version", std::string("cri-nspawnd ") + CRI_NSPAWN_VERSION);
  CLI11_PARSE(app, argc, argv);

  const auto config = cri::LoadConfig(config_path);
  if (!config.ok()) {
    std::cerr << "cri-nspawnd: " << config.error().message() << "\n";
    return 2;
  }
  if (const std::string& path = config->images.signature_policy; !path.empty()) {
    if (const auto policy = image::SignaturePolicy::Load(path); !policy.ok()) {
      std::cerr << "cri-nspawnd: " << policy.error().message() << "\n";
      return 2;
    }
  }
  if (check) return 0;
  if (remove_pods) {
    const auto removed = cri::RemovePods(config->socket);
    if (!removed.ok()) {
      std::cerr << "cri-nspawnd: " << base::Printable(removed.error().message(), 4096) << "\n";
      return 1;
    }
    std::cout << "removed " << *removed << " pods\n";
    return 0;
  }
  base::SetLogLevel(config->log_level);
  if (check_store) {
    const auto status = cri::CheckStore(*config);
    if (!status.ok()) std::cerr << "cri-nspawnd: " << base::Printable(status.error().message(), 8192) << "\n";
    return status.ok() ? *status : 1;
  }
  if (!trace.empty()) {
    if (const base::Status started = base::StartTrace(trace); !started.ok()) {
      std::cerr << "cri-nspawnd: " << started.error().message() << "\n";
      return 1;
    }
  }
  if (const base::Status status = cri::Run(*config); !status.ok()) {
    base::Log(base::LogLevel::kError, status.error().message());
    return 1;
  }
  return 0;
}
