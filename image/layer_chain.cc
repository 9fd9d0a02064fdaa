#include "image/layer_chain.h"

#include <sys/xattr.h>

#include <algorithm>
#include <memory>
#include <set>

#include "image/adaptation.h"
#include "image/layer_tree.h"

namespace image {
namespace {

using base::Result;
using base::Status;

bool HasOpaqueRoot(const std::string& directory) {
  char value = 0;
  return ::lgetxattr(directory.c_str(), kOpaqueAttribute, &value, 1) == 1 && value == 'y';
}

Result<std::unique_ptr<Adaptation>> PlanFor(const Layers& layers, const std::vector<std::string>& chain,
                                            const std::stop_token& stop) {
  std::vector<std::string> below = DirectoriesOf(layers, chain);
  below.pop_back();
  const std::string& diff_id = chain.back();
  return Adaptation::Plan(below, layers.DirectoryOf(diff_id), layers.TreeRecordOf(diff_id), stop);
}

}  // namespace

std::vector<std::string> DirectoriesOf(const Layers& layers, const std::vector<std::string>& chain) {
  std::vector<std::string> directories;
  std::set<std::string> seen;
  for (auto id = chain.rbegin(); id != chain.rend(); ++id) {
    // The upper one of two decides what is seen.
    if (!seen.insert(*id).second) continue;
    directories.push_back(layers.DirectoryOf(*id));
    if (HasOpaqueRoot(directories.back())) break;
  }
  std::reverse(directories.begin(), directories.end());
  return directories;
}

Result<std::vector<std::string>> AdaptLayers(Layers& layers, const std::vector<std::string>& diff_ids,
                                             const std::stop_token& stop) {
  std::vector<std::string> chain;
  std::vector<std::string> added;
  const auto adapt = [&](size_t count) -> Status {
    const std::string& diff_id = diff_ids[count - 1];
    chain.push_back(diff_id);
    const std::string id = AdaptationId({diff_ids.begin(), diff_ids.begin() + static_cast<ptrdiff_t>(count)});
    if (!layers.Need(id)) {
      ASSIGN_OR_RETURN(const auto adaptation, PlanFor(layers, chain, stop));
      if (!adaptation) return base::Ok();
      const auto write = [&](const std::string& directory, const std::stop_token&) {
        return adaptation->Write(directory);
      };
      RETURN_IF_ERROR(layers.Acquire(id, write, stop));
    }
    added.push_back(id);
    chain.push_back(id);
    return base::Ok();
  };
  for (size_t count = 1; count <= diff_ids.size(); ++count) {
    Status adapted = adapt(count);
    if (adapted.ok()) continue;
    for (const std::string& id : added) layers.Unneed(id);
    return std::move(adapted).error().Wrap("layer " + diff_ids[count - 1] + ": adapt it to the layers below");
  }
  return chain;
}

Status AdaptAnew(const Layers& layers, const std::vector<std::string>& chain, const std::string& directory,
                 const std::stop_token& stop) {
  ASSIGN_OR_RETURN(const auto adaptation, PlanFor(layers, {chain.begin(), chain.end() - 1}, stop));
  if (!adaptation) return base::Internal("the layer needs no adaptation");
  RETURN_IF_ERROR(adaptation->Write(directory));
  return base::Ok();
}

}  // namespace image
