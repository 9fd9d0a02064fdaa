#include <filesystem>

#include "cli/command.h"
#include "cli/images.h"
#include "cli/output.h"

namespace cli {
namespace {

base::Result<int> RunImport(const Context& context, const std::vector<std::string>& paths) {
  ASSIGN_OR_RETURN(const auto images, Images::Open(context));
  nlohmann::json all = nlohmann::json::array();
  for (const std::string& path : paths) {
    std::error_code error;
    const std::string absolute = std::filesystem::absolute(path, error).lexically_normal();
    if (error) return base::InvalidArgument(path + ": " + error.message());
    ASSIGN_OR_RETURN(const auto imported, images->Import(absolute));
    for (const image::ImportedImage& image : imported) {
      all.push_back({{"id", image.id}, {"names", image.names}});
      if (context.json) continue;
      for (const std::string& name : image.names) PrintLine("Loaded image: " + name);
      if (image.names.empty()) PrintLine("Loaded image: " + image.id);
    }
  }
  if (context.json) PrintJson(all);
  return 0;
}

}  // namespace

void AddImport(CLI::App& app, const Choose& choose) {
  auto* const command = app.add_subcommand("import", "Import images from OCI layouts and docker archives");
  const auto paths = std::make_shared<std::vector<std::string>>();
  command
      ->add_option("PATH", *paths,
                   "OCI image layouts (directories, or tar files of them) or archives of \"docker save\"")
      ->required();
  command->callback([=] { choose([=](const Context& context) { return RunImport(context, *paths); }); });
}

}  // namespace cli
