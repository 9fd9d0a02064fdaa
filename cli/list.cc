#include <iostream>

#include "cli/command.h"
#include "cli/images.h"
#include "cli/output.h"

namespace cli {
namespace {

struct Options {
  bool quiet = false;
  bool digests = false;
  bool whole = false;
};

struct Name {
  std::string repository;
  std::string tag;
};

// Splits what a person reads in two columns; a port is no tag.
Name SplitTag(const std::string& reference) {
  const size_t colon = reference.rfind(':');
  if (colon == std::string::npos || reference.find('/', colon) != std::string::npos) return {reference, "<none>"};
  return {reference.substr(0, colon), reference.substr(colon + 1)};
}

std::string DigestOf(const image::Image& image, const std::string& repository) {
  for (const std::string& digest : image.digests) {
    if (digest.starts_with(repository + "@")) return digest.substr(repository.size() + 1);
  }
  return "<none>";
}

void PrintImages(const std::vector<image::Image>& images, const Options& options) {
  std::vector<std::vector<std::string>> rows;
  rows.push_back({"REPOSITORY", "TAG"});
  if (options.digests) rows.back().emplace_back("DIGEST");
  rows.back().insert(rows.back().end(), {"IMAGE ID", "SIZE"});
  for (const image::Image& image : images) {
    std::vector<Name> names;
    for (const std::string& tag : image.tags) names.push_back(SplitTag(tag));
    if (names.empty() && !image.digests.empty()) {
      names.push_back({image.digests.front().substr(0, image.digests.front().find('@')), "<none>"});
    }
    if (names.empty()) names.push_back({"<none>", "<none>"});
    for (const Name& name : names) {
      rows.push_back({name.repository, name.tag});
      if (options.digests) rows.back().push_back(DigestOf(image, name.repository));
      rows.back().push_back(options.whole ? image.id : ShortId(image.id));
      rows.back().push_back(FormatSize(image.size));
    }
  }
  std::cout << FormatTable(rows);
}

base::Result<int> RunList(const Context& context, const Options& options) {
  ASSIGN_OR_RETURN(const auto images, Images::Open(context));
  ASSIGN_OR_RETURN(const std::vector<image::Image> all, images->List());
  if (context.json) {
    nlohmann::json list = nlohmann::json::array();
    for (const image::Image& image : all) {
      list.push_back(
          {{"id", image.id}, {"repoTags", image.tags}, {"repoDigests", image.digests}, {"size", image.size}});
    }
    PrintJson(list);
  } else if (options.quiet) {
    for (const image::Image& image : all) PrintLine(options.whole ? image.id : ShortId(image.id));
  } else {
    PrintImages(all, options);
  }
  return 0;
}

}  // namespace

void AddList(CLI::App& app, const Choose& choose) {
  auto* const command = app.add_subcommand("list", "List images")->alias("ls");
  const auto options = std::make_shared<Options>();
  command->add_flag("--quiet,-q", options->quiet, "Only the ids");
  command->add_flag("--digests", options->digests, "The digests of the manifests as well");
  command->add_flag("--no-trunc", options->whole, "Whole ids");
  command->callback([=] { choose([=](const Context& context) { return RunList(context, *options); }); });
}

}  // namespace cli
