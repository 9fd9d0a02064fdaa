// The items of a list, each serialized once for each state of what it shows: a kubelet asks for all of them every
// second, and hardly any has changed since.
#pragma once

#include <google/protobuf/message.h>

#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

namespace cri {

// Thread-safe.
template <typename Record>
class ListItems {
 public:
  using Snapshot = std::shared_ptr<const Record>;
  using Item = std::shared_ptr<const std::string>;  // a serialized message

  // The items of those of `all` that `selects` says true of. `all` are all records there are, by id, as
  // RecordTable::All() gives them: items of others are forgotten. `make` gives the message of a record. What it shows
  // beside the record has another `generation` when it has changed; that is to be read before the records are.
  template <typename Selects, typename Make>
  std::vector<Item> Of(const std::vector<Snapshot>& all, uint64_t generation, const Selects& selects,
                       const Make& make) {
    std::vector<Item> selected;
    selected.reserve(all.size());
    std::vector<Kept> kept;
    kept.reserve(all.size());
    const std::lock_guard lock(mutex_);
    if (std::exchange(generation_, generation) != generation) kept_.clear();
    auto old = kept_.begin();
    for (const Snapshot& record : all) {
      while (old != kept_.end() && old->record->id() < record->id()) ++old;
      Kept& now = kept.emplace_back(Kept{record, {}});
      if (old != kept_.end() && old->record == record) now.item = std::move(old->item);
      if (!selects(*record)) continue;
      if (!now.item) now.item = std::make_shared<const std::string>(make(*record).SerializeAsString());
      selected.push_back(now.item);
    }
    kept_.swap(kept);
    return selected;
  }

 private:
  struct Kept {
    Snapshot record;
    Item item;  // null until somebody asks for it
  };

  std::mutex mutex_;
  uint64_t generation_ = 0;  // guarded by mutex_, as is what follows
  std::vector<Kept> kept_;   // by id
};

// Adds a serialized item to the repeated field `field` of `response`. Only who receives the response sees it there: on
// its way it is an unknown field, and those are sent as they are.
inline void AddSerialized(google::protobuf::Message& response, int field, const std::string& item) {
  response.GetReflection()->MutableUnknownFields(&response)->AddLengthDelimited(field, item);
}

}  // namespace cri
