#include "image/store.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <set>

#include "base/fd.h"
#include "base/files.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/text.h"
#include "image/archive.h"
#include "image/catalog.h"
#include "image/hosts.h"
#include "image/importer.h"
#include "image/layer_chain.h"
#include "image/layer_fetch.h"
#include "image/layers.h"
#include "image/pull.h"
#include "image/pull_observer.h"
#include "image/reference.h"
#include "image/registry.h"
#include "image/shared_pulls.h"
#include "image/signature_check.h"
#include "image/signature_policy.h"
#include "image/tree_record.h"

namespace image {
namespace {

using base::Code;
using base::ErrnoError;
using base::Error;
using base::Status;

// An archive holds the layers of several images, each within its own bound.
constexpr uint64_t kMostArchiveLayers = 1000;

std::string NameOf(const ImportedImage& image) {
  return image.names.empty() ? "an image without a name" : image.names.front();
}

class DiskStore : public Store {
 public:
  explicit DiskStore(StoreOptions options)
      : options_(std::move(options)),
        bounds_{options_.most_layer_bytes, options_.most_layer_entries},
        slots_(std::max(1U, options_.parallel_layers)),
        layers_(options_.root),
        catalog_(options_.root, layers_) {}

  Status Start();

  std::vector<Image> List() const override { return catalog_.List(); }
  base::Result<std::optional<Image>> Find(const std::string& reference) const override {
    return catalog_.Find(reference);
  }
  std::optional<std::string> TagOf(const std::string& id) const override { return catalog_.TagOf(id); }
  uint64_t Generation() const override { return catalog_.Generation(); }
  base::Result<std::string> Pull(const std::string& reference, const Credentials& credentials,
                                 std::stop_token cancelled, PullObserver* observer) override;
  base::Result<std::vector<ImportedImage>> Import(const std::string& path, std::stop_token cancelled) override;
  base::Result<ExportedImage> Export(const std::string& reference, const std::string& directory,
                                     std::stop_token cancelled) override;
  Status Check(bool repair, const OnLayerChecked& checked, std::stop_token cancelled) override;
  Status Remove(const std::string& reference) override {
    RETURN_IF_ERROR(catalog_.Remove(reference));
    return layers_.RemoveUnneeded();
  }
  Status Hold(const std::string& id, const std::string& user) override { return catalog_.Hold(id, user); }
  void Release(const std::string& user) override { catalog_.Release(user); }
  Status RemoveUnused() override {
    RETURN_IF_ERROR(catalog_.ForgetUnheld());
    return layers_.RemoveUnneeded();
  }
  base::Result<FilesystemUsage> Usage() const override {
    const UnpackedSize size = layers_.Usage();
    return FilesystemUsage{options_.root, size.bytes, size.inodes};
  }

 private:
  Status Lock();
  std::shared_ptr<Slots> RegistrySlots(const std::string& domain);
  // Resolves what the signature policy lets be pulled.
  base::Result<ResolvedImage> ResolvePermitted(const Reference& reference, Registry& registry,
                                               const std::stop_token& stop) const;
  base::Result<std::string> PullFrom(const Reference& reference, const Credentials& credentials,
                                     const std::stop_token& stop, PullObserver* observer);
  void Tell(PullObserver& observer, const ResolvedImage& image) const;
  Status Install(Source& source, ResolvedImage image, const std::vector<Reference>& names,
                 const std::vector<Slots*>& slots, const std::stop_token& stop);
  base::Result<std::vector<ImportedImage>> ImportDirectory(const std::string& directory, const std::string& name,
                                                           const std::stop_token& stop);
  base::Result<CheckedLayer> CheckOne(const std::string& id, const UnpackAnew& anew, const std::stop_token& stop);
  Status CheckForImages(const std::string& id, size_t height, const std::vector<const ImageRecord*>& images,
                        bool repair, const OnLayerChecked& checked, const std::stop_token& stop);
  Status UnpackAgain(const std::string& diff_id, const std::vector<const ImageRecord*>& images,
                     const std::string& directory, const std::stop_token& stop);

