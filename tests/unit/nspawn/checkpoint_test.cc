#include "nspawn/checkpoint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "nspawn/init/restore.h"

namespace nspawn {
namespace {

using base::Code;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

std::string Joined(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) text += word + "\n";
  return text;
}

constexpr char kTable[] =
    "703 566 0:90 / / rw,relatime - overlay overlay rw,lowerdir=0,upperdir=u,workdir=w\n"
    "689 703 0:85 / /proc rw,nosuid - proc proc rw\n"
    "704 689 0:92 / /proc/acpi ro shared:3 master:7 - tmpfs tmpfs ro\n"
    "712 689 0:85 /sys /proc/sys ro - proc proc rw\n"
    "713 703 8:1 /a /mnt/two\\040words\\134 rw master:1 - ext4 /dev/vda rw\n";

TEST(MountTable, GivesPointsAndTypesWhateverOptionalFieldsThereAre) {
  const auto mounts = ParseMountTable(kTable);
  ASSERT_TRUE(mounts.ok()) << mounts.error().message();
  ASSERT_EQ(mounts->size(), 5U);
  EXPECT_EQ((*mounts)[2].path, "/proc/acpi");
  EXPECT_EQ((*mounts)[2].type, "tmpfs");
  EXPECT_EQ((*mounts)[4].path, "/mnt/two words\\");
  EXPECT_EQ((*mounts)[4].type, "ext4");
}

TEST(MountTable, CutOffLinesAreErrors) {
  for (const char* text : {"1", "1 2 3 4 5 6 shared:1\n", "1 2 3 4 5 6 -\n", "a b c d"}) {
    const auto mounts = ParseMountTable(text);
    ASSERT_FALSE(mounts.ok()) << text;
    EXPECT_EQ(mounts.error().code(), Code::kDataLoss);
  }
}

TEST(MountTable, RootAndProcAreLeftToCriu) {
  EXPECT_THAT(ExternalMounts(*ParseMountTable(kTable)), ElementsAre("/proc/acpi", "/mnt/two words\\"));
}

TEST(CriuLog, TheFirstErrorsAreTheReason) {
  const std::string log =
      "(00.000879) Error (criu/util.c:1533): rlimit: Can't setup RLIMIT_NOFILE for self: Operation not permitted\n"
      "(00.1) Warn  (criu/a.c:1): nothing\n"
      "(00.2)      1: Error (criu/fifo.c:104): Can't open fifo\n"
      "(00.3) Error (criu/cr-restore.c:2320): Restoring FAILED.\n";
  EXPECT_EQ(CriuFailure(log), "Can't open fifo; Restoring FAILED.");
  EXPECT_EQ(CriuFailure(""), "it gives no reason");
  EXPECT_LT(CriuFailure("Error (a): " + std::string(1 << 20, '\x01') + "\n").size(), 3000U);
}

TEST(StreamName, IsAMountAndAnInode) {
  for (const char* name : {"", "file[2a:1f]"}) EXPECT_TRUE(IsStreamName(name)) << name;
  for (const char* name : {"file[]", "file[1:2", "file[1:2]]", "file[1:2:3]", "file[x:1]", "pipe:[12]", "file[1:2] ",
                           "fd[1]:/etc/shadow", "file[:]"}) {
    EXPECT_FALSE(IsStreamName(name)) << name;
  }
}

TEST(DumpArguments, NameTheTreeTheImagesAndAllThatIsNotTheCheckpoints) {
  CheckpointRequest request;
  request.pid = 17;
  request.images_directory = "/state/checkpoint";
  request.helper = "/lib/checkpoint";
  const std::string text =
      Joined(DumpArguments(request, "/usr/sbin/criu", {"/dev", "/dev/shm"}, {"", "file[a:1]", "file[a:2]"}));
  EXPECT_THAT(text, testing::StartsWith("/usr/sbin/criu\ndump\n--tree\n17\n--images-dir\n/state/checkpoint\n"));
  EXPECT_THAT(text, HasSubstr("\n--leave-running\n"));
  EXPECT_THAT(text, HasSubstr("\n--action-script\n/lib/checkpoint\n"));
  EXPECT_THAT(text, HasSubstr("\n--external\nmnt[/dev]:/dev\n--external\nmnt[/dev/shm]:/dev/shm\n"));
  EXPECT_THAT(text, HasSubstr("\n--external\nfile[a:1]\n--external\nfile[a:2]\n"));
}

TEST(RestoreArguments, GiveBackWhatWasLeftOut) {
  const Restore restore{"/state/restore", "/usr/sbin/criu", {"", "file[a:1]", "file[a:2]"}};
  const std::vector<std::string> arguments = RestoreArguments(restore, {"/dev", "/etc/hosts"}, "");
  const std::string text = Joined(arguments);
  EXPECT_THAT(text, testing::StartsWith("/usr/sbin/criu\nrestore\n--images-dir\n/state/restore/checkpoint\n"));
  EXPECT_THAT(text, HasSubstr("\n--root\n/state/restore/rootfs\n"));
  EXPECT_THAT(text, HasSubstr("\n--restore-detached\n--leave-stopped\n"));
  EXPECT_THAT(text, HasSubstr("\n--external\nmnt[/etc/hosts]:/state/restore/rootfs/etc/hosts\n"));
  // Standard output is the second of the three, whether there is an input or not.
  EXPECT_THAT(text, HasSubstr("\n--inherit-fd\nfd[4]:file[a:1]\n--inherit-fd\nfd[5]:file[a:2]\n"));
  EXPECT_THAT(arguments, Not(Contains("--lsm-profile")));
  EXPECT_THAT(Joined(RestoreArguments(restore, {}, "cri-nspawn-default")),
              HasSubstr("\n--lsm-profile\napparmor:cri-nspawn-default\n"));
}

TEST(CheckDumpable, OnlyWhatCanBeRestored) {
  ProcessSpec spec;
  EXPECT_TRUE(CheckDumpable(spec).ok());
  spec.terminal = true;
  EXPECT_EQ(CheckDumpable(spec).error().code(), Code::kFailedPrecondition);
  spec.terminal = false;
  spec.pid.kind = NamespaceTarget::Kind::kJoin;
  EXPECT_THAT(CheckDumpable(spec).error().message(), HasSubstr("PID namespace"));
}

TEST(Restore, ComesBackAsItWasEncoded) {
  const Restore restore{"/state/restore", "/usr/sbin/criu", {"", "file[a:1]", "file[a:2]"}};
  const auto decoded = DecodeRestore(EncodeRestore(restore));
  ASSERT_TRUE(decoded.ok()) << decoded.error().message();
  EXPECT_EQ(decoded->directory, restore.directory);
  EXPECT_EQ(decoded->criu, restore.criu);
  EXPECT_EQ(decoded->streams, restore.streams);
  for (const std::string& text : {std::string(), std::string("directory=/x"), std::string("other=1\0", 8)}) {
    EXPECT_FALSE(DecodeRestore(text).ok()) << text;
  }
}

}  // namespace
}  // namespace nspawn
