#include "nspawn/init/mounts.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/magic.h>
#include <linux/mount.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <filesystem>
#include <string>

#include "base/files.h"
#include "nspawn/process/mount_api.h"
#include "temporary_directory.h"

namespace nspawn {
namespace {

namespace fs = std::filesystem;
using base::Code;

// Mounts into a plain directory that stands for an image, in namespaces of the test's own.
class Mounts : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "mounting needs root";
    ASSERT_EQ(::unshare(CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWIPC), 0);
    ASSERT_EQ(::mount(nullptr, "/", nullptr, MS_PRIVATE | MS_REC, nullptr), 0);
    image_ = directory_.path() + "/image";
    host_ = directory_.path() + "/host";
    fs::create_directories(image_ + "/etc");
    fs::create_directories(host_);
    ASSERT_EQ(::mount(image_.c_str(), image_.c_str(), nullptr, MS_BIND, nullptr), 0);
    root_.reset(::open(image_.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  }
  void TearDown() override {
    if (root_) ::umount2(image_.c_str(), MNT_DETACH);
  }

  base::Status MountIt() {
    auto own = MakeFilesystems(spec_);
    if (!own.ok()) return std::move(own).error();
    HostTree tree;
    for (const Mount& mount : spec_.mounts) {
      auto clone = CloneMount(AT_FDCWD, mount.source, true);
      if (!clone.ok()) return std::move(clone).error();
      tree.mounts.push_back(*std::move(clone));
    }
    return MountAll(spec_, root_.get(), *own, tree);
  }
  void AddVolume(const std::string& source, const std::string& destination) {
    Mount& mount = spec_.mounts.emplace_back();
    mount.source = source;
    mount.destination = destination;
  }
  int64_t TypeOf(const std::string& name) const {
    struct statfs info {};
    return ::statfs((image_ + name).c_str(), &info) == 0 ? static_cast<int64_t>(info.f_type) : -1;
  }
  bool IsReadOnly(const std::string& name) const {
    struct statvfs info {};
    return ::statvfs((image_ + name).c_str(), &info) == 0 && (info.f_flag & ST_RDONLY) != 0;
  }
  std::string Content(const std::string& name) const { return base::ReadFile(image_ + name, 1000).value(); }

  TemporaryDirectory directory_;
  std::string image_, host_;
  base::UniqueFd root_;
  ProcessSpec spec_;
};

TEST_F(Mounts, VolumesOfTheImageStayWritableUnderAReadOnlyRoot) {
  fs::create_directories(image_ + "/data/inner");
  ASSERT_TRUE(base::WriteFileAtomic(image_ + "/data/file", "content").ok());
  spec_.image_volumes = {"/data", "/data/inner", "/made/here", "/proc/x"};
  const base::Status mounted = MountIt();
  ASSERT_TRUE(mounted.ok()) << mounted.error().message();
  ASSERT_TRUE(ChangeMount(root_.get(), MOUNT_ATTR_RDONLY, 0, false).ok());
  EXPECT_TRUE(IsReadOnly("/etc"));
  EXPECT_FALSE(IsReadOnly("/data"));
  EXPECT_FALSE(IsReadOnly("/data/inner"));
  EXPECT_FALSE(IsReadOnly("/made/here"));
  EXPECT_EQ(Content("/data/file"), "content");
  EXPECT_EQ(TypeOf("/proc"), PROC_SUPER_MAGIC);
}

TEST_F(Mounts, AVolumeOfTheImageThatIsAFileIsRefused) {
  ASSERT_TRUE(base::WriteFileAtomic(image_ + "/file", "").ok());
  spec_.image_volumes = {"/file"};
  EXPECT_EQ(MountIt().error().code(), Code::kInvalidArgument);
}

TEST_F(Mounts, EveryContainerHasTheUsualFilesystems) {
  const base::Status mounted = MountIt();
  ASSERT_TRUE(mounted.ok()) << mounted.error().message();
  EXPECT_EQ(TypeOf("/proc"), PROC_SUPER_MAGIC);
  EXPECT_EQ(TypeOf("/dev"), TMPFS_MAGIC);
  EXPECT_EQ(TypeOf("/dev/pts"), DEVPTS_SUPER_MAGIC);
  EXPECT_EQ(TypeOf("/dev/shm"), TMPFS_MAGIC);
  EXPECT_EQ(TypeOf("/sys"), SYSFS_MAGIC);
  EXPECT_EQ(TypeOf("/sys/fs/cgroup"), CGROUP2_SUPER_MAGIC);
  EXPECT_TRUE(IsReadOnly("/sys"));
  EXPECT_TRUE(IsReadOnly("/sys/fs/cgroup"));
  EXPECT_FALSE(IsReadOnly("/dev"));
  EXPECT_EQ(fs::read_symlink(image_ + "/dev/fd"), "/proc/self/fd");
  EXPECT_EQ(fs::read_symlink(image_ + "/dev/ptmx"), "pts/ptmx");
  struct stat info {};
  ASSERT_EQ(::stat((image_ + "/dev/null").c_str(), &info), 0);
  EXPECT_EQ(info.st_rdev, makedev(1, 3));
  EXPECT_EQ(info.st_mode, static_cast<mode_t>(S_IFCHR | 0666));
  ASSERT_EQ(::stat((image_ + "/dev/shm").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 01777U);
  EXPECT_TRUE(base::WriteFileAtomic(image_ + "/dev/shm/x", "x").ok());
}

TEST_F(Mounts, ALinkInTheImageCannotStandForProc) {
  for (const std::string name : {"/proc", "/sys", "/dev"}) {
    fs::create_symlink("/etc", image_ + name);
    const base::Status mounted = MountIt();
    ASSERT_FALSE(mounted.ok()) << name;
    EXPECT_EQ(mounted.error().code(), Code::kInvalidArgument);
    EXPECT_EQ(mounted.error().message(), name + " of the image is not a directory");
    fs::remove(image_ + name);
    // What was mounted until then.
    for (const std::string done : {"/sys", "/dev", "/proc"}) ::umount2((image_ + done).c_str(), MNT_DETACH);
    for (const std::string done : {"/sys", "/dev", "/proc"}) fs::remove(image_ + done);
  }
  EXPECT_TRUE(fs::is_empty(image_ + "/etc"));
}

TEST_F(Mounts, AVolumeInsideAnotherComesAfterIt) {
  fs::create_directories(host_ + "/inner");
  fs::create_directories(host_ + "/outer/inner");
  directory_.Write("host/inner/name", "inner");
  directory_.Write("host/outer/name", "outer");
  directory_.Write("host/file", "file");
  AddVolume(host_ + "/inner", "/data/inner");
  AddVolume(host_ + "/file", "/etc/new/file");
  AddVolume(host_ + "/outer", "/data");
  const base::Status mounted = MountIt();
  ASSERT_TRUE(mounted.ok()) << mounted.error().message();
  EXPECT_EQ(Content("/data/name"), "outer");
  EXPECT_EQ(Content("/data/inner/name"), "inner");
  EXPECT_EQ(Content("/etc/new/file"), "file");
}

TEST_F(Mounts, AVolumesDestinationStaysInTheImage) {
  directory_.Write("host/name", "volume");
  fs::create_symlink(directory_.path() + "/outside", image_ + "/absolute");
  fs::create_symlink("../../../../../../../../climbed", image_ + "/climb");
  AddVolume(host_, "/absolute");
  AddVolume(host_, "/climb");
  AddVolume(host_, "/../../dots");
  const base::Status mounted = MountIt();
  ASSERT_TRUE(mounted.ok()) << mounted.error().message();
  EXPECT_FALSE(fs::exists(directory_.path() + "/outside"));
  EXPECT_EQ(Content(directory_.path() + "/outside/name"), "volume");
  EXPECT_EQ(Content("/climbed/name"), "volume");
  EXPECT_EQ(Content("/dots/name"), "volume");
}

TEST_F(Mounts, AVolumeInProcIsRefusedByWhateverPath) {
  fs::create_symlink("/proc/sys", image_ + "/link");
  for (const std::string destination : {"/proc", "/proc/sys", "/proc/self/attr", "/link", "/etc/../proc/sys/kernel"}) {
    spec_.mounts.clear();
    AddVolume(host_, destination);
    const base::Status mounted = MountIt();
    ASSERT_FALSE(mounted.ok()) << destination;
    EXPECT_EQ(mounted.error().code(), Code::kInvalidArgument);
    EXPECT_NE(mounted.error().message().find("it lies inside of /proc"), std::string::npos)
        << mounted.error().message();
  }
}

TEST_F(Mounts, AFileThatStandsInForOneOfProcIsAllowed) {
  directory_.Write("host/meminfo", "MemTotal: 1 kB\n");
  AddVolume(host_ + "/meminfo", "/proc/meminfo");
  spec_.masked_paths = {"/proc/kcore"};
  const base::Status mounted = MountIt();
  ASSERT_TRUE(mounted.ok()) << mounted.error().message();
  EXPECT_EQ(Content("/proc/meminfo"), "MemTotal: 1 kB\n");
}

TEST_F(Mounts, AFileAndADirectoryDoNotGoOntoEachOther) {
  directory_.Write("host/file", "");
  directory_.Write("image/etc/passwd", "");
  AddVolume(host_ + "/file", "/etc");
  EXPECT_EQ(MountIt().error().code(), Code::kInvalidArgument);
  spec_.mounts.clear();
  AddVolume(host_, "/etc/passwd");
  EXPECT_EQ(MountIt().error().code(), Code::kInvalidArgument);
  spec_.mounts.clear();
  AddVolume(host_, "/");
  EXPECT_EQ(MountIt().error().code(), Code::kInvalidArgument);
}

TEST_F(Mounts, MaskedPathsAreEmptyAndWhatIsMissingIsLeftOut) {
  directory_.Write("image/etc/secret", "secret");
  directory_.Write("image/etc/dir/secret", "secret");
  directory_.Write("image/etc/other/secret", "secret");
  fs::create_symlink("/etc/secret", image_ + "/link");
  spec_.masked_paths = {"/link", "/etc/dir", "/etc/other", "/proc/kcore", "/proc/no/such", "/sys/firmware", "/nothing"};
  const base::Status mounted = MountIt();
  ASSERT_TRUE(mounted.ok()) << mounted.error().message();
  struct stat info {};
  ASSERT_EQ(::stat((image_ + "/etc/secret").c_str(), &info), 0);
  EXPECT_EQ(info.st_rdev, makedev(1, 3));
  EXPECT_TRUE(fs::is_empty(image_ + "/etc/dir"));
  EXPECT_TRUE(fs::is_empty(image_ + "/etc/other"));
  EXPECT_TRUE(IsReadOnly("/etc/dir"));
  EXPECT_TRUE(IsReadOnly("/etc/other"));
  EXPECT_FALSE(fs::exists(image_ + "/nothing"));
}

TEST_F(Mounts, ReadOnlyPathsAreReadOnly) {
  directory_.Write("image/etc/dir/file", "x");
  spec_.read_only_paths = {"/proc/sys", "/proc/uptime", "/etc/dir", "/nothing"};
  const base::Status mounted = MountIt();
  ASSERT_TRUE(mounted.ok()) << mounted.error().message();
  EXPECT_TRUE(IsReadOnly("/proc/sys"));
  EXPECT_TRUE(IsReadOnly("/proc/uptime"));
  EXPECT_FALSE(IsReadOnly("/proc"));
  EXPECT_TRUE(IsReadOnly("/etc/dir"));
  EXPECT_FALSE(IsReadOnly("/etc"));
  EXPECT_EQ(Content("/etc/dir/file"), "x");
}

TEST_F(Mounts, AVolumeCannotHideAPathThatIsToBeMasked) {
  directory_.Write("host/kernel/file", "x");
  // A volume with a link into /proc, as another container could make it while this one starts.
  fs::create_symlink("/proc/sys/kernel", host_ + "/link");
  AddVolume(host_, "/volume");
  AddVolume(host_ + "/kernel", "/volume/link");
  EXPECT_EQ(MountIt().error().code(), Code::kInvalidArgument);
}

}  // namespace
}  // namespace nspawn
