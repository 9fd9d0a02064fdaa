#include "cri/record_table.h"

#include <gtest/gtest.h>

#include "fakes.h"

namespace cri {
namespace {

ContainerRecord RecordOf(const std::string& id) {
  ContainerRecord record;
  record.set_id(id);
  record.set_name("name-of-" + id);
  return record;
}

class Table : public testing::Test {
 protected:
  TemporaryDirectory directory_;
  RecordTable<ContainerRecord> table_{directory_.path() + "/containers", "container"};
};

TEST_F(Table, FindsRecordsAgainAfterARestart) {
  ASSERT_TRUE(table_.Load().ok());
  ASSERT_TRUE(table_.Insert(RecordOf("aa11")).ok());
  ASSERT_TRUE(table_
                  .Update("aa11",
                          [](ContainerRecord& record) {
                            record.set_exit_code(7);
                            return true;
                          })
                  .ok());
  RecordTable<ContainerRecord> again(directory_.path() + "/containers", "container");
  ASSERT_TRUE(again.Load().ok());
  ASSERT_NE(again.Get("aa11"), nullptr);
  EXPECT_EQ(again.Get("aa11")->exit_code(), 7);
}

TEST_F(Table, BrokenRecordsAreReportedAndNotListed) {
  ASSERT_TRUE(base::MakeDirectories(directory_.path() + "/containers/empty").ok());
  ASSERT_TRUE(base::MakeDirectories(directory_.path() + "/containers/garbage").ok());
  ASSERT_TRUE(base::WriteFileAtomic(directory_.path() + "/containers/garbage/record", "\xff\xff\xff").ok());
  ASSERT_TRUE(base::MakeDirectories(directory_.path() + "/containers/other").ok());
  ASSERT_TRUE(base::WriteFileAtomic(directory_.path() + "/containers/other/record",
                                    RecordOf("not-this-one").SerializeAsString())
                  .ok());
  const auto broken = table_.Load();
  ASSERT_TRUE(broken.ok());
  EXPECT_EQ(*broken, (std::vector<std::string>{"empty", "garbage", "other"}));
  EXPECT_TRUE(table_.All().empty());
}

TEST_F(Table, FindsByTheBeginningOfAnIdUnlessItIsAmbiguous) {
  ASSERT_TRUE(table_.Load().ok());
  ASSERT_TRUE(table_.Insert(RecordOf("abc1")).ok());
  ASSERT_TRUE(table_.Insert(RecordOf("abd2")).ok());
  ASSERT_TRUE(table_.Find("abc").ok());
  EXPECT_EQ((*table_.Find("abc"))->id(), "abc1");
  EXPECT_EQ(table_.Find("ab").error().code(), base::Code::kInvalidArgument);
  EXPECT_EQ(table_.Find("x").error().code(), base::Code::kNotFound);
  EXPECT_EQ(table_.Find("").error().code(), base::Code::kNotFound);
  ASSERT_TRUE(table_.FindIfAny("x").ok());
  EXPECT_EQ(*table_.FindIfAny("x"), nullptr);
  EXPECT_FALSE(table_.FindIfAny("ab").ok());
}

TEST_F(Table, AWholeIdIsNeverAmbiguous) {
  ASSERT_TRUE(table_.Load().ok());
  ASSERT_TRUE(table_.Insert(RecordOf("ab")).ok());
  ASSERT_TRUE(table_.Insert(RecordOf("abc")).ok());
  ASSERT_TRUE(table_.Find("ab").ok());
  EXPECT_EQ((*table_.Find("ab"))->id(), "ab");
}

TEST_F(Table, SnapshotsDoNotChangeUnderTheirReader) {
  ASSERT_TRUE(table_.Load().ok());
  ASSERT_TRUE(table_.Insert(RecordOf("aa")).ok());
  const auto before = table_.Get("aa");
  ASSERT_TRUE(table_
                  .Update("aa",
                          [](ContainerRecord& record) {
                            record.set_exit_code(1);
                            return true;
                          })
                  .ok());
  EXPECT_EQ(before->exit_code(), 0);
  EXPECT_EQ(table_.Get("aa")->exit_code(), 1);
}

TEST_F(Table, EraseRemovesTheDirectoryAndIsRepeatable) {
  ASSERT_TRUE(table_.Load().ok());
  ASSERT_TRUE(table_.Insert(RecordOf("aa")).ok());
  ASSERT_TRUE(table_.Erase("aa").ok());
  ASSERT_TRUE(table_.Erase("aa").ok());
  EXPECT_EQ(table_.Get("aa"), nullptr);
  EXPECT_FALSE(std::filesystem::exists(table_.Directory("aa")));
}

}  // namespace
}  // namespace cri
