// Images of a store that is opened here.

#include <chrono>
#include <iostream>
#include <thread>

#include "cli/images.h"
#include "cli/portable_records.h"
#include "cri/image_holds.h"

namespace cli {
namespace {

using base::Code;
using base::Result;
using base::Status;

constexpr std::chrono::milliseconds kRetry{200};
constexpr std::chrono::seconds kSayThatItWaits{1};

class StoreImages final : public Images {
 public:
  StoreImages(std::unique_ptr<image::Store> store, std::stop_token stop)
      : store_(std::move(store)), stop_(std::move(stop)) {}

  Result<std::vector<image::Image>> List() override { return store_->List(); }
  Result<std::optional<image::Image>> Find(const std::string& reference) override { return store_->Find(reference); }
  Result<std::string> Pull(const std::string& reference, const image::Credentials& credentials,
                           image::PullObserver& observer) override {
    return store_->Pull(reference, credentials, stop_, &observer);
  }
  Status Remove(const std::string& reference) override { return store_->Remove(reference); }
  Result<std::vector<image::ImportedImage>> Import(const std::string& path) override {
    return store_->Import(path, stop_);
  }
  Result<image::ExportedImage> Export(const std::string& reference, const std::string& directory) override {
    return store_->Export(reference, directory, stop_);
  }
  Status Check(bool repair, const image::Store::OnLayerChecked& checked) override {
    return store_->Check(repair, checked, stop_);
  }

 private:
  const std::unique_ptr<image::Store> store_;
  const std::stop_token stop_;
};

}  // namespace

Result<std::unique_ptr<image::Store>> OpenStore(image::StoreOptions options, const std::stop_token& stop) {
  // Archives are the daemon's to import.
  options.import_directory.clear();
  const auto begin = std::chrono::steady_clock::now();
  bool said = false;
  while (true) {
    auto store = image::Store::Open(options);
    if (store.ok() || store.error().code() != Code::kFailedPrecondition) return store;
    if (stop.stop_requested()) return base::Error(Code::kCancelled, "cancelled");
    if (!said && std::chrono::steady_clock::now() - begin > kSayThatItWaits) {
      std::cerr << "waiting: " << store.error().message() << "\n";
      said = true;
    }
    std::this_thread::sleep_for(kRetry);
  }
}

Result<std::unique_ptr<Images>> Images::Open(const Context& context) {
  image::StoreOptions options = context.config.images;
  const bool is_nodes = context.store.empty() && !context.portable;
  if (is_nodes) {
    if (auto daemon = DaemonImages(context.config.socket, context.stop)) return daemon;
  } else {
    options.root = context.portable ? PortableStoreRoot(context.config) : context.store;
  }
  ASSIGN_OR_RETURN(auto store, OpenStore(options, context.stop));
  if (is_nodes) RETURN_IF_ERROR(cri::HoldForContainers(context.config.state_directory, *store));
  if (options.root == PortableStoreRoot(context.config)) {
    RETURN_IF_ERROR(HoldForServices(PortableRecordsDirectory(context.config), *store));
  }
  return std::unique_ptr<Images>(std::make_unique<StoreImages>(std::move(store), context.stop));
}

}  // namespace cli
