// The images that a subcommand works on: those of a running daemon, reached over its socket, or a store that is opened
// here.
#pragma once

#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "base/result.h"
#include "cli/command.h"
#include "image/pull_observer.h"
#include "image/store.h"

namespace cli {

// Calls block and are made one after another. Errors are those of image::Store.
class Images {
 public:
  // The store that the context names. The node's own is the daemon's while that runs, and is opened here otherwise;
  // what containers still run from then stays, as it would with the daemon. Waits for another process that has it open.
  static base::Result<std::unique_ptr<Images>> Open(const Context& context);
  virtual ~Images() = default;

  // Of those listed, `config`, `raw_config` and `layer_directories` may be empty.
  virtual base::Result<std::vector<image::Image>> List() = 0;
  // Nothing when there is none.
  virtual base::Result<std::optional<image::Image>> Find(const std::string& reference) = 0;
  virtual base::Result<std::string> Pull(const std::string& reference, const image::Credentials& credentials,
                                         image::PullObserver& observer) = 0;
  virtual base::Status Remove(const std::string& reference) = 0;
  // Paths are absolute.
  virtual base::Result<std::vector<image::ImportedImage>> Import(const std::string& path) = 0;
  virtual base::Result<image::ExportedImage> Export(const std::string& reference, const std::string& directory) = 0;
  virtual base::Status Check(bool repair, const image::Store::OnLayerChecked& checked) = 0;
};

// Those of the daemon at `socket`; null when none listens there.
std::unique_ptr<Images> DaemonImages(const std::string& socket, std::stop_token stop);

// Opens a store, waiting for another process that has it open. `what` names it in messages.
base::Result<std::unique_ptr<image::Store>> OpenStore(image::StoreOptions options, const std::stop_token& stop);

}  // namespace cli
