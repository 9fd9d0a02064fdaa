#include "cli/command.h"
#include "cli/output.h"
#include "cli/portable_host.h"
#include "cli/portable_spec.h"

namespace cli {
namespace {

struct Options {
  std::vector<std::string> names;
  bool all = false;
  bool volumes = false;
};

base::Result<int> RunDetach(const Context& context, const Options& options) {
  ASSIGN_OR_RETURN(const auto host, PortableHost::Open(context));
  int status = 0;
  nlohmann::json detached = nlohmann::json::array();
  std::vector<std::string> names = options.names;
  if (options.all) {
    ASSIGN_OR_RETURN(const auto records, host->Records());
    for (const PortableRecord& record : records) names.push_back(record.name);
  }
  for (const std::string& given : names) {
    const std::string name = given.ends_with(".service") ? given.substr(0, given.size() - 8) : given;
    const auto detach = [&]() -> base::Status {
      if (name.find('/') != std::string::npos) return base::InvalidArgument("\"" + name + "\" is no name of a service");
      ASSIGN_OR_RETURN(const auto record, host->Find(name));
      if (!record) return base::NotFound("there is no portable service " + name + " made of an image");
      return host->Remove(name, options.volumes);
    };
    if (const base::Status done = detach(); !done.ok()) {
      PrintNote(done.error().message());
      status = 1;
      continue;
    }
    detached.push_back({{"name", name}});
    if (!context.json) PrintLine("Detached: " + name);
  }
  if (context.json) PrintJson(detached);
  return status;
}

}  // namespace

void AddDetach(CLI::App& app, const Choose& choose) {
  auto* const command = app.add_subcommand("detach", "Stop and remove services that attach made");
  const auto options = std::make_shared<Options>();
  auto* const names = command->add_option("NAME", options->names, "Names of the services");
  command->add_flag("--all,-a", options->all, "All that attach made")->excludes(names);
  command->add_flag("--volumes", options->volumes, "Remove what they keep in volumes, too");
  command->callback([=] {
    if (options->names.empty() && !options->all) throw CLI::RequiredError("NAME or --all");
    choose([=](const Context& context) { return RunDetach(context, *options); });
  });
}

}  // namespace cli
