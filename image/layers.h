// Unpacked layers on disk, one directory for each diff ID.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <set>
#include <stop_token>
#include <string>
#include <vector>

#include "base/result.h"
#include "image/unpack.h"

namespace image {

// Layout below the root: l/<name> is the tree of a layer, with a name of at most 16 characters, since mount(2) takes
// one page of options for all lower directories of an overlay; layers/<name>.json records its diff ID and size;
// staging/ is where trees grow. A layer exists once its record does: the tree is synced and renamed before the record
// is written, and the record goes before the tree.
//
// Layers are counted by who needs them: images and pulls. One that nobody needs goes with the next RemoveUnneeded.
// Thread-safe.
class Layers {
 public:
  explicit Layers(std::string root) : root_(std::move(root)) {}

  // Makes the directories, removes what an interrupted operation left and learns which layers there are.
  base::Status Open();

  // Fills an empty directory with a layer's tree and says what it takes.
  using Fill = std::function<base::Result<UnpackedSize>(const std::string& directory)>;

  // Makes sure that the layer is there, and needs it once more. Where another thread is at the same layer this one
  // waits for it, and tries itself if the other fails. `fill` runs without a lock held.
  base::Status Acquire(const std::string& diff_id, const Fill& fill, const std::stop_token& stop);

  // Needs a layer once more; false if it is not there.
  bool Need(const std::string& diff_id);
  // Needs it once less.
  void Unneed(const std::string& diff_id);
  // Removes layers that nobody needs. Goes on after an error and gives the first.
  base::Status RemoveUnneeded();

  bool Has(const std::string& diff_id) const;
  // The absolute directory of a layer that is needed.
  std::string DirectoryOf(const std::string& diff_id) const;
  // The file with its tree's record; it is missing for a layer that was unpacked before there were such.
  std::string TreeRecordOf(const std::string& diff_id) const;
  UnpackedSize Usage() const;

  // A new empty directory in staging/, for other work that must vanish with a crash.
  base::Result<std::string> MakeStaging() const;

 private:
  struct Layer {
    std::string name;  // empty while it is being made
    UnpackedSize size;
    int needed = 0;
  };

  base::Status ReadRecord(const std::string& file);
  base::Result<UnpackedSize> Make(const std::string& diff_id, const std::string& name, const Fill& fill);
  std::string ReserveName(const std::string& diff_id);
  std::string TreePath(const std::string& name) const { return root_ + "/l/" + name; }
  std::string RecordPath(const std::string& name) const { return root_ + "/layers/" + name + ".json"; }
  std::string TreeRecordPath(const std::string& name) const { return root_ + "/layers/" + name + ".tree"; }

  const std::string root_;
  mutable std::mutex mutex_;
  std::condition_variable_any changed_;
  std::map<std::string, Layer> layers_;  // by diff ID
  std::set<std::string> names_;          // in use, by layers that come, are there or go
  UnpackedSize usage_;
};

}  // namespace image