  const StoreOptions options_;
  const UnpackBounds bounds_;
  std::optional<SignaturePolicy> policy_;
  base::UniqueFd lock_;
  Slots slots_;
  std::mutex registry_slots_mutex_;
  std::map<std::string, std::weak_ptr<Slots>> registry_slots_;  // by domain
  SharedPulls pulls_;
  Layers layers_;
  Catalog catalog_;
  // Last, so that its thread ends before what it uses goes.
  std::unique_ptr<Importer> importer_;
};

Status DiskStore::Lock() {
  const std::string path = options_.root + "/lock";
  lock_.reset(::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600));
  if (!lock_) return ErrnoError("open " + path);
  if (::flock(lock_.get(), LOCK_EX | LOCK_NB) == 0) return base::Ok();
  if (errno != EWOULDBLOCK) return ErrnoError("lock " + path);
  return Error(Code::kFailedPrecondition, "another process uses it (" + path + " is locked)");
}

Status DiskStore::Start() {
  if (!options_.signature_policy.empty()) {
    ASSIGN_OR_RETURN(policy_, SignaturePolicy::Load(options_.signature_policy));
  }
  RETURN_IF_ERROR(base::MakeDirectories(options_.root, 0755));
  // Programs with setuid bits in the layers are not for the host's users.
  if (::chmod(options_.root.c_str(), 0700) != 0) return ErrnoError("set mode of " + options_.root);
  RETURN_IF_ERROR(Lock());
  RETURN_IF_ERROR(layers_.Open());
  ASSIGN_OR_RETURN(const bool dropped, catalog_.Open());
  RETURN_IF_ERROR(layers_.RemoveUnneeded());
  if (options_.import_directory.empty()) return base::Ok();
  const std::string memory = options_.root + "/imported.json";
  // Images that were lost may have come from an archive.
  if (dropped) ::unlink(memory.c_str());
  importer_ = std::make_unique<Importer>(
      options_.import_directory, memory, [this](const std::string& path, const std::stop_token& stop) -> Status {
        ASSIGN_OR_RETURN(const std::vector<ImportedImage> images, Import(path, stop));
        for (const ImportedImage& image : images) {
          base::Log(base::LogLevel::kInfo, "image import: " + NameOf(image) + " is imported as " + image.id);
        }
        return base::Ok();
      });
  importer_->Start();
  return base::Ok();
}

std::shared_ptr<Slots> DiskStore::RegistrySlots(const std::string& domain) {
  const std::lock_guard lock(registry_slots_mutex_);
  std::erase_if(registry_slots_, [](const auto& slots) { return slots.second.expired(); });
  std::shared_ptr<Slots> slots = registry_slots_[domain].lock();
  if (!slots) {
    slots = std::make_shared<Slots>(std::max(1U, options_.parallel_layers_per_registry));
    registry_slots_[domain] = slots;
  }
  return slots;
}

Status DiskStore::Install(Source& source, ResolvedImage image, const std::vector<Reference>& names,
                          const std::vector<Slots*>& slots, const std::stop_token& stop) {
  ImageRecord record;
  Status fetched =
      FetchLayers(source, image, layers_, slots, std::max(1U, options_.parallel_layers_per_image), bounds_, stop);
  if (fetched.ok()) {
    // What is needed from here on.
    record.layers = image.config.diff_ids;
    auto layers = AdaptLayers(layers_, image.config.diff_ids, stop);
    if (layers.ok()) {
      record.layers = *std::move(layers);
    } else {
      fetched = std::move(layers).error();
    }
  }
  const std::set<std::string> needed(record.layers.begin(), record.layers.end());
  if (fetched.ok()) {
    record.image.id = image.id();
    record.image.size = image.size();
    record.image.os = image.config.platform.os;
    record.image.architecture = image.config.platform.architecture;
    record.image.config = std::move(image.config.config);
    record.image.raw_config = std::move(image.raw_config);
    record.diff_ids = image.config.diff_ids;
    for (const Reference& name : names) {
      if (name.digest.empty()) record.image.tags.push_back(name.ToString());
      const std::string& digest = name.digest.empty() ? image.digest : name.digest;
      if (!digest.empty()) record.image.digests.push_back(name.Name() + "@" + digest);
    }
    fetched = catalog_.Add(std::move(record));
    if (fetched.ok()) return fetched;
  }
  for (const std::string& layer : needed) layers_.Unneed(layer);
  if (const Status removed = layers_.RemoveUnneeded(); !removed.ok()) {
    base::Log(base::LogLevel::kWarning, "image store: " + removed.error().message());
  }
  return fetched;
}

void DiskStore::Tell(PullObserver& observer, const ResolvedImage& image) const {
  std::vector<PulledLayer> layers;
  std::set<std::string> seen;
  for (size_t i = 0; i < image.manifest.layers.size(); ++i) {
    const Descriptor& layer = image.manifest.layers[i];
    const std::string& diff_id = image.config.diff_ids[i];
    if (seen.insert(diff_id).second) layers.push_back({layer.digest, layer.size, layers_.Has(diff_id)});
  }
  observer.OnLayers(layers);
}

base::Result<ResolvedImage> DiskStore::ResolvePermitted(const Reference& reference, Registry& registry,
                                                        const std::stop_token& stop) const {
  const SignatureRequirements* requirements = policy_ ? &policy_->For(reference) : nullptr;
  const auto refused = [&](const std::string& why) {
    return Error(Code::kUnknown, std::string(kSignatureValidationFailed) + ": pull " + reference.ToString() + ": " +
                                     requirements->scope + " of the signature policy: " + why);
  };
  if (requirements != nullptr && requirements->Reject()) return refused("it is rejected whatever its signatures");
  ASSIGN_OR_RETURN(ResolvedImage image,
                   ResolveImage(registry, reference.digest.empty() ? reference.tag : reference.digest, stop));
  if (requirements != nullptr && requirements->NeedSignatures()) {
    ASSIGN_OR_RETURN(const SignatureVerdict verdict,
                     CheckSignatures(*requirements, reference, image.documents, registry, stop));
    if (!verdict.refusal.empty()) return refused(verdict.refusal);
  }
  image.documents.clear();
  return image;
}

base::Result<std::string> DiskStore::PullFrom(const Reference& reference, const Credentials& credentials,
                                              const std::stop_token& stop, PullObserver* observer) {
  ASSIGN_OR_RETURN(auto hosts, LoadRegistryHosts(options_.hosts_directory, reference.domain));
  Registry registry(reference, std::move(hosts), credentials, options_.idle_timeout);
  ASSIGN_OR_RETURN(ResolvedImage image, ResolvePermitted(reference, registry, stop));
  std::string id = image.id();
  const std::shared_ptr<Slots> registry_slots = RegistrySlots(reference.domain);
  const std::vector<Slots*> slots = {registry_slots.get(), &slots_};
  if (observer == nullptr) {
    RETURN_IF_ERROR(Install(registry, std::move(image), {reference}, slots, stop));
    return id;
  }
  Tell(*observer, image);
  ObservedSource source(registry, *observer);
  RETURN_IF_ERROR(Install(source, std::move(image), {reference}, slots, stop));
  return id;
}

base::Result<std::string> DiskStore::Pull(const std::string& reference, const Credentials& credentials,
                                          std::stop_token cancelled, PullObserver* observer) {
  ASSIGN_OR_RETURN(const Reference parsed, ParseReference(reference));
  auto id = pulls_.Run(
      parsed.ToString(), credentials,
      [&](const std::stop_token& stop) { return PullFrom(parsed, credentials, stop, observer); }, cancelled);
  // The buffers of a pull would otherwise stay with the allocator of an idle daemon.
  base::ReleaseFreedMemory();
  if (id.ok()) return id;
  // Whatever failed, the caller's own stop is the reason.
  Error error = std::move(id).error();
  if (cancelled.stop_requested()) error = Error(Code::kCancelled, "cancelled");
  if (error.message().starts_with(kSignatureValidationFailed)) return error;
  return std::move(error).Wrap("pull " + parsed.ToString());
}

base::Result<std::vector<ImportedImage>> DiskStore::ImportDirectory(const std::string& directory,
                                                                    const std::string& name,
                                                                    const std::stop_token& stop) {
  ASSIGN_OR_RETURN(const auto archive, Archive::Open(directory, name));
  std::vector<ImportedImage> imported;
  for (const Archive::Entry& entry : archive->entries()) {
    ImportedImage done;
    for (const Reference& reference : entry.names) done.names.push_back(reference.ToString());
    auto image = archive->Resolve(entry, stop);
    if (!image.ok()) return std::move(image).error().Wrap(NameOf(done));
    done.id = image->id();
    RETURN_IF_ERROR(Install(*archive, *std::move(image), entry.names, {&slots_}, stop).Wrap(NameOf(done)));
    imported.push_back(std::move(done));
  }
  return imported;
}

base::Result<std::vector<ImportedImage>> DiskStore::Import(const std::string& path, std::stop_token cancelled) {
  const std::string name = path.substr(path.rfind('/') + 1);
  struct stat info {};
  if (::stat(path.c_str(), &info) != 0) return ErrnoError("import " + path);
  if (S_ISDIR(info.st_mode)) {
    ASSIGN_OR_RETURN(auto imported, ImportDirectory(path, name, cancelled).Wrap("import " + path));
    RETURN_IF_ERROR(layers_.SyncNow());
    return imported;
  }
  ASSIGN_OR_RETURN(const std::string staging, layers_.MakeStaging());
  UnpackBounds bounds = bounds_;
  bounds.most_bytes *= kMostArchiveLayers;
  const auto import = [&]() -> base::Result<std::vector<ImportedImage>> {
    RETURN_IF_ERROR(UnpackArchive(path, staging, bounds, cancelled));
    return ImportDirectory(staging, name, cancelled);
  };
  auto imported = import();
  layers_.Discard(staging);
  // That it was imported is remembered, so the images must not be lost after that.
  if (imported.ok()) RETURN_IF_ERROR(layers_.SyncNow().Wrap("import " + path));
  return std::move(imported).Wrap("import " + path);
}

base::Result<ExportedImage> DiskStore::Export(const std::string& reference, const std::string& directory,
                                              std::stop_token cancelled) {
  ASSIGN_OR_RETURN(const auto record, catalog_.FindRecord(reference));
  if (!record.has_value()) return base::NotFound("image " + base::Printable(reference) + ": not found");
  ExportSource source{record->image.id, record->image.tags, record->image.raw_config, record->diff_ids, {}, {}};
  std::vector<std::string> needed;
  bool all = true;
  for (const std::string& diff_id : record->diff_ids) {
    all = all && layers_.Need(diff_id);
    if (!all) break;
    needed.push_back(diff_id);
    source.layer_directories.push_back(layers_.DirectoryOf(diff_id));
    auto implied = LoadImpliedPaths(layers_.TreeRecordOf(diff_id));
    // What has no record is packed as it is.
    source.implied_directories.push_back(implied.ok() ? std::move(implied->directories) : std::set<std::string>());
  }
  base::Result<ExportedImage> exported = base::NotFound("image " + base::Printable(reference) + ": not found");
  if (all) exported = ExportLayout(source, directory, cancelled);
  for (const std::string& diff_id : needed) layers_.Unneed(diff_id);
  RETURN_IF_ERROR(layers_.RemoveUnneeded());
  return exported;
}

Status DiskStore::UnpackAgain(const std::string& diff_id, const std::vector<const ImageRecord*>& images,
                              const std::string& directory, const std::stop_token& stop) {
  Status last = base::NotFound("no image that has it says where it was pulled from");
  for (const ImageRecord* record : images) {
    for (const std::string& name : record->image.digests) {
      const auto unpack = [&]() -> Status {
        ASSIGN_OR_RETURN(const Reference reference, ParseReference(name));
        ASSIGN_OR_RETURN(auto hosts, LoadRegistryHosts(options_.hosts_directory, reference.domain));
        Registry registry(reference, std::move(hosts), {}, options_.idle_timeout);
        ASSIGN_OR_RETURN(const ResolvedImage image, ResolvePermitted(reference, registry, stop));
        const auto& diff_ids = image.config.diff_ids;
        const auto found = std::find(diff_ids.begin(), diff_ids.end(), diff_id);
        if (found == diff_ids.end()) return Error(Code::kDataLoss, "it does not have this layer");
        const Descriptor& layer = image.manifest.layers[static_cast<size_t>(found - diff_ids.begin())];
        // A host whose copy is bad is not asked again, so this ends.
        while (true) {
          const auto size = FetchLayer(registry, layer, diff_id, directory, bounds_, stop);
          if (size.ok()) return base::Ok();
          RETURN_IF_ERROR(base::RemoveTree(directory));
          RETURN_IF_ERROR(base::MakeDirectories(directory, 0755));
          if (size.error().code() != Code::kAborted) return size.error();
        }
      };
      last = unpack().Wrap(name);
      if (last.ok() || stop.stop_requested()) return last;
    }
  }
  return last;
}

base::Result<CheckedLayer> DiskStore::CheckOne(const std::string& id, const UnpackAnew& anew,
                                               const std::stop_token& stop) {
  ASSIGN_OR_RETURN(const std::string staging, layers_.MakeStaging());
  auto layer = CheckLayer(layers_.DirectoryOf(id), layers_.TreeRecordOf(id), anew, staging, stop);
  layers_.Discard(staging);
  layers_.Discard(staging + std::string(kTreeRecordSuffix));
  return layer;
}

Status DiskStore::Check(bool repair, const OnLayerChecked& checked, std::stop_token cancelled) {
  const std::vector<ImageRecord> records = catalog_.AllRecords();
  // An adaptation is made of what lies below it, so that comes first.
  struct Checked {
    std::string id;
    size_t height = 0;  // 0 but for adaptations
    std::vector<const ImageRecord*> images;
  };
  std::map<std::string, Checked> all;
  for (const ImageRecord& record : records) {
    const std::set<std::string> diff_ids(record.diff_ids.begin(), record.diff_ids.end());
    for (size_t i = 0; i < record.layers.size(); ++i) {
      Checked& layer = all[record.layers[i]];
      layer.id = record.layers[i];
      if (!diff_ids.contains(layer.id)) layer.height = i;
      if (layer.images.empty() || layer.images.back() != &record) layer.images.push_back(&record);
    }
  }
  std::vector<Checked> sorted;
  sorted.reserve(all.size());
  for (auto& [id, layer] : all) sorted.push_back(std::move(layer));
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const Checked& a, const Checked& b) { return a.height < b.height; });
  for (const Checked& layer : sorted)
    RETURN_IF_ERROR(CheckForImages(layer.id, layer.height, layer.images, repair, checked, cancelled));
  return base::Ok();
}

