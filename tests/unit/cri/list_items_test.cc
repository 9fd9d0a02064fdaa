#include "cri/list_items.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fakes.h"

namespace cri {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class Items : public testing::Test {
 protected:
  using Snapshots = std::vector<std::shared_ptr<const ContainerRecord>>;

  static std::shared_ptr<const ContainerRecord> RecordOf(const std::string& id) {
    ContainerRecord record;
    record.set_id(id);
    return std::make_shared<const ContainerRecord>(record);
  }
  // The ids that a client would see.
  std::vector<std::string> List(const Snapshots& all, uint64_t generation = 0, const std::string& without = "") {
    const auto selects = [&](const ContainerRecord& record) { return record.id() != without; };
    const auto make = [&](const ContainerRecord& record) {
      made_.push_back(record.id());
      v1::Container item;
      item.set_id(record.id());
      return item;
    };
    v1::ListContainersResponse response;
    for (const auto& item : items_.Of(all, generation, selects, make)) {
      AddSerialized(response, v1::ListContainersResponse::kContainersFieldNumber, *item);
    }
    const auto received = Received(response);
    std::vector<std::string> ids;
    for (const v1::Container& container : received.containers()) ids.push_back(container.id());
    return ids;
  }
  std::vector<std::string> TakeMade() { return std::exchange(made_, {}); }

  ListItems<ContainerRecord> items_;
  std::vector<std::string> made_;
};

TEST_F(Items, AreMadeOnceForEachStateOfTheirRecord) {
  Snapshots all = {RecordOf("a"), RecordOf("b"), RecordOf("c")};
  EXPECT_THAT(List(all), ElementsAre("a", "b", "c"));
  EXPECT_THAT(TakeMade(), ElementsAre("a", "b", "c"));
  EXPECT_THAT(List(all), ElementsAre("a", "b", "c"));
  EXPECT_THAT(TakeMade(), IsEmpty());
  all[1] = RecordOf("b");
  EXPECT_THAT(List(all), ElementsAre("a", "b", "c"));
  EXPECT_THAT(TakeMade(), ElementsAre("b"));
}

TEST_F(Items, AreFoundAgainBetweenRecordsThatComeAndGo) {
  const Snapshots records = {RecordOf("a"), RecordOf("b"), RecordOf("c"), RecordOf("d")};
  List({records[1], records[2]});
  TakeMade();
  EXPECT_THAT(List({records[0], records[2], records[3]}), ElementsAre("a", "c", "d"));
  EXPECT_THAT(TakeMade(), ElementsAre("a", "d"));
  EXPECT_THAT(List({}), IsEmpty());
}

TEST_F(Items, OfRecordsThatAreGoneAreNotKept) {
  const auto record = RecordOf("a");
  List({record});
  EXPECT_EQ(record.use_count(), 2);
  List({});
  EXPECT_EQ(record.use_count(), 1);
}

TEST_F(Items, ThatNobodyHasAskedForAreMadeLater) {
  const Snapshots all = {RecordOf("a"), RecordOf("b")};
  EXPECT_THAT(List(all, 0, "a"), ElementsAre("b"));
  EXPECT_THAT(TakeMade(), ElementsAre("b"));
  EXPECT_THAT(List(all), ElementsAre("a", "b"));
  EXPECT_THAT(TakeMade(), ElementsAre("a"));
}

TEST_F(Items, AreMadeAnewWhenWhatTheyShowBesideTheirRecordHasChanged) {
  const Snapshots all = {RecordOf("a")};
  List(all, 1);
  TakeMade();
  List(all, 2);
  EXPECT_THAT(TakeMade(), ElementsAre("a"));
}

}  // namespace
}  // namespace cri
