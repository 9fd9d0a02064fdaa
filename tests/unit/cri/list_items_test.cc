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
  Items() { EXPECT_TRUE(records_.Load().ok()); }

  void Insert(const std::string& id) {
    ContainerRecord record;
    record.set_id(id);
    ASSERT_TRUE(records_.Insert(record).ok());
  }
  void Change(const std::string& id) {
    const auto change = [](ContainerRecord& record) {
      record.set_exit_code(record.exit_code() + 1);
      return true;
    };
    ASSERT_TRUE(records_.Update(id, change).ok());
  }
  // What a client would see: an id and an exit code.
  std::vector<std::string> List(uint64_t generation = 0, const ListItems<ContainerRecord>::Selects& selects = nullptr) {
    const auto make = [&](const ContainerRecord& record) {
      made_.push_back(record.id());
      std::optional<v1::Container> item;
      if (record.id() != "unlisted") item.emplace().set_id(record.id() + std::to_string(record.exit_code()));
      return item;
    };
    v1::ListContainersResponse response;
    items_.AddTo(response, v1::ListContainersResponse::kContainersFieldNumber, generation, selects, make);
    const auto received = Received(response);
    std::vector<std::string> ids;
    for (const v1::Container& container : received.containers()) ids.push_back(container.id());
    return ids;
  }
  std::vector<std::string> TakeMade() { return std::exchange(made_, {}); }

  TemporaryDirectory directory_;
  RecordTable<ContainerRecord> records_{directory_.path() + "/containers", "container"};
  ListItems<ContainerRecord> items_{records_};
  std::vector<std::string> made_;
};

TEST_F(Items, AreMadeOnceForEachStateOfTheirRecord) {
  for (const char* id : {"a", "b", "c"}) Insert(id);
  EXPECT_THAT(List(), ElementsAre("a0", "b0", "c0"));
  EXPECT_THAT(TakeMade(), ElementsAre("a", "b", "c"));
  EXPECT_THAT(List(), ElementsAre("a0", "b0", "c0"));
  EXPECT_THAT(TakeMade(), IsEmpty());
  Change("b");
  EXPECT_THAT(List(), ElementsAre("a0", "b1", "c0"));
  EXPECT_THAT(TakeMade(), ElementsAre("b"));
}

TEST_F(Items, AreKeptWhileOtherRecordsComeAndGo) {
  for (const char* id : {"b", "c"}) Insert(id);
  List();
  TakeMade();
  for (const char* id : {"a", "d"}) Insert(id);
  ASSERT_TRUE(records_.Erase("b").ok());
  EXPECT_THAT(List(), ElementsAre("a0", "c0", "d0"));
  EXPECT_THAT(TakeMade(), ElementsAre("a", "d"));
  for (const char* id : {"a", "c", "d"}) ASSERT_TRUE(records_.Erase(id).ok());
  EXPECT_THAT(List(), IsEmpty());
}

TEST_F(Items, OfRecordsThatAreGoneAreNotKept) {
  Insert("a");
  List();
  const auto record = records_.Get("a");
  ASSERT_TRUE(records_.Erase("a").ok());
  List();
  EXPECT_EQ(record.use_count(), 1);
}

TEST_F(Items, ThatNobodyHasAskedForAreMadeLater) {
  for (const char* id : {"a", "b"}) Insert(id);
  const auto selects = [](const ContainerRecord& record) { return record.id() == "b"; };
  EXPECT_THAT(List(0, selects), ElementsAre("b0"));
  EXPECT_THAT(TakeMade(), ElementsAre("b"));
  EXPECT_THAT(List(), ElementsAre("a0", "b0"));
  EXPECT_THAT(TakeMade(), ElementsAre("a"));
}

TEST_F(Items, AreMadeAnewWhenWhatTheyShowBesideTheirRecordHasChanged) {
  Insert("a");
  List(1);
  TakeMade();
  List(2);
  EXPECT_THAT(TakeMade(), ElementsAre("a"));
}

TEST_F(Items, AreOfNoRecordThatIsInNoList) {
  for (const char* id : {"a", "unlisted"}) Insert(id);
  EXPECT_THAT(List(), ElementsAre("a0"));
}

}  // namespace
}  // namespace cri
