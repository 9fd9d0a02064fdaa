#include "cli/check_report.h"
#include "cli/command.h"
#include "cli/images.h"
#include "cli/output.h"

namespace cli {
namespace {

struct Options {
  bool no_repair = false;
  bool verbose = false;
};

base::Result<int> RunCheck(const Context& context, const Options& options) {
  ASSIGN_OR_RETURN(const auto images, Images::Open(context));
  CheckReport report;
  RETURN_IF_ERROR(images->Check(!options.no_repair, [&](const image::CheckedLayer& layer) {
    report.Add(layer);
    if (!context.json) {
      for (const std::string& line : report.LinesFor(layer, options.verbose)) PrintLine(line);
    }
  }));
  if (context.json) {
    PrintJson(report.ToJson());
  } else {
    PrintLine(report.Summary());
  }
  return report.bad() == 0 ? 0 : 1;
}

}  // namespace

void AddCheck(CLI::App& app, const Choose& choose) {
  auto* const command =
      app.add_subcommand("check", "Compare all layers with what was pulled, and pull again what differs");
  const auto options = std::make_shared<Options>();
  command->add_flag("--no-repair,-n", options->no_repair, "Only tell what differs");
  command->add_flag("--verbose,-v", options->verbose, "Tell of good layers, too");
  command->callback([=] { choose([=](const Context& context) { return RunCheck(context, *options); }); });
}

}  // namespace cli
