#include "nspawn/machine_cgroups.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <thread>

#include "base/files.h"
#include "temporary_directory.h"

namespace nspawn {
namespace {

using std::chrono::milliseconds;
using ::testing::IsEmpty;

// Files stand for those of the kernel: a write of a process stays there, and a group is empty once its file is gone.
class MachineCgroupsTest : public testing::Test {
 protected:
  void MakeGroup(const std::string& path, const std::string& processes) {
    ASSERT_TRUE(base::MakeDirectories(path).ok());
    ASSERT_TRUE(base::WriteFileAtomic(path + "/cgroup.procs", processes).ok());
  }

  TemporaryDirectory directory_;
  const std::string unit_ = directory_.path() + "/web.service";
};

TEST_F(MachineCgroupsTest, ProcessesMoveToTheUnitsOwn) {
  MakeGroup(unit_, "");
  MakeGroup(unit_ + "/payload", "817\n");
  // Not empty, as a kernel's group with a process that stays.
  EXPECT_FALSE(MergeMachineCgroups(unit_).ok());
  EXPECT_EQ(*base::ReadFile(unit_ + "/cgroup.procs", 100), "817");
}

TEST_F(MachineCgroupsTest, EmptyOnesGo) {
  MakeGroup(unit_, "");
  ASSERT_TRUE(base::MakeDirectories(unit_ + "/supervisor").ok());
  EXPECT_TRUE(MergeMachineCgroups(unit_).ok());
  EXPECT_EQ(::access((unit_ + "/supervisor").c_str(), F_OK), -1);
  EXPECT_TRUE(MergeMachineCgroups(directory_.path() + "/there-is-none").ok());
}

TEST_F(MachineCgroupsTest, ThoseAddedAreMergedWhenNoneHasBeenAddedForAWhile) {
  MakeGroup(unit_, "");
  MakeGroup(unit_ + "/supervisor", "816\n");
  MachineCgroups cgroups(directory_.path(), milliseconds(1));
  cgroups.MergeSoon("web", "/web.service");
  for (int i = 0; i < 5000 && *base::ReadFile(unit_ + "/cgroup.procs", 100) != "816"; ++i) {
    std::this_thread::sleep_for(milliseconds(1));
  }
  EXPECT_EQ(*base::ReadFile(unit_ + "/cgroup.procs", 100), "816");
}

TEST_F(MachineCgroupsTest, ThoseOfAMachineThatHasEndedAreForgotten) {
  MakeGroup(unit_, "");
  MakeGroup(unit_ + "/supervisor", "816\n");
  const std::string other = directory_.path() + "/other.service";
  MakeGroup(other, "");
  MakeGroup(other + "/supervisor", "817\n");
  MachineCgroups cgroups(directory_.path(), milliseconds(50));
  cgroups.MergeSoon("web", "/web.service");
  cgroups.MergeSoon("other", "/other.service");
  cgroups.Forget("web");
  for (int i = 0; i < 5000 && *base::ReadFile(other + "/cgroup.procs", 100) != "817"; ++i) {
    std::this_thread::sleep_for(milliseconds(1));
  }
  EXPECT_EQ(*base::ReadFile(other + "/cgroup.procs", 100), "817");
  EXPECT_THAT(*base::ReadFile(unit_ + "/cgroup.procs", 100), IsEmpty());
}

TEST_F(MachineCgroupsTest, WhatStillWaitsAtTheEndStays) {
  MakeGroup(unit_, "");
  MakeGroup(unit_ + "/supervisor", "816\n");
  {
    MachineCgroups cgroups(directory_.path(), std::chrono::hours(1));
    cgroups.MergeSoon("web", "/web.service");
  }
  EXPECT_THAT(*base::ReadFile(unit_ + "/cgroup.procs", 100), IsEmpty());
}

}  // namespace
}  // namespace nspawn
