#include "image/catalog.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <utility>

#include "base/fault.h"
#include "base/files.h"
#include "base/log.h"
#include "base/text.h"
#include "image/digest.h"
#include "image/json.h"
#include "image/layer_chain.h"
#include "image/reference.h"

namespace image {
namespace {

using base::Code;
using base::ErrnoError;
using base::Error;
using base::Status;

// A configuration of the largest size, escaped as a string.
constexpr size_t kMostRecordBytes = 8 * kMostDocumentBytes;
constexpr size_t kFewestIdDigits = 12;
constexpr std::string_view kRecordSuffix = ".json";

bool Contains(const std::vector<std::string>& list, const std::string& text) {
  return std::find(list.begin(), list.end(), text) != list.end();
}

void AddMissing(std::vector<std::string>& list, const std::vector<std::string>& more) {
  for (const std::string& text : more) {
    if (!Contains(list, text)) list.push_back(text);
  }
  std::sort(list.begin(), list.end());
}

std::set<std::string> Distinct(const std::vector<std::string>& list) {
  return {list.begin(), list.end()};
}

bool IsHex(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

}  // namespace

std::string Catalog::PathOf(const char* folder, const std::string& id) const {
  std::string name = id;
  std::replace(name.begin(), name.end(), ':', '-');
  return root_ + "/" + folder + "/" + name + std::string(kRecordSuffix);
}

Status Catalog::Write(const ImageRecord& record) const {
  return base::WriteFileDurable(PathOf("images", record.image.id), Serialize(record));
}

void Catalog::UnneedLayers(const ImageRecord& record) {
  for (const std::string& diff_id : Distinct(record.layers)) layers_.Unneed(diff_id);
}

base::Result<bool> Catalog::Load(const std::string& folder, Records& records) {
  bool dropped = false;
  RETURN_IF_ERROR(base::MakeDirectories(folder, 0700));
  ASSIGN_OR_RETURN(const auto files, base::ListDirectory(folder));
  for (const std::string& file : files) {
    std::string path = folder;
    path.append("/").append(file);
    if (file.ends_with(kRecordSuffix)) {
      const auto read = [&]() -> base::Result<ImageRecord> {
        ASSIGN_OR_RETURN(const std::string text, base::ReadFile(path, kMostRecordBytes));
        ASSIGN_OR_RETURN(ImageRecord record, ParseRecord(text));
        for (const std::string& diff_id : record.layers) {
          if (!layers_.Has(diff_id)) return Error(Code::kDataLoss, "layer " + diff_id + " is missing");
        }
        return record;
      };
      auto record = read();
      if (record.ok()) {
        for (const std::string& diff_id : Distinct(record->layers)) layers_.Need(diff_id);
        record->image.layer_directories = DirectoriesOf(layers_, record->layers);
        next_sequence_ = std::max(next_sequence_, record->sequence + 1);
        const std::string id = record->image.id;
        records.insert_or_assign(id, *std::move(record));
        continue;
      }
      base::Log(base::LogLevel::kWarning, "image store: " + path + " is dropped: " + record.error().message());
      dropped = true;
    }
    RETURN_IF_ERROR(base::RemoveTree(path));
  }
  return dropped;
}

// A crash between the writing of two records leaves both with a tag: the later one has it.
Status Catalog::SettleTags() {
  std::map<std::string, uint64_t> newest;
  for (const auto& [id, record] : images_) {
    for (const std::string& tag : record.image.tags) newest[tag] = std::max(newest[tag], record.sequence);
  }
  std::vector<const ImageRecord*> losing;
  for (auto& image : images_) {
    ImageRecord& record = image.second;
    const auto lost = [&](const std::string& tag) { return newest[tag] != record.sequence; };
    if (std::erase_if(record.image.tags, lost) > 0) losing.push_back(&record);
  }
  if (!losing.empty()) RETURN_IF_ERROR(layers_.SyncNow());
  for (const ImageRecord* record : losing) RETURN_IF_ERROR(Write(*record));
  return base::Ok();
}

base::Result<bool> Catalog::Open() {
  const std::lock_guard lock(mutex_);
  ASSIGN_OR_RETURN(const bool dropped, Load(root_ + "/images", images_));
  RETURN_IF_ERROR(Load(root_ + "/removed", removed_));
  for (auto record = removed_.begin(); record != removed_.end();) {
    if (!images_.contains(record->first)) {
      ++record;
      continue;
    }
    UnneedLayers(record->second);
    ::unlink(PathOf("removed", record->first).c_str());
    record = removed_.erase(record);
  }
  RETURN_IF_ERROR(SettleTags());
  return dropped;
}

std::vector<Image> Catalog::List() const {
  const std::lock_guard lock(mutex_);
  std::vector<Image> out;
  out.reserve(images_.size());
  for (const auto& [id, record] : images_) out.push_back(record.image);
  return out;
}

bool Catalog::Has(const std::string& id) const {
  const std::lock_guard lock(mutex_);
  return images_.contains(id);
}

base::Result<std::optional<std::string>> Catalog::Identify(const std::string& reference) const {
  const bool has_algorithm = reference.starts_with("sha256:") || reference.starts_with("sha512:");
  const std::string prefix = has_algorithm ? reference : "sha256:" + reference;
  if (images_.contains(prefix)) return std::optional(prefix);
  const std::string_view digits = DigestHex(prefix);
  if (IsHex(digits) && digits.size() >= kFewestIdDigits) {
    std::optional<std::string> found;
    for (auto image = images_.lower_bound(prefix); image != images_.end() && image->first.starts_with(prefix);
         ++image) {
      if (found.has_value()) return base::InvalidArgument("image id " + reference + " is ambiguous: give more digits");
      found = image->first;
    }
    if (found.has_value()) return found;
  }
  // What looks like an id is not a name.
  if (has_algorithm && IsHex(digits)) return std::optional<std::string>();
  if (digits.size() == 64 && IsHex(digits)) return std::optional<std::string>();
  ASSIGN_OR_RETURN(const Reference parsed, ParseReference(reference));
  const std::string name = parsed.ToString();
  for (const auto& [id, record] : images_) {
    if (Contains(parsed.digest.empty() ? record.image.tags : record.image.digests, name)) return std::optional(id);
  }
  return std::optional<std::string>();
}

base::Result<std::optional<ImageRecord>> Catalog::FindRecord(const std::string& reference) const {
  const std::lock_guard lock(mutex_);
  ASSIGN_OR_RETURN(const auto id, Identify(reference));
  if (!id.has_value()) return std::optional<ImageRecord>();
  return std::optional(images_.at(*id));
}

base::Result<std::optional<Image>> Catalog::Find(const std::string& reference) const {
  ASSIGN_OR_RETURN(auto record, FindRecord(reference));
  if (!record.has_value()) return std::optional<Image>();
  return std::optional(std::move(record->image));
}

std::optional<std::string> Catalog::TagOf(const std::string& id) const {
  const std::lock_guard lock(mutex_);
  const auto found = images_.find(id);
  if (found == images_.end() || found->second.image.tags.empty()) return std::nullopt;
  return found->second.image.tags.front();
}

std::vector<ImageRecord> Catalog::AllRecords() const {
  const std::lock_guard lock(mutex_);
  std::vector<ImageRecord> out;
  for (const Records* records : {&images_, &removed_}) {
    for (const auto& [id, record] : *records) out.push_back(record);
  }
  return out;
}

Status Catalog::Add(ImageRecord record) {
  const std::lock_guard change(change_mutex_);
  const std::string id = record.image.id;
  std::vector<ImageRecord> losing;
  // Those that the caller needs, and that turn out not to be.
  std::vector<std::string> surplus;
  bool known = false;
  bool same = false;
  {
    const std::lock_guard lock(mutex_);
    record.sequence = next_sequence_++;
    // Containers may have the layers mounted that an image of this id has had, also if those would be others now.
    for (const Records* records : {&images_, &removed_}) {
      const auto existing = records->find(id);
      if (existing == records->end()) continue;
      surplus = std::exchange(record.layers, existing->second.layers);
      break;
    }
    record.image.layer_directories = DirectoriesOf(layers_, record.layers);
    if (const auto existing = images_.find(id); existing != images_.end()) {
      known = true;
      AddMissing(record.image.tags, existing->second.image.tags);
      AddMissing(record.image.digests, existing->second.image.digests);
    }
    for (const auto& [other, existing] : images_) {
      if (other == id) continue;
      ImageRecord changed = existing;
      const auto moves = [&](const std::string& tag) { return Contains(record.image.tags, tag); };
      if (std::erase_if(changed.image.tags, moves) > 0) losing.push_back(std::move(changed));
    }
    std::sort(record.image.tags.begin(), record.image.tags.end());
    same = known && losing.empty() && images_[id].image.tags == record.image.tags &&
           images_[id].image.digests == record.image.digests;
    if (same) record.sequence = images_[id].sequence;
  }
  // A new image becomes durable together with its layers. The new record first: with a crash in between, the tag is the
  // later record's. Who had the tag loses it on disk when the new image cannot be lost any more.
  if (!same) {
    const Status written = known ? Write(record) : base::WriteFileAtomic(PathOf("images", id), Serialize(record));
    RETURN_IF_ERROR(Status(written).Wrap("record the image"));
    FAULT_POINT("image pull: image recorded");
    layers_.SyncSoon();
  }
  Status moved = losing.empty() ? base::Ok() : layers_.SyncNow();
  for (const ImageRecord& other : losing) {
    if (moved.ok()) moved = Write(other);
  }
  if (!moved.ok()) base::Log(base::LogLevel::kWarning, "image store: " + moved.error().message());
  const std::lock_guard lock(mutex_);
  for (ImageRecord& other : losing) {
    const std::string other_id = other.image.id;
    images_.insert_or_assign(other_id, std::move(other));
  }
  for (const std::string& layer : Distinct(surplus)) layers_.Unneed(layer);
  if (const auto old = removed_.find(id); old != removed_.end()) {
    ::unlink(PathOf("removed", id).c_str());
    removed_.erase(old);
  }
  images_.insert_or_assign(id, std::move(record));
  if (!same) ++generation_;
  return base::Ok();
}

Status Catalog::Remove(const std::string& reference) {
  const std::lock_guard change(change_mutex_);
  const std::lock_guard lock(mutex_);
  ASSIGN_OR_RETURN(const auto id, Identify(reference));
  if (!id.has_value()) return base::Ok();
  const auto image = images_.find(*id);
  const std::string path = PathOf("images", *id);
  if (IsHeld(*id)) {
    if (std::rename(path.c_str(), PathOf("removed", *id).c_str()) != 0) return ErrnoError("remove " + path);
    removed_.insert_or_assign(*id, std::move(image->second));
  } else {
    if (::unlink(path.c_str()) != 0 && errno != ENOENT) return ErrnoError("remove " + path);
    UnneedLayers(image->second);
  }
  images_.erase(image);
  ++generation_;
  FAULT_POINT("image remove: record removed");
  RETURN_IF_ERROR(base::SyncDirectory(root_ + "/removed"));
  return base::SyncDirectory(root_ + "/images");
}

bool Catalog::IsHeld(const std::string& id) const {
  return std::any_of(held_by_.begin(), held_by_.end(), [&](const auto& user) { return user.second.contains(id); });
}

Status Catalog::Hold(const std::string& id, const std::string& user) {
  const std::lock_guard lock(mutex_);
  if (!images_.contains(id) && !removed_.contains(id))
    return base::NotFound("image " + base::Printable(id) + ": not found");
  held_by_[user].insert(id);
  return base::Ok();
}

void Catalog::Release(const std::string& user) {
  const std::lock_guard lock(mutex_);
  held_by_.erase(user);
}

Status Catalog::ForgetUnheld() {
  const std::lock_guard change(change_mutex_);
  const std::lock_guard lock(mutex_);
  for (auto record = removed_.begin(); record != removed_.end();) {
    if (IsHeld(record->first)) {
      ++record;
      continue;
    }
    const std::string path = PathOf("removed", record->first);
    if (::unlink(path.c_str()) != 0 && errno != ENOENT) return ErrnoError("remove " + path);
    UnneedLayers(record->second);
    record = removed_.erase(record);
  }
  return base::SyncDirectory(root_ + "/removed");
}

}  // namespace image
