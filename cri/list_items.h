// The items of a list, each serialized once for each state of its record: a kubelet asks for all of them every second,
// and hardly any has changed since.
#pragma once

#include <google/protobuf/message.h>
#include <google/protobuf/unknown_field_set.h>

#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cri/record_table.h"

namespace cri {

// Thread-safe.
template <typename Record>
class ListItems {
 public:
  using Selects = std::function<bool(const Record&)>;

  // `records` must live longer.
  explicit ListItems(const RecordTable<Record>& records) : records_(records) {}

  // Adds the items of those records that `selects` says true of (null: of all) to the repeated field `field` of
  // `response`. `make` gives the message of a record, or nothing when it is in no list. What items show beside their
  // record has another `generation` when it has changed.
  //
  // Only who receives the response sees them in that field: on their way they are unknown fields, which are sent as
  // they are.
  template <typename Make>
  void AddTo(google::protobuf::Message& response, int field, uint64_t generation, const Selects& selects,
             const Make& make) {
    auto& fields = *response.GetReflection()->MutableUnknownFields(&response);
    const std::lock_guard lock(mutex_);
    Follow(generation);
    for (Kept& kept : kept_) {
      if (selects && !selects(*kept.record)) continue;
      if (!kept.item) {
        if (const auto message = make(*kept.record)) kept.item = message->SerializeAsString();
      }
      if (kept.item) fields.AddLengthDelimited(field, *kept.item);
    }
  }

 private:
  using Snapshot = typename RecordTable<Record>::Snapshot;
  struct Kept {
    Snapshot record;
    std::optional<std::string> item;  // nothing until somebody asks for it
  };

  // Has kept_ be of all records there are, with the items of those that have not changed. Called with mutex_ held.
  void Follow(uint64_t generation) {
    // Before the records: what changes meanwhile is found by the next call.
    const uint64_t of_records = records_.Generation();
    if (std::exchange(generation_, generation) != generation) {
      for (Kept& kept : kept_) kept.item.reset();
    }
    if (std::exchange(of_records_, of_records) == of_records) return;
    std::vector<Kept> kept;
    auto old = kept_.begin();
    for (Snapshot& record : records_.All()) {
      while (old != kept_.end() && old->record != record && old->record->id() < record->id()) ++old;
      const bool same = old != kept_.end() && old->record == record;
      kept.push_back({std::move(record), same ? std::move(old->item) : std::nullopt});
    }
    kept_ = std::move(kept);
  }

  const RecordTable<Record>& records_;
  std::mutex mutex_;  // guards what follows
  uint64_t generation_ = 0;
  std::optional<uint64_t> of_records_;  // their generation; nothing before the first call
  std::vector<Kept> kept_;              // by id
};

}  // namespace cri
