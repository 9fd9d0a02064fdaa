// The records of sandboxes or containers: in memory for every question, on disk for the next run of the daemon.
//
// Each record is the file <directory>/<id>/record, a serialized message. Readers get immutable snapshots. Thread-safe.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "base/files.h"
#include "base/log.h"
#include "base/result.h"
#include "base/trace.h"

namespace cri {

// What is to become of a change when the machine goes down without a warning.
enum class Keep {
  kForever,
  // It may be lost: what it tells of does not outlive the machine either. Costs no waiting for the disk.
  kUntilReboot,
};

template <typename Record>
class RecordTable {
 public:
  using Snapshot = std::shared_ptr<const Record>;

  // `kind` names what is kept in messages: "container".
  RecordTable(std::string directory, std::string kind) : directory_(std::move(directory)), kind_(std::move(kind)) {}

  // `observer` is told of every change after it: a record before (null: new) and after (null: erased). Changes of one
  // record are told in their order. To be set before the first change.
  using Observer = std::function<void(const Record* before, const Record* after)>;
  void Observe(Observer observer) { observer_ = std::move(observer); }

  // Reads all records. A directory without a readable record is what a crash before the first write or in the last
  // removal left: its id is returned, for the caller to remove.
  base::Result<std::vector<std::string>> Load() {
    RETURN_IF_ERROR(base::MakeDirectories(directory_, 0700));
    ASSIGN_OR_RETURN(const std::vector<std::string> names, base::ListDirectory(directory_));
    std::vector<std::string> broken;
    for (const std::string& name : names) {
      auto record = std::make_shared<Record>();
      const auto content = base::ReadFile(RecordPath(name), kMostBytes);
      if (content.ok() && record->ParseFromString(*content) && record->id() == name) {
        entries_[name] = std::make_shared<Entry>(std::move(record));
        ++generation_;
        continue;
      }
      base::Log(base::LogLevel::kWarning,
                "no readable record of " + kind_ + " " + name + "; removing what is left of it");
      broken.push_back(name);
    }
    return broken;
  }

  std::string Directory(const std::string& id) const { return directory_ + "/" + id; }

  // The record of that very id, or null.
  Snapshot Get(const std::string& id) const {
    const std::lock_guard lock(mutex_);
    const auto found = entries_.find(id);
    return found == entries_.end() ? nullptr : found->second->record;
  }

  // The record whose id is or begins with `id`.
  base::Result<Snapshot> Find(const std::string& id) const {
    const std::lock_guard lock(mutex_);
    const auto found = entries_.lower_bound(id);
    const auto matches = [&](auto entry) {
      return entry != entries_.end() && entry->first.compare(0, id.size(), id) == 0;
    };
    if (id.empty() || !matches(found)) return base::NotFound(kind_ + " \"" + id + "\" not found");
    if (found->first != id && matches(std::next(found))) {
      return base::InvalidArgument(kind_ + " id \"" + id + "\" is ambiguous: more than one begins with it");
    }
    return found->second->record;
  }

  // The same, and null when there is none: for what succeeds on records that are gone.
  base::Result<Snapshot> FindIfAny(const std::string& id) const {
    auto found = Find(id);
    if (!found.ok() && found.error().code() == base::Code::kNotFound) return Snapshot();
    return found;
  }

  // Another number after every change.
  uint64_t Generation() const { return generation_; }

  // By id.
  std::vector<Snapshot> All() const {
    const std::lock_guard lock(mutex_);
    std::vector<Snapshot> all;
    all.reserve(entries_.size());
    for (const auto& [id, entry] : entries_) all.push_back(entry->record);
    return all;
  }

  // Adds a record, durably.
  base::Status Insert(Record record) {
    const std::string id = record.id();
    RETURN_IF_ERROR(base::MakeDirectories(Directory(id), 0700));
    RETURN_IF_ERROR(Write(record, Keep::kForever));
    const auto inserted = std::make_shared<const Record>(std::move(record));
    {
      const std::lock_guard lock(mutex_);
      entries_[id] = std::make_shared<Entry>(inserted);
      ++generation_;
    }
    if (observer_) observer_(nullptr, inserted.get());
    return base::Ok();
  }

  // Changes a record. `change` may say with false that there is nothing to change. kNotFound when it is gone.
  base::Status Update(const std::string& id, const std::function<bool(Record&)>& change, Keep keep = Keep::kForever) {
    std::shared_ptr<Entry> entry;
    {
      const std::lock_guard lock(mutex_);
      const auto found = entries_.find(id);
      if (found == entries_.end()) return base::NotFound(kind_ + " \"" + id + "\" not found");
      entry = found->second;
    }
    const std::lock_guard writing(entry->writing);
    const Snapshot before = Current(*entry);
    auto changed = std::make_shared<Record>(*before);
    if (!change(*changed)) return base::Ok();
    base::Status written = Write(*changed, keep);
    // What happened has happened, also when the disk is full: memory follows the node, the caller hears of the disk.
    {
      const std::lock_guard lock(mutex_);
      entry->record = changed;
      ++generation_;
    }
    if (observer_) observer_(before.get(), changed.get());
    return std::move(written).Wrap("record the state of " + kind_ + " " + id);
  }

  // Removes a record and its directory.
  base::Status Erase(const std::string& id) {
    const base::TraceSpan span("disk", "erase record", id);
    RETURN_IF_ERROR(base::RemoveTree(Directory(id)).Wrap("remove the record of " + kind_ + " " + id));
    Snapshot last;
    {
      const std::lock_guard lock(mutex_);
      const auto found = entries_.find(id);
      if (found == entries_.end()) return base::Ok();
      last = found->second->record;
      entries_.erase(found);
      ++generation_;
    }
    if (observer_) observer_(last.get(), nullptr);
    return base::Ok();
  }

 private:
  struct Entry {
    explicit Entry(Snapshot first) : record(std::move(first)) {}
    std::mutex writing;  // one Update at a time; never held while mutex_ is waited for by others
    Snapshot record;     // guarded by mutex_
  };

  // A kubelet's message has at most 16 MiB; the record holds little more.
  static constexpr size_t kMostBytes = size_t{32} << 20;

  Snapshot Current(const Entry& entry) const {
    const std::lock_guard lock(mutex_);
    return entry.record;
  }
  std::string RecordPath(const std::string& id) const { return Directory(id) + "/record"; }
  base::Status Write(const Record& record, Keep keep) const {
    const base::TraceSpan span("disk", "write record", record.id());
    const auto write = keep == Keep::kForever ? base::WriteFileDurable : base::WriteFileAtomic;
    return write(RecordPath(record.id()), record.SerializeAsString(), 0600);
  }

  const std::string directory_;
  const std::string kind_;
  Observer observer_;
  mutable std::mutex mutex_;
  std::map<std::string, std::shared_ptr<Entry>> entries_;
  std::atomic<uint64_t> generation_ = 0;  // changed under mutex_
};

}  // namespace cri