Status DiskStore::CheckForImages(const std::string& id, size_t height, const std::vector<const ImageRecord*>& images,
                                 bool repair, const OnLayerChecked& checked, const std::stop_token& stop) {
  const auto& all = images.front()->layers;
  const std::vector<std::string> chain(all.begin(), all.begin() + static_cast<ptrdiff_t>(height > 0 ? height + 1 : 0));
  // What is removed meanwhile is not checked.
  std::vector<std::string> needed;
  bool there = layers_.Need(id);
  if (there) needed.push_back(id);
  for (const std::string& below : chain) {
    there = there && layers_.Need(below);
    if (there) needed.push_back(below);
  }
  const auto check = [&]() -> Status {
    if (!there) return base::Ok();
    UnpackAnew anew;
    if (repair && height > 0) {
      anew = [&](const std::string& directory) {
        return AdaptAnew(layers_, chain, directory, stop).Wrap("make it anew");
      };
    } else if (repair) {
      anew = [&](const std::string& directory) {
        return UnpackAgain(id, images, directory, stop).Wrap("pull it again");
      };
    }
    ASSIGN_OR_RETURN(CheckedLayer layer, CheckOne(id, anew, stop));
    layer.diff_id = height > 0 ? chain[height - 1] : id;
    layer.adaptation = height > 0;
    for (const ImageRecord* record : images) {
      layer.images.push_back(record->image.tags.empty() ? record->image.id : record->image.tags.front());
    }
    checked(layer);
    return base::Ok();
  };
  const Status status = check();
  for (const std::string& layer : needed) layers_.Unneed(layer);
  RETURN_IF_ERROR(layers_.RemoveUnneeded());
  return Status(status).Wrap("check layer " + id);
}

}  // namespace

base::Result<std::unique_ptr<Store>> Store::Open(StoreOptions options) {
  while (options.root.size() > 1 && options.root.ends_with('/')) options.root.pop_back();
  if (!options.root.starts_with('/')) return base::InvalidArgument("the image store's root must be an absolute path");
  const std::string root = options.root;
  auto store = std::make_unique<DiskStore>(std::move(options));
  Status started = store->Start();
  if (!started.ok()) return std::move(started).error().Wrap("open the image store " + root);
  return std::unique_ptr<Store>(std::move(store));
}

}  // namespace image
