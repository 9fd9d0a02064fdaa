#include "image/layers.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <system_error>

#include "base/fault.h"
#include "base/files.h"
#include "base/log.h"
#include "base/text.h"
#include "image/digest.h"
#include "image/json.h"
#include "image/tree_record.h"

namespace image {
namespace {

using base::Code;
using base::ErrnoError;
using base::Error;
using base::Status;

constexpr size_t kMostRecordBytes = 4096;
constexpr size_t kNameDigits = 12;
constexpr uint64_t kNeverSynced = UINT64_MAX;
constexpr std::string_view kRecordSuffix = ".json";
constexpr char kBootIdFile[] = "/proc/sys/kernel/random/boot_id";
// A container that is made right after a pull is not to wait for the disk, and many layers are synced at once; but what
// was pulled is not to be lost long after, either.
constexpr std::chrono::seconds kSyncAfter{2};
constexpr std::chrono::seconds kSyncAtLatest{10};

bool IsDirectory(const std::string& path) {
  struct stat info {};
  return ::lstat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
}

// Whether the tree is what was unpacked.
Status CheckUnsynced(const std::string& tree, const std::string& record_path) {
  ASSIGN_OR_RETURN(const TreeRecord record, LoadTreeRecord(record_path));
  ASSIGN_OR_RETURN(const auto differences, CompareTree(tree, record, {}));
  if (differences.empty()) return base::Ok();
  return Error(Code::kDataLoss,
               "\"" + base::Printable(differences.front().path, 300) + "\" " + differences.front().what);
}

}  // namespace

Status Layers::ReadRecord(const std::string& file) {
  const std::string path = root_ + "/layers/" + file;
  const std::string name = file.substr(0, file.size() - kRecordSuffix.size());
  ASSIGN_OR_RETURN(const std::string text, base::ReadFile(path, kMostRecordBytes));
  ASSIGN_OR_RETURN(const Json record, ParseObject(text, path));
  const std::string diff_id = StringAt(record, "diffID");
  if (!IsDigest(diff_id) || layers_.contains(diff_id))
    return Error(Code::kDataLoss, path + " names no layer of its own");
  if (!IsDirectory(TreePath(name))) return Error(Code::kDataLoss, TreePath(name) + " is missing");
  const std::string boot_id = StringAt(record, "boot");
  if (!boot_id.empty() && boot_id != boot_id_) {
    return Error(Code::kDataLoss, diff_id + " was not yet on disk when the machine went down");
  }
  if (!boot_id.empty()) {
    RETURN_IF_ERROR(CheckUnsynced(TreePath(name), TreeRecordPath(name)).Wrap(diff_id + " was not yet on disk"));
  }
  Layer layer;
  layer.synced = boot_id.empty();
  // What the page cache still holds says nothing about the disk.
  if (UnsignedAt(record, "lost").has_value()) layer.failed_syncs = kNeverSynced;
  layer.serial = next_serial_++;
  layer.name = name;
  layer.size = {UnsignedAt(record, "bytes").value_or(0), UnsignedAt(record, "inodes").value_or(0)};
  usage_.bytes += layer.size.bytes;
  usage_.inodes += layer.size.inodes;
  names_.insert(name);
  layers_.emplace(diff_id, std::move(layer));
  return base::Ok();
}

Status Layers::Open() {
  ASSIGN_OR_RETURN(const std::string boot_id, base::ReadFile(kBootIdFile, 100));
  const std::lock_guard lock(mutex_);
  boot_id_ = base::Trim(boot_id);
  for (const char* name : {"/l", "/layers", "/staging"}) RETURN_IF_ERROR(base::MakeDirectories(root_ + name, 0700));
  root_fd_.reset(::open(root_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!root_fd_) return ErrnoError("open " + root_);
  ASSIGN_OR_RETURN(const auto leftovers, base::ListDirectory(root_ + "/staging"));
  for (const std::string& name : leftovers) RETURN_IF_ERROR(base::RemoveTree(root_ + "/staging/" + name));
  ASSIGN_OR_RETURN(const auto records, base::ListDirectory(root_ + "/layers"));
  for (const std::string& file : records) {
    if (file.ends_with(kRecordSuffix)) {
      const Status read = ReadRecord(file);
      if (read.ok()) continue;
      base::Log(base::LogLevel::kWarning, "image store: a layer is dropped: " + read.error().message());
    }
    if (file.ends_with(kTreeRecordSuffix)) continue;
    RETURN_IF_ERROR(base::RemoveTree(root_ + "/layers/" + file));
  }
  // No record comes back when its tree has begun to go.
  RETURN_IF_ERROR(base::SyncDirectory(root_ + "/layers"));
  for (const std::string& file : records) {
    if (!file.ends_with(kTreeRecordSuffix)) continue;
    if (!names_.contains(file.substr(0, file.size() - kTreeRecordSuffix.size()))) {
      RETURN_IF_ERROR(base::RemoveTree(root_ + "/layers/" + file));
    }
  }
  ASSIGN_OR_RETURN(const auto trees, base::ListDirectory(root_ + "/l"));
  for (const std::string& name : trees) {
    if (!names_.contains(name)) RETURN_IF_ERROR(base::RemoveTree(TreePath(name)));
  }
  try {
    syncer_ = std::jthread([this](const std::stop_token& stop) { SyncInBackground(stop); });
  } catch (const std::system_error&) {
    return Error(Code::kResourceExhausted, "no thread could be started");
  }
  if (std::any_of(layers_.begin(), layers_.end(), [](const auto& layer) { return !layer.second.synced; })) {
    unsynced_since_ = unsynced_last_ = Clock::now();
  }
  return base::Ok();
}

Layers::~Layers() {
  // The thread syncs once more before it ends.
  syncer_.request_stop();
  if (syncer_.joinable()) syncer_.join();
}

std::string Layers::ReserveName(const std::string& diff_id) {
  // Equal beginnings are not accidents but somebody's work: the next free number makes them different.
  const std::string stem(DigestHex(diff_id).substr(0, kNameDigits));
  std::string name = stem;
  for (int number = 2; names_.contains(name) && number < 1000; ++number) name = stem + "-" + std::to_string(number);
  return names_.insert(name).second ? name : "";
}

Status Layers::WriteRecord(const std::string& diff_id, const Layer& layer, OnDisk on_disk) {
  Json record = {{"diffID", diff_id}, {"bytes", layer.size.bytes}, {"inodes", layer.size.inodes}};
  if (on_disk == OnDisk::kYes) return base::WriteFileDurable(RecordPath(layer.name), Dump(record));
  record["boot"] = boot_id_;
  if (on_disk == OnDisk::kLost) record["lost"] = 1;
  return base::WriteFileAtomic(RecordPath(layer.name), Dump(record));
}

base::Result<UnpackedSize> Layers::Make(const std::string& diff_id, const std::string& name, const Fill& fill,
                                        const std::stop_token& stop) {
  ASSIGN_OR_RETURN(const std::string staging, MakeStaging());
  std::string made = staging;
  const auto make = [&]() -> base::Result<UnpackedSize> {
    if (::chmod(staging.c_str(), 0755) != 0) return ErrnoError("set mode of " + staging);
    ASSIGN_OR_RETURN(UnpackedSize size, fill(staging, stop));
    size.bytes += 4096;  // the root directory itself
    ++size.inodes;
    FAULT_POINT("image pull: layer staged");
    // Not every kind of source makes one.
    const std::string record_of_tree = staging + std::string(kTreeRecordSuffix);
    if (::rename(record_of_tree.c_str(), TreeRecordPath(name).c_str()) != 0 && errno != ENOENT) {
      return ErrnoError("rename to " + TreeRecordPath(name));
    }
    if (::rename(staging.c_str(), TreePath(name).c_str()) != 0) return ErrnoError("rename to " + TreePath(name));
    made = TreePath(name);
    FAULT_POINT("image pull: layer in place");
    RETURN_IF_ERROR(WriteRecord(diff_id, {.name = name, .size = size}, OnDisk::kPerhaps));
    FAULT_POINT("image pull: layer recorded");
    return size;
  };
  auto size = make();
  if (!size.ok()) {
    ::unlink(RecordPath(name).c_str());
    ::unlink(TreeRecordPath(name).c_str());
    ::unlink((staging + std::string(kTreeRecordSuffix)).c_str());
    Discard(made);
  }
  return size;
}

Status Layers::Acquire(const std::string& diff_id, const Fill& fill, const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  while (true) {
    if (const auto found = layers_.find(diff_id); found == layers_.end()) {
      break;
    } else if (!found->second.name.empty()) {
      ++found->second.needed;
      return base::Ok();
    }
    const std::shared_ptr<Making> making = making_.at(diff_id);
    ++making->waiting;
    const bool over = changed_.wait(lock, stop, [&] { return making->over; });
    // The maker has counted the need of everybody who waited to the end.
    if (making->made) return base::Ok();
    if (!over) --making->waiting;
    const bool last = !over && making->waiting == 0 && making->unwanted;
    if (!stop.stop_requested()) continue;
    lock.unlock();
    if (last) making->stop.request_stop();
    return Error(Code::kCancelled, "cancelled");
  }
  const uint64_t failed_syncs = failed_syncs_;
  const std::string name = ReserveName(diff_id);
  if (name.empty()) return Error(Code::kResourceExhausted, "too many layers have diff IDs with the same beginning");
  const auto making = std::make_shared<Making>();
  layers_.emplace(diff_id, Layer{});
  making_.emplace(diff_id, making);
  lock.unlock();
  auto size = [&] {
    const std::stop_callback on_stop(stop, [&] {
      {
        const std::lock_guard stop_lock(mutex_);
        making->unwanted = true;
        if (making->waiting > 0) return;
      }
      making->stop.request_stop();
    });
    return Make(diff_id, name, fill, making->stop.get_token());
  }();
  lock.lock();
  if (size.ok()) {
    layers_[diff_id] = Layer{.name = name,
                             .size = *size,
                             .needed = 1 + making->waiting,
                             .failed_syncs = failed_syncs,
                             .serial = next_serial_++};
    usage_.bytes += size->bytes;
    usage_.inodes += size->inodes;
    making->made = true;
  } else {
    layers_.erase(diff_id);
    names_.erase(name);
  }
  making->over = true;
  making_.erase(diff_id);
  changed_.notify_all();
  lock.unlock();
  if (!size.ok()) return std::move(size).error();
  SyncSoon();
  return base::Ok();
}

void Layers::SyncSoon() {
  const std::lock_guard lock(mutex_);
  unsynced_last_ = Clock::now();
  if (!unsynced_since_.has_value()) unsynced_since_ = unsynced_last_;
  sync_changed_.notify_all();
}

Status Layers::SyncNow() {
  std::unique_lock lock(mutex_);
  // One that is under way may have passed by what was written last.
  const uint64_t mine = syncs_begun_ + 1;
  syncs_demanded_ = std::max(syncs_demanded_, mine);
  sync_changed_.notify_all();
  sync_changed_.wait(lock, [&] { return syncs_ended_ >= mine; });
  return last_sync_;
}

void Layers::SyncInBackground(const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  while (true) {
    const auto demanded = [&] { return syncs_demanded_ > syncs_begun_; };
    if (!demanded() && !unsynced_since_.has_value()) {
      if (stop.stop_requested()) return;
      sync_changed_.wait(lock, stop, [&] { return demanded() || unsynced_since_.has_value(); });
      continue;
    }
    if (!demanded() && !stop.stop_requested()) {
      const auto when = std::min(unsynced_last_ + kSyncAfter, *unsynced_since_ + kSyncAtLatest);
      if (Clock::now() < when) {
        sync_changed_.wait_until(lock, stop, when, demanded);
        continue;
      }
    }
    unsynced_since_.reset();
    ++syncs_begun_;
    lock.unlock();
    Status synced = Sync();
    if (!synced.ok()) {
      base::Log(base::LogLevel::kError,
                "image store: layers would not outlive a power loss: " + synced.error().message());
    }
    lock.lock();
    if (!synced.ok()) ++failed_syncs_;
    last_sync_ = std::move(synced);
    ++syncs_ended_;
    sync_changed_.notify_all();
  }
}

Status Layers::Sync() {
  std::vector<std::pair<std::string, uint64_t>> unsynced;  // diff ID and serial
  {
    const std::lock_guard lock(mutex_);
    for (const auto& [diff_id, layer] : layers_) {
      if (!layer.name.empty() && !layer.synced && layer.failed_syncs == failed_syncs_) {
        unsynced.emplace_back(diff_id, layer.serial);
      }
    }
  }
  // One call for all files, instead of one for each.
  Status synced;
  if (::syncfs(root_fd_.get()) != 0) synced = ErrnoError("sync " + root_);
  for (const auto& [diff_id, serial] : unsynced) {
    const std::lock_guard records(records_mutex_);
    Layer layer;
    {
      const std::lock_guard lock(mutex_);
      const auto found = layers_.find(diff_id);
      // It may have been removed meanwhile, or be another one by now.
      if (found == layers_.end() || found->second.name.empty() || found->second.serial != serial) continue;
      layer = found->second;
    }
    if (!synced.ok()) {
      // For a later daemon, whose sync would succeed.
      (void)WriteRecord(diff_id, layer, OnDisk::kLost);
      continue;
    }
    RETURN_IF_ERROR(WriteRecord(diff_id, layer, OnDisk::kYes));
    const std::lock_guard lock(mutex_);
    const auto found = layers_.find(diff_id);
    if (found != layers_.end() && found->second.serial == serial) found->second.synced = true;
  }
  return synced;
}

bool Layers::Need(const std::string& diff_id) {
  const std::lock_guard lock(mutex_);
  const auto found = layers_.find(diff_id);
  if (found == layers_.end() || found->second.name.empty()) return false;
  ++found->second.needed;
  return true;
}

void Layers::Unneed(const std::string& diff_id) {
  const std::lock_guard lock(mutex_);
  const auto found = layers_.find(diff_id);
  if (found != layers_.end() && found->second.needed > 0) --found->second.needed;
}

Status Layers::RemoveUnneeded() {
  std::vector<Layer> going;
  std::set<std::string> trees;
  {
    const std::lock_guard lock(mutex_);
    for (auto layer = layers_.begin(); layer != layers_.end();) {
      if (layer->second.name.empty() || layer->second.needed > 0) {
        ++layer;
        continue;
      }
      usage_.bytes -= layer->second.size.bytes;
      usage_.inodes -= layer->second.size.inodes;
      going.push_back(std::move(layer->second));
      layer = layers_.erase(layer);
    }
    trees.swap(leftovers_);
  }
  if (going.empty() && trees.empty()) return base::Ok();
  Status first;
  const auto note = [&](Status status) {
    if (first.ok() && !status.ok()) first = std::move(status);
  };
  {
    // The syncing thread does not write a record anew that goes.
    const std::lock_guard records(records_mutex_);
    for (const Layer& layer : going) {
      if (::unlink(RecordPath(layer.name).c_str()) != 0 && errno != ENOENT)
        note(ErrnoError("remove " + RecordPath(layer.name)));
    }
  }
  note(base::SyncDirectory(root_ + "/layers"));
  FAULT_POINT("image remove: records of layers removed");
  // A record that may come back keeps its tree until the store is opened again.
  if (first.ok()) {
    for (const Layer& layer : going) {
      ::unlink(TreeRecordPath(layer.name).c_str());
      trees.insert(TreePath(layer.name));
    }
  }
  for (const std::string& tree : trees) note(base::RemoveTree(tree));
  const std::lock_guard lock(mutex_);
  for (const std::string& tree : trees) {
    // What could not be removed keeps its name until it can.
    if (IsDirectory(tree)) {
      leftovers_.insert(tree);
    } else {
      names_.erase(tree.substr(tree.rfind('/') + 1));
    }
  }
  return first;
}

void Layers::Discard(const std::string& path) {
  const Status removed = base::RemoveTree(path);
  if (removed.ok()) return;
  base::Log(base::LogLevel::kWarning, "image store: " + removed.error().message());
  const std::lock_guard lock(mutex_);
  leftovers_.insert(path);
}

bool Layers::Has(const std::string& diff_id) const {
  const std::lock_guard lock(mutex_);
  const auto found = layers_.find(diff_id);
  return found != layers_.end() && !found->second.name.empty();
}

std::string Layers::TreeRecordOf(const std::string& diff_id) const {
  const std::lock_guard lock(mutex_);
  const auto found = layers_.find(diff_id);
  return found == layers_.end() ? "" : TreeRecordPath(found->second.name);
}

std::string Layers::DirectoryOf(const std::string& diff_id) const {
  const std::lock_guard lock(mutex_);
  const auto found = layers_.find(diff_id);
  return found == layers_.end() ? "" : TreePath(found->second.name);
}

UnpackedSize Layers::Usage() const {
  const std::lock_guard lock(mutex_);
  return usage_;
}

base::Result<std::string> Layers::MakeStaging() const {
  const std::string path = root_ + "/staging/" + base::RandomHex(8);
  if (::mkdir(path.c_str(), 0700) != 0) return ErrnoError("make directory " + path);
  return path;
}

}  // namespace image
