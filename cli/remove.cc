#include <algorithm>

#include "cli/command.h"
#include "cli/images.h"
#include "cli/output.h"
#include "cli/portable_records.h"

namespace cli {
namespace {

struct Options {
  std::vector<std::string> references;
  bool all = false;
  bool ignore = false;
};

// A portable service needs its image at its next start. (What containers of pods run from stays by itself.)
base::Status CheckUnused(const Context& context, const image::Image& image) {
  if (!context.portable && context.store != PortableStoreRoot(context.config)) return base::Ok();
  ASSIGN_OR_RETURN(const auto records, LoadPortableRecords(PortableRecordsDirectory(context.config)));
  for (const PortableRecord& record : records) {
    if (record.image != image.id && record.previous != image.id) continue;
    return base::Error(base::Code::kFailedPrecondition, "image " + image.id + " is in use by the portable service " +
                                                            record.name + ": detach that first");
  }
  return base::Ok();
}

base::Result<int> RunRemove(const Context& context, const Options& options) {
  ASSIGN_OR_RETURN(const auto images, Images::Open(context));
  std::vector<std::string> references = options.references;
  if (options.all) {
    ASSIGN_OR_RETURN(const auto list, images->List());
    for (const image::Image& image : list) references.push_back(image.id);
  }
  nlohmann::json removed = nlohmann::json::array();
  int status = 0;
  for (const std::string& reference : references) {
    const auto remove = [&]() -> base::Status {
      ASSIGN_OR_RETURN(const auto image, images->Find(reference));
      if (!image) {
        if (options.ignore) return base::Ok();
        return base::NotFound("image " + reference + ": not found");
      }
      RETURN_IF_ERROR(CheckUnused(context, *image));
      RETURN_IF_ERROR(images->Remove(image->id));
      removed.push_back({{"id", image->id}, {"repoTags", image->tags}});
      if (context.json) return base::Ok();
      for (const std::string& tag : image->tags) PrintLine("Untagged: " + tag);
      PrintLine("Deleted: " + image->id);
      return base::Ok();
    };
    if (const base::Status done = remove(); !done.ok()) {
      PrintNote(done.error().message());
      status = 1;
    }
  }
  if (context.json) PrintJson(removed);
  return status;
}

}  // namespace

void AddRemove(CLI::App& app, const Choose& choose) {
  auto* const command = app.add_subcommand("remove", "Remove images, each with all of its names")->alias("rm");
  const auto options = std::make_shared<Options>();
  auto* const names = command->add_option("IMAGE", options->references, "Ids, tags or digest references");
  auto* const all = command->add_flag("--all,-a", options->all, "All images");
  names->excludes(all);
  command->add_flag("--ignore,-i", options->ignore, "It is no error that an image does not exist");
  command->callback([=] {
    if (options->references.empty() && !options->all) throw CLI::RequiredError("IMAGE or --all");
    choose([=](const Context& context) { return RunRemove(context, *options); });
  });
}

}  // namespace cli
