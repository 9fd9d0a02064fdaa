#include <iostream>

#include "base/text.h"
#include "cli/command.h"
#include "cli/credentials.h"
#include "cli/images.h"
#include "cli/output.h"
#include "cli/progress.h"

namespace cli {
namespace {

struct Options {
  std::vector<std::string> references;
  bool quiet = false;
  CredentialOptions credentials;
};

base::Result<std::string> PullOne(Images& images, const std::string& reference, const Options& options) {
  ASSIGN_OR_RETURN(const image::Credentials credentials, CredentialsFor(options.credentials, reference));
  if (options.quiet) {
    NoProgress none;
    return images.Pull(reference, credentials, none);
  }
  Progress progress(std::cerr, TerminalColumns());
  return images.Pull(reference, credentials, progress);
}

base::Result<int> RunPull(const Context& context, const Options& options) {
  ASSIGN_OR_RETURN(const auto images, Images::Open(context));
  nlohmann::json pulled = nlohmann::json::array();
  for (const std::string& reference : options.references) {
    if (!options.quiet) std::cerr << "Pulling " << base::Printable(reference) << "\n";
    ASSIGN_OR_RETURN(const std::string id, PullOne(*images, reference, options));
    pulled.push_back({{"reference", reference}, {"id", id}});
    if (!context.json) PrintLine(id);
  }
  if (context.json) PrintJson(pulled);
  return 0;
}

}  // namespace

void AddPull(CLI::App& app, const Choose& choose) {
  auto* const command = app.add_subcommand("pull", "Pull images from their registries");
  const auto options = std::make_shared<Options>();
  command->add_option("IMAGE", options->references, "References, for example docker.io/library/nginx:1.27")->required();
  command->add_flag("--quiet,-q", options->quiet, "Show no progress");
  AddCredentialOptions(*command, options->credentials);
  command->callback([=] { choose([=](const Context& context) { return RunPull(context, *options); }); });
}

}  // namespace cli
