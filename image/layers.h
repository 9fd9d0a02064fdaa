// Unpacked layers on disk, one directory for each diff ID.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "image/unpack.h"

namespace image {

// Layout below the root: l/<name> is the tree of a layer, with a name of at most 16 characters, since mount(2) takes
// one page of options for all lower directories of an overlay; layers/<name>.json records its diff ID and size;
// staging/ is where trees grow. A layer exists once its record does: the tree is renamed before the record is written,
// and the record goes before the tree.
//
// Who adds a layer does not wait for the disk. Until its tree is synced, the record names the boot in which it was
// written: it outlives a crash of the process, but after a power loss the layer is dropped. A thread syncs everything
// that is new at once, shortly after the last layer came, and then writes the records without the boot. Of the same
// boot, too, an unsynced layer is only taken over when it equals the record of its tree: a disk can lose its power by
// itself. What was being written when a sync failed is never taken as synced, since the kernel reports a lost page
// once.
//
// Layers are counted by who needs them: images and pulls. One that nobody needs goes with the next RemoveUnneeded.
// Thread-safe.
class Layers {
 public:
  explicit Layers(std::string root) : root_(std::move(root)) {}
  // Syncs what is not synced yet.
  ~Layers();
  Layers(const Layers&) = delete;
  Layers& operator=(const Layers&) = delete;

  // Makes the directories, removes what an interrupted operation left and learns which layers there are.
  base::Status Open();

  // Fills an empty directory with a layer's tree and says what it takes. `stop` tells that nobody wants it any longer.
  using Fill = std::function<base::Result<UnpackedSize>(const std::string& directory, const std::stop_token& stop)>;

  // Makes sure that the layer is there, and needs it once more. Where another thread is at the same layer this one
  // waits for it, and tries itself if the other fails. A thread that is stopped while others wait for what it does goes
  // on for them. `fill` runs without a lock held.
  base::Status Acquire(const std::string& diff_id, const Fill& fill, const std::stop_token& stop);

  // Needs a layer once more; false if it is not there.
  bool Need(const std::string& diff_id);
  // Needs it once less.
  void Unneed(const std::string& diff_id);
  // Removes layers that nobody needs, and what could not be removed before. Goes on after an error and gives the first.
  base::Status RemoveUnneeded();
  // Removes a tree of the store that is of no use, at the latest when it can be.
  void Discard(const std::string& path);

  // Has everything in the root's file system synced soon, in the background.
  void SyncSoon();
  // Does it now: layers and whatever else was written before the call outlive a power loss.
  base::Status SyncNow();

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
    bool synced = false;
    uint64_t failed_syncs = 0;  // when its making began
    uint64_t serial = 0;        // tells it from one of the same name that went before
  };
  // A layer that is being made: who waits for it, and whether the maker's own caller has stopped.
  struct Making {
    int waiting = 0;
    bool unwanted = false;
    bool over = false;
    bool made = false;
    std::stop_source stop;
  };
  using Clock = std::chrono::steady_clock;

  base::Status ReadRecord(const std::string& file);
  base::Result<UnpackedSize> Make(const std::string& diff_id, const std::string& name, const Fill& fill,
                                  const std::stop_token& stop);
  enum class OnDisk { kPerhaps, kYes, kLost };
  base::Status WriteRecord(const std::string& diff_id, const Layer& layer, OnDisk on_disk);
  void SyncInBackground(const std::stop_token& stop);
  base::Status Sync();
  std::string ReserveName(const std::string& diff_id);
  std::string TreePath(const std::string& name) const { return root_ + "/l/" + name; }
  std::string RecordPath(const std::string& name) const { return root_ + "/layers/" + name + ".json"; }
  std::string TreeRecordPath(const std::string& name) const { return root_ + "/layers/" + name + ".tree"; }

  const std::string root_;
  mutable std::mutex mutex_;
  std::condition_variable_any changed_;
  std::map<std::string, Layer> layers_;                    // by diff ID
  std::set<std::string> leftovers_;                        // trees that could not be removed
  std::set<std::string> names_;                            // in use, by layers that come, are there or go
  std::map<std::string, std::shared_ptr<Making>> making_;  // by diff ID
  UnpackedSize usage_;
  uint64_t next_serial_ = 1;
  std::string boot_id_;
  // Open since before anything was written: syncfs(2) reports to a descriptor what went wrong since its last report.
  base::UniqueFd root_fd_;

  // Held while records are written by the syncing thread or removed; taken before mutex_.
  std::mutex records_mutex_;
  // When there was first, and last, something to sync; nothing when all is synced.
  std::optional<Clock::time_point> unsynced_since_;
  Clock::time_point unsynced_last_;
  // Syncs that were begun and ended, and up to which one somebody waits for.
  uint64_t syncs_begun_ = 0;
  uint64_t syncs_ended_ = 0;
  uint64_t syncs_demanded_ = 0;
  uint64_t failed_syncs_ = 0;
  base::Status last_sync_;
  std::condition_variable_any sync_changed_;
  std::jthread syncer_;
};

}  // namespace image
