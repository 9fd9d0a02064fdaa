// The images of the store: their records on disk, their names, and who holds them.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/result.h"
#include "image/image_record.h"
#include "image/layers.h"

namespace image {

// Layout below the root: images/<id>.json is an image; removed/<id>.json is one that was removed while somebody held
// it, and keeps its layers until RemoveUnused finds it without a holder. A new record is synced with the layers (see
// Layers::SyncSoon): a power loss may take the image away whole, and never leaves it without them. Removing renames or
// unlinks, so a full disk does not stop it. Thread-safe; layers are not removed here but only no longer needed.
class Catalog {
 public:
  Catalog(std::string root, Layers& layers) : root_(std::move(root)), layers_(layers) {}

  // Reads the records. Those whose layers are not all there are dropped with a log line. Gives whether any was.
  base::Result<bool> Open();

  std::vector<Image> List() const;
  base::Result<std::optional<Image>> Find(const std::string& reference) const;
  std::optional<std::string> TagOf(const std::string& id) const;
  uint64_t Generation() const { return generation_; }
  bool Has(const std::string& id) const;
  // As Find, with what only the store needs to know.
  base::Result<std::optional<ImageRecord>> FindRecord(const std::string& reference) const;
  // Of all images, those included that were removed while somebody held them.
  std::vector<ImageRecord> AllRecords() const;

  // Adds an image whose layers the caller needs once (see FetchLayers), and takes this need over. An image that is
  // there already gets the tags and digests added. Each tag leaves the image that had it. After an error the need is
  // still the caller's.
  base::Status Add(ImageRecord record);
  base::Status Remove(const std::string& reference);

  base::Status Hold(const std::string& id, const std::string& user);
  void Release(const std::string& user);
  base::Status ForgetUnheld();

 private:
  using Records = std::map<std::string, ImageRecord>;  // by id

  base::Result<bool> Load(const std::string& folder, Records& records);
  base::Status SettleTags();
  std::string PathOf(const char* folder, const std::string& id) const;
  base::Status Write(const ImageRecord& record) const;
  void UnneedLayers(const ImageRecord& record);
  bool IsHeld(const std::string& id) const;
  base::Result<std::optional<std::string>> Identify(const std::string& reference) const;

  const std::string root_;
  Layers& layers_;
  // Held by who changes records, over the writing; taken before mutex_.
  std::mutex change_mutex_;
  // Guards what follows; held for moments alone.
  mutable std::mutex mutex_;
  Records images_;
  Records removed_;
  std::map<std::string, std::set<std::string>> held_by_;  // user to image ids
  uint64_t next_sequence_ = 1;
  std::atomic<uint64_t> generation_ = 0;  // read without the mutex
};

}  // namespace image
