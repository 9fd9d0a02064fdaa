#include "nspawn/host_service.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <thread>

#include "base/files.h"
#include "mock_bus.h"
#include "nspawn/start_status.h"
#include "temporary_directory.h"

namespace nspawn {
namespace {

using base::Code;
using base::Status;
using testing::_;
using testing::HasSubstr;
using testing::InSequence;
using testing::NiceMock;
using testing::Return;

class HostServiceTest : public testing::Test {
 protected:
  HostServiceTest() : services_(bus_, Options()) {
    spec_.name = "web";
    spec_.process.arguments = {"/bin/web"};
    spec_.process.layer_directories = {"/layers/one"};
    spec_.process.upper_directory = directory_.path() + "/data/upper";
    spec_.process.work_directory = directory_.path() + "/data/work";
    ON_CALL(bus_, AttachImageForGood(_, _, _)).WillByDefault([this](const std::string& path, const auto&, const auto&) {
      return Attached("web", path);
    });
  }

  HostServiceOptions Options() const {
    return {.bundle_root = directory_.path() + "/services", .attached = directory_.path() + "/attached"};
  }
  // What portabled leaves for an attached image.
  Status Attached(const std::string& name, const std::string& path) const {
    const std::string drop_ins = directory_.path() + "/attached/" + name + ".service.d";
    RETURN_IF_ERROR(base::MakeDirectories(drop_ins));
    return base::WriteFileAtomic(drop_ins + "/20-portable.conf", "[Service]\nRootDirectory=" + path + "\n");
  }
  std::string Bundle() const { return directory_.path() + "/services/web"; }
  bool Exists(const std::string& path) const { return ::access((directory_.path() + path).c_str(), F_OK) == 0; }

  TemporaryDirectory directory_;
  NiceMock<MockBus> bus_;
  HostServices services_;
  ContainerSpec spec_;
};

TEST_F(HostServiceTest, IsAttachedThenReadThenEnabled) {
  const InSequence sequence;
  EXPECT_CALL(bus_, AttachImageForGood(Bundle(), "web", "cri-nspawn"));
  EXPECT_CALL(bus_, Reload());
  EXPECT_CALL(bus_, EnableUnit("web.service"));
  const Status installed = services_.Install(spec_);
  ASSERT_TRUE(installed.ok()) << installed.error().message();
  EXPECT_TRUE(Exists("/data/upper"));
  const auto unit = base::ReadFile(Bundle() + "/usr/lib/systemd/system/web.service", 1 << 20);
  ASSERT_TRUE(unit.ok());
  EXPECT_THAT(*unit, HasSubstr("WantedBy=multi-user.target"));
  const auto spec = base::ReadFile(Bundle() + "/spec", 1 << 20);
  ASSERT_TRUE(spec.ok());
  EXPECT_THAT(*spec, HasSubstr("unit_output=yes"));
}

TEST_F(HostServiceTest, AnEarlierOneIsDetachedFirst) {
  ASSERT_TRUE(services_.Install(spec_).ok());
  const InSequence sequence;
  EXPECT_CALL(bus_, DetachImageForGood(Bundle()));
  EXPECT_CALL(bus_, AttachImageForGood(Bundle(), "web", _));
  EXPECT_TRUE(services_.Install(spec_).ok());
}

TEST_F(HostServiceTest, AUnitOfTheHostByThatNameIsNeitherStoppedNorDisabled) {
  EXPECT_CALL(bus_, AttachImageForGood(_, _, _))
      .WillOnce(Return(Status(Code::kAlreadyExists, "Unit file 'web.service' exists on the host already")));
  EXPECT_CALL(bus_, StopUnit(_)).Times(0);
  EXPECT_CALL(bus_, DisableUnit(_)).Times(0);
  EXPECT_CALL(bus_, DetachImageForGood(_)).Times(0);
  const Status installed = services_.Install(spec_);
  ASSERT_FALSE(installed.ok());
  EXPECT_EQ(installed.error().code(), Code::kAlreadyExists);
  EXPECT_FALSE(services_.Exists("web"));
  EXPECT_FALSE(Exists("/data/upper"));
  // Nor one that was attached from another image.
  ASSERT_TRUE(Attached("web", "/var/lib/portables/web").ok());
  EXPECT_TRUE(services_.Stop("web").ok());
}

TEST_F(HostServiceTest, AnInvalidNameIsRefusedBeforeAnythingIsMade) {
  EXPECT_CALL(bus_, AttachImageForGood(_, _, _)).Times(0);
  for (const char* name : {"", "-a", "a/b", "..", "A", "a b", "a@b"}) {
    spec_.name = name;
    const Status installed = services_.Install(spec_);
    ASSERT_FALSE(installed.ok()) << name;
    EXPECT_EQ(installed.error().code(), Code::kInvalidArgument);
    EXPECT_FALSE(services_.Remove(name).ok());
  }
}

TEST_F(HostServiceTest, RemovingUndoesAll) {
  ASSERT_TRUE(services_.Install(spec_).ok());
  {
    const InSequence sequence;
    EXPECT_CALL(bus_, StopUnit("web.service"));
    EXPECT_CALL(bus_, DisableUnit("web.service"));
    EXPECT_CALL(bus_, DetachImageForGood(Bundle()));
    EXPECT_CALL(bus_, Reload());
  }
  ASSERT_TRUE(services_.Remove("web").ok());
  EXPECT_FALSE(services_.Exists("web"));
  EXPECT_FALSE(Exists("/data/upper"));
  EXPECT_TRUE(services_.Remove("web").ok());
}

TEST_F(HostServiceTest, AFailedStartTellsWhatInitReported) {
  ASSERT_TRUE(services_.Install(spec_).ok());
  EXPECT_CALL(bus_, StartUnit("web.service")).WillOnce(Return(base::Result<std::string>("failed")));
  ServiceState state;
  state.status_text = FormatStartError(base::NotFound("exec /bin/web: No such file or directory"));
  EXPECT_CALL(bus_, GetService("web.service")).WillOnce(Return(base::Result<ServiceState>(state)));
  const Status started = services_.Start("web");
  ASSERT_FALSE(started.ok());
  EXPECT_EQ(started.error().code(), Code::kNotFound);
  EXPECT_THAT(started.error().message(), HasSubstr("/bin/web"));
}

TEST_F(HostServiceTest, StaysUpUnlessItsProcessEnds) {
  ServiceState running;
  running.main_pid = 7;
  ON_CALL(bus_, GetService(_)).WillByDefault(Return(base::Result<ServiceState>(running)));
  EXPECT_TRUE(services_.StaysUp("web", std::chrono::milliseconds(10), {}).ok());
  std::thread ending([&] {
    while (!bus_.Watches("web.service")) std::this_thread::yield();
    ServiceState ended;
    ended.exit_code = 1;  // CLD_EXITED
    ended.exit_status = 3;
    ended.result = "exit-code";
    bus_.Tell("web.service", ended);
  });
  const Status up = services_.StaysUp("web", std::chrono::seconds(60), {});
  ending.join();
  ASSERT_FALSE(up.ok());
  EXPECT_THAT(up.error().message(), HasSubstr("exit status 3"));
  EXPECT_FALSE(bus_.Watches("web.service"));
}

}  // namespace
}  // namespace nspawn
