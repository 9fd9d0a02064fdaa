#include "cli/command.h"
#include "cli/images.h"
#include "cli/output.h"
#include "image/json.h"

namespace cli {
namespace {

// What the store knows, and the image's configuration as its maker wrote it, under the names of the OCI image
// specification.
nlohmann::json Describe(const image::Image& image) {
  nlohmann::json document = {
      {"id", image.id},
      {"repoTags", image.tags},
      {"repoDigests", image.digests},
      {"size", image.size},
      {"layers", image.layer_directories},
  };
  const auto config = image::ParseObject(image.raw_config, "the image configuration");
  if (!config.ok()) return document;
  for (const char* key : {"created", "author", "architecture", "variant", "os", "config", "rootfs", "history"}) {
    if (const auto found = config->find(key); found != config->end()) document[key] = *found;
  }
  return document;
}

base::Result<int> RunInspect(const Context& context, const std::vector<std::string>& references) {
  ASSIGN_OR_RETURN(const auto images, Images::Open(context));
  nlohmann::json documents = nlohmann::json::array();
  int status = 0;
  for (const std::string& reference : references) {
    ASSIGN_OR_RETURN(const auto image, images->Find(reference));
    if (image) {
      documents.push_back(Describe(*image));
    } else {
      PrintNote("image " + reference + ": not found");
      status = 1;
    }
  }
  PrintJson(documents);
  return status;
}

}  // namespace

void AddInspect(CLI::App& app, const Choose& choose) {
  auto* const command = app.add_subcommand("inspect", "Show all about images, as JSON");
  const auto references = std::make_shared<std::vector<std::string>>();
  command->add_option("IMAGE", *references, "Ids, tags or digest references")->required();
  command->callback([=] { choose([=](const Context& context) { return RunInspect(context, *references); }); });
}

}  // namespace cli
