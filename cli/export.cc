#include <filesystem>

#include "cli/command.h"
#include "cli/images.h"
#include "cli/output.h"

namespace cli {
namespace {

struct Options {
  std::string reference;
  std::string directory;
};

base::Result<int> RunExport(const Context& context, const Options& options) {
  ASSIGN_OR_RETURN(const auto images, Images::Open(context));
  std::error_code error;
  const std::string directory = std::filesystem::absolute(options.directory, error).lexically_normal();
  if (error) return base::InvalidArgument(options.directory + ": " + error.message());
  ASSIGN_OR_RETURN(const auto image, images->Find(options.reference));
  if (!image) return base::NotFound("image " + options.reference + ": not found");
  ASSIGN_OR_RETURN(const image::ExportedImage exported, images->Export(image->id, directory));
  if (context.json) {
    PrintJson({{"id", exported.id}, {"manifestDigest", exported.manifest_digest}, {"directory", directory}});
  } else {
    PrintLine(exported.id);
  }
  if (exported.id != image->id) {
    PrintNote("the layers were packed anew: the exported image is " + ShortId(exported.id) + ", not " +
              ShortId(image->id));
  }
  return 0;
}

}  // namespace

void AddExport(CLI::App& app, const Choose& choose) {
  auto* const command = app.add_subcommand("export", "Write an image as an OCI image layout");
  const auto options = std::make_shared<Options>();
  command->add_option("IMAGE", options->reference, "Id, tag or digest reference")->required();
  command->add_option("DIRECTORY", options->directory, "The layout; it must not exist, or be empty")->required();
  command->callback([=] { choose([=](const Context& context) { return RunExport(context, *options); }); });
}

}  // namespace cli
