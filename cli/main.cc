// cri-nspawn-image: images without Kubernetes, and portable services made of them.

#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <exception>
#include <iostream>
#include <thread>

#include "base/log.h"
#include "cli/command.h"
#include "cli/output.h"

namespace cli {
namespace {

constexpr int kFailure = 1;
constexpr int kUsage = 2;

// SIGINT and SIGTERM ask to stop; a second one ends the program where it is, which leaves nothing that the next start
// would not clean up.
void WatchSignals(std::stop_source stop) {
  sigset_t mask;
  ::sigemptyset(&mask);
  ::sigaddset(&mask, SIGINT);
  ::sigaddset(&mask, SIGTERM);
  // Before any other thread exists, so that all of them have it blocked.
  ::pthread_sigmask(SIG_BLOCK, &mask, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
  std::thread([mask, stop = std::move(stop)]() mutable {
    int signal = 0;
    ::sigwait(&mask, &signal);
    stop.request_stop();
    ::sigwait(&mask, &signal);
    ::_exit(128 + signal);
  }).detach();
}

int Main(int argc, char** argv) {
  CLI::App app(
      "Pulls, lists, imports, exports and checks container images, and attaches them as portable services of the host",
      "cri-nspawn-image");
  std::string config_path(cri::kDefaultConfigPath);
  std::string output = "text";
  Context context;
  Run run;
  app.add_option("--config,-c", config_path, "Configuration file of the daemon")->capture_default_str();
  auto* const store = app.add_option("--store", context.store, "Directory of the images, instead of those of the node");
  app.add_flag("--portable", context.portable, "Images of portable services, instead of those of the node")
      ->excludes(store);
  app.add_option("--output,-o", output, "text or json")->check(CLI::IsMember({"text", "json"}))->capture_default_str();
  app.set_version_flag("--version", std::string("cri-nspawn-image ") + CRI_NSPAWN_VERSION);
  app.require_subcommand(1);
  app.fallthrough();
  const Choose choose = [&run](Run chosen) { run = std::move(chosen); };
  AddPull(app, choose);
  AddList(app, choose);
  AddInspect(app, choose);
  AddRemove(app, choose);
  AddImport(app, choose);
  AddExport(app, choose);
  AddCheck(app, choose);
  AddAttach(app, choose);
  AddDetach(app, choose);
  AddAutoUpdate(app, choose);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : kUsage;
  }
  context.json = output == "json";
  if (!context.store.empty() && !context.store.starts_with('/')) {
    PrintNote("--store must be an absolute path");
    return kUsage;
  }

  auto config = cri::LoadConfig(config_path);
  if (!config.ok()) {
    PrintNote(config.error().message());
    return kFailure;
  }
  context.config = *std::move(config);
  base::SetLogLevel(base::LogLevel::kWarning);
  const std::stop_source stop;
  context.stop = stop.get_token();
  WatchSignals(stop);
  const base::Result<int> status = run(context);
  std::cout.flush();
  if (!status.ok()) {
    PrintNote(status.error().message());
    return kFailure;
  }
  if (!std::cout) {
    PrintNote("the results could not be written");
    return kFailure;
  }
  return *status;
}

}  // namespace
}  // namespace cli

int main(int argc, char** argv) {
  try {
    return cli::Main(argc, argv);
  } catch (const std::exception& exception) {
    std::cerr << "cri-nspawn-image: BUG: unexpected exception: " << exception.what() << "\n";
    return 1;
  }
}
