#include "image/layers.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

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
constexpr std::string_view kRecordSuffix = ".json";

bool IsDirectory(const std::string& path) {
  struct stat info {};
  return ::lstat(path.c_str(), &info) == 0 && S_ISDIR(info.st_mode);
}

// One call for all files of a layer, instead of one for each.
Status SyncFileSystem(const std::string& directory) {
  const base::UniqueFd fd(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) return ErrnoError("open " + directory);
  if (::syncfs(fd.get()) != 0) return ErrnoError("sync " + directory);
  return base::Ok();
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
  Layer layer;
  layer.name = name;
  layer.size = {UnsignedAt(record, "bytes").value_or(0), UnsignedAt(record, "inodes").value_or(0)};
  usage_.bytes += layer.size.bytes;
  usage_.inodes += layer.size.inodes;
  names_.insert(name);
  layers_.emplace(diff_id, std::move(layer));
  return base::Ok();
}

Status Layers::Open() {
  const std::lock_guard lock(mutex_);
  for (const char* name : {"/l", "/layers", "/staging"}) RETURN_IF_ERROR(base::MakeDirectories(root_ + name, 0700));
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
  return base::Ok();
}

std::string Layers::ReserveName(const std::string& diff_id) {
  // Equal beginnings are not accidents but somebody's work: the next free number makes them different.
  const std::string stem(DigestHex(diff_id).substr(0, kNameDigits));
  std::string name = stem;
  for (int number = 2; names_.contains(name) && number < 1000; ++number) name = stem + "-" + std::to_string(number);
  return names_.insert(name).second ? name : "";
}

base::Result<UnpackedSize> Layers::Make(const std::string& diff_id, const std::string& name, const Fill& fill) {
  ASSIGN_OR_RETURN(const std::string staging, MakeStaging());
  std::string made = staging;
  const auto make = [&]() -> base::Result<UnpackedSize> {
    if (::chmod(staging.c_str(), 0755) != 0) return ErrnoError("set mode of " + staging);
    ASSIGN_OR_RETURN(UnpackedSize size, fill(staging));
    size.bytes += 4096;  // the root directory itself
    ++size.inodes;
    RETURN_IF_ERROR(SyncFileSystem(staging));
    // Synced with the tree; not every kind of source makes one.
    const std::string record_of_tree = staging + std::string(kTreeRecordSuffix);
    if (::rename(record_of_tree.c_str(), TreeRecordPath(name).c_str()) != 0 && errno != ENOENT) {
      return ErrnoError("rename to " + TreeRecordPath(name));
    }
    if (::rename(staging.c_str(), TreePath(name).c_str()) != 0) return ErrnoError("rename to " + TreePath(name));
    made = TreePath(name);
    RETURN_IF_ERROR(base::SyncDirectory(root_ + "/l"));
    const Json record = {{"diffID", diff_id}, {"bytes", size.bytes}, {"inodes", size.inodes}};
    RETURN_IF_ERROR(base::WriteFileDurable(RecordPath(name), Dump(record)));
    return size;
  };
  auto size = make();
  if (!size.ok()) {
    ::unlink(RecordPath(name).c_str());
    ::unlink(TreeRecordPath(name).c_str());
    ::unlink((staging + std::string(kTreeRecordSuffix)).c_str());
    if (const Status removed = base::RemoveTree(made); !removed.ok()) {
      base::Log(base::LogLevel::kError, "image store: " + removed.error().message());
    }
  }
  return size;
}

Status Layers::Acquire(const std::string& diff_id, const Fill& fill, const std::stop_token& stop) {
  std::unique_lock lock(mutex_);
  while (true) {
    const auto found = layers_.find(diff_id);
    if (found == layers_.end()) break;
    if (!found->second.name.empty()) {
      ++found->second.needed;
      return base::Ok();
    }
    changed_.wait(lock, stop, [&] {
      const auto layer = layers_.find(diff_id);
      return layer == layers_.end() || !layer->second.name.empty();
    });
    if (stop.stop_requested()) return Error(Code::kCancelled, "cancelled");
  }
  const std::string name = ReserveName(diff_id);
  if (name.empty()) return Error(Code::kResourceExhausted, "too many layers have diff IDs with the same beginning");
  layers_.emplace(diff_id, Layer{});
  lock.unlock();
  auto size = Make(diff_id, name, fill);
  lock.lock();
  if (size.ok()) {
    layers_[diff_id] = Layer{name, *size, 1};
    usage_.bytes += size->bytes;
    usage_.inodes += size->inodes;
  } else {
    layers_.erase(diff_id);
    names_.erase(name);
  }
  changed_.notify_all();
  if (!size.ok()) return std::move(size).error();
  return base::Ok();
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
  }
  if (going.empty()) return base::Ok();
  Status first;
  const auto note = [&](Status status) {
    if (first.ok() && !status.ok()) first = std::move(status);
  };
  for (const Layer& layer : going) {
    if (::unlink(RecordPath(layer.name).c_str()) != 0 && errno != ENOENT)
      note(ErrnoError("remove " + RecordPath(layer.name)));
    ::unlink(TreeRecordPath(layer.name).c_str());
  }
  note(base::SyncDirectory(root_ + "/layers"));
  for (const Layer& layer : going) note(base::RemoveTree(TreePath(layer.name)));
  const std::lock_guard lock(mutex_);
  for (const Layer& layer : going) {
    // A tree that could not be removed keeps its name until the store is opened again.
    if (!IsDirectory(TreePath(layer.name))) names_.erase(layer.name);
  }
  return first;
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
