#include <iostream>

#include "base/text.h"
#include "cli/command.h"
#include "cli/credentials.h"
#include "cli/output.h"
#include "cli/portable_host.h"
#include "cli/portable_spec.h"
#include "cli/progress.h"

namespace cli {
namespace {

using base::Code;
using base::Error;
using base::Result;
using base::Status;

struct Options {
  std::string reference;
  std::string name;
  std::vector<std::string> command;
  std::vector<std::string> volumes;
  std::vector<std::string> environment;
  bool auto_update = false;
  bool no_start = false;
  bool pull = false;
  bool quiet = false;
  CredentialOptions credentials;
};

Result<PortableRecord> RecordOf(const Options& options) {
  PortableRecord record;
  record.reference = options.reference;
  record.name = options.name;
  if (record.name.empty()) {
    ASSIGN_OR_RETURN(record.name, DefaultServiceName(options.reference));
  }
  for (const std::string& volume : options.volumes) RETURN_IF_ERROR(ParseVolume(volume));
  for (const std::string& variable : options.environment) RETURN_IF_ERROR(CheckVariable(variable));
  record.volumes = options.volumes;
  record.environment = options.environment;
  record.command = options.command;
  record.auto_update = options.auto_update;
  return record;
}

// The image, pulled unless it is there. The record of the service is written while the store is still locked, so that
// nobody removes the image in between.
Result<image::Image> TakeImage(const Context& context, const Options& options, const PortableHost& host,
                               PortableRecord& record) {
  ASSIGN_OR_RETURN(const auto store, host.OpenStore());
  ASSIGN_OR_RETURN(auto image, store->Find(options.reference));
  if (!image || options.pull) {
    ASSIGN_OR_RETURN(const image::Credentials credentials, CredentialsFor(options.credentials, options.reference));
    if (!options.quiet) std::cerr << "Pulling " << base::Printable(options.reference) << "\n";
    std::string id;
    if (options.quiet) {
      ASSIGN_OR_RETURN(id, store->Pull(options.reference, credentials, context.stop));
    } else {
      Progress progress(std::cerr, TerminalColumns());
      ASSIGN_OR_RETURN(id, store->Pull(options.reference, credentials, context.stop, &progress));
    }
    ASSIGN_OR_RETURN(image, store->Find(id));
    if (!image) return base::NotFound("image " + id + " has been removed meanwhile");
  }
  record.image = image->id;
  RETURN_IF_ERROR(host.Write(record));
  return *std::move(image);
}

Result<int> RunAttach(const Context& context, const Options& options) {
  ASSIGN_OR_RETURN(PortableRecord record, RecordOf(options));
  ASSIGN_OR_RETURN(const auto host, PortableHost::Open(context));
  ASSIGN_OR_RETURN(const auto existing, host->Find(record.name));
  if (existing) {
    return Error(Code::kAlreadyExists, "there is a portable service " + record.name + " of " + existing->reference +
                                           " already: detach it, or give another name with --name");
  }
  ASSIGN_OR_RETURN(const image::Image image, TakeImage(context, options, *host, record));
  const auto attach = [&]() -> Status {
    RETURN_IF_ERROR(host->Install(record, image));
    if (!options.no_start) RETURN_IF_ERROR(host->services().Start(record.name));
    if (options.auto_update) RETURN_IF_ERROR(host->SetTimer(record.name, true));
    return base::Ok();
  };
  Status attached = attach().Wrap("attach " + options.reference);
  if (!attached.ok()) {
    if (const Status removed = host->Remove(record.name, /*volumes=*/false); !removed.ok()) {
      PrintNote(removed.error().message());
    }
    return std::move(attached).error();
  }
  if (context.json) {
    PrintJson({{"name", record.name}, {"unit", record.name + ".service"}, {"id", image.id}});
  } else {
    PrintLine(record.name + ".service");
  }
  return 0;
}

}  // namespace

void AddAttach(CLI::App& app, const Choose& choose) {
  auto* const command = app.add_subcommand("attach", "Make an image a portable service of this host");
  const auto options = std::make_shared<Options>();
  command->add_option("IMAGE", options->reference, "Reference; it is pulled unless it is there")->required();
  command->add_option("ARGUMENT", options->command, "Arguments in the place of the image's; put -- before them");
  command->add_option("--name", options->name, "Name of the service; else the last part of the image's name");
  command->add_option("--volume,-v", options->volumes, "HOST:CONTAINER or HOST:CONTAINER:ro; can be repeated")
      ->allow_extra_args(false);
  command->add_option("--env,-e", options->environment, "NAME=value; can be repeated")->allow_extra_args(false);
  command->add_flag("--auto-update", options->auto_update, "Pull it again daily and move the service to what is new");
  command->add_flag("--no-start", options->no_start, "Attach and enable it without starting it");
  command->add_flag("--pull", options->pull, "Pull even if it is there");
  command->add_flag("--quiet,-q", options->quiet, "Show no progress");
  AddCredentialOptions(*command, options->credentials);
  command->callback([=] { choose([=](const Context& context) { return RunAttach(context, *options); }); });
}

}  // namespace cli
