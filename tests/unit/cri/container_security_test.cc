#include "cri/container_security.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/files.h"
#include "fakes.h"
#include "nspawn/capabilities.h"
#include "nspawn/seccomp.h"

namespace cri {
namespace {

using testing::HasSubstr;
using Profile = v1::SecurityProfile;

uint64_t Bit(const char* name) {
  return uint64_t{1} << *nspawn::CapabilityNumber(name);
}

TEST(Capabilities, CapabilitiesAreAddedAndDroppedWithAllAsTheBase) {
  v1::LinuxContainerSecurityContext security;
  auto& capabilities = *security.mutable_capabilities();
  capabilities.add_add_capabilities("SYS_PTRACE");
  capabilities.add_drop_capabilities("CHOWN");
  uint64_t kept = MakeCapabilities(security, {})->permitted;
  EXPECT_TRUE(kept & Bit("SYS_PTRACE"));
  EXPECT_FALSE(kept & Bit("CHOWN"));
  EXPECT_TRUE(kept & Bit("KILL"));
  capabilities.add_drop_capabilities("ALL");
  kept = MakeCapabilities(security, {})->permitted;
  EXPECT_EQ(kept, Bit("SYS_PTRACE"));
  capabilities.Clear();
  capabilities.add_add_capabilities("ALL");
  capabilities.add_drop_capabilities("SYS_ADMIN");
  kept = MakeCapabilities(security, {})->permitted;
  EXPECT_EQ(kept, nspawn::AllCapabilities() & ~Bit("SYS_ADMIN"));
}

TEST(Capabilities, AmbientCapabilitiesAreInheritableToo) {
  v1::LinuxContainerSecurityContext security;
  security.mutable_capabilities()->add_add_ambient_capabilities("NET_BIND_SERVICE");
  const auto capabilities = MakeCapabilities(security, {});
  EXPECT_EQ(capabilities->ambient, Bit("NET_BIND_SERVICE"));
  EXPECT_EQ(capabilities->inheritable, Bit("NET_BIND_SERVICE"));
}

class Seccomp : public testing::Test {
 protected:
  base::Result<nspawn::ContainerSpec> Make() {
    nspawn::ContainerSpec spec;
    spec.process.capabilities.bounding = nspawn::kDefaultCapabilities;
    RETURN_IF_ERROR(AddSeccomp(security_, handler_, spec));
    return spec;
  }
  std::string WriteProfile(const std::string& text) {
    std::string path = directory_.path() + "/profile.json";
    EXPECT_TRUE(base::WriteFileAtomic(path, text).ok());
    return path;
  }
  void UseFile(const std::string& path) {
    security_.mutable_seccomp()->set_profile_type(Profile::Localhost);
    security_.mutable_seccomp()->set_localhost_ref(path);
  }

  TemporaryDirectory directory_;
  v1::LinuxContainerSecurityContext security_;
  RuntimeHandler handler_;
};

TEST_F(Seccomp, NothingSaidAndUnconfinedMeanNoFilter) {
  EXPECT_FALSE(Make()->process.seccomp);
  security_.mutable_seccomp()->set_profile_type(Profile::Unconfined);
  EXPECT_FALSE(Make()->process.seccomp);
  security_.clear_seccomp();
  security_.set_seccomp_profile_path("unconfined");
  EXPECT_FALSE(Make()->process.seccomp);
}

TEST_F(Seccomp, RuntimeDefaultIsTheDefaultProfile) {
  const auto expected = nspawn::DefaultSeccompProgram(nspawn::kDefaultCapabilities);
  security_.mutable_seccomp()->set_profile_type(Profile::RuntimeDefault);
  EXPECT_TRUE(Make()->process.seccomp);
  EXPECT_EQ(Make()->seccomp_program, *expected);
  security_.clear_seccomp();
  for (const char* name : {"runtime/default", "docker/default"}) {
    security_.set_seccomp_profile_path(name);
    EXPECT_EQ(Make()->seccomp_program, *expected);
  }
}

TEST_F(Seccomp, LocalhostIsCompiledFromItsFile) {
  UseFile(WriteProfile(R"({"defaultAction":"SCMP_ACT_ALLOW","flags":["SECCOMP_FILTER_FLAG_LOG"]})"));
  const auto spec = Make();
  ASSERT_TRUE(spec.ok()) << spec.error().message();
  EXPECT_TRUE(spec->process.seccomp);
  EXPECT_FALSE(spec->seccomp_program.empty());
  EXPECT_EQ(spec->process.seccomp_flags, 2u);
  // What clients before Kubernetes 1.19 send.
  security_.set_seccomp_profile_path("localhost/" + security_.seccomp().localhost_ref());
  security_.clear_seccomp();
  EXPECT_EQ(Make()->seccomp_program, spec->seccomp_program);
}

TEST_F(Seccomp, WhatIsWrongWithAProfileIsSaid) {
  UseFile(directory_.path() + "/missing.json");
  EXPECT_EQ(Make().error().code(), base::Code::kNotFound);
  EXPECT_THAT(Make().error().message(), HasSubstr("missing.json"));
  UseFile(WriteProfile("{"));
  EXPECT_EQ(Make().error().code(), base::Code::kInvalidArgument);
  UseFile("profile.json");
  EXPECT_THAT(Make().error().message(), HasSubstr("not an absolute path"));
  UseFile("");
  EXPECT_EQ(Make().error().code(), base::Code::kInvalidArgument);
  UseFile("/some/path");
  security_.mutable_seccomp()->set_profile_type(Profile::RuntimeDefault);
  EXPECT_THAT(Make().error().message(), HasSubstr("localhost_ref"));
  security_.clear_seccomp();
  security_.set_seccomp_profile_path("mine");
  EXPECT_THAT(Make().error().message(), HasSubstr("invalid seccomp profile \"mine\""));
}

TEST_F(Seccomp, APrivilegedContainerHasNoFilterWhateverIsAskedFor) {
  security_.set_privileged(true);
  security_.mutable_seccomp()->set_profile_type(Profile::RuntimeDefault);
  EXPECT_FALSE(Make()->process.seccomp);
  UseFile("/missing");
  EXPECT_FALSE(Make()->process.seccomp);
}

TEST_F(Seccomp, TheHandlerSaysWhatTheRuntimesDefaultIs) {
  security_.mutable_seccomp()->set_profile_type(Profile::RuntimeDefault);
  handler_.seccomp = "unconfined";
  EXPECT_FALSE(Make()->process.seccomp);
  handler_.seccomp = WriteProfile(R"({"defaultAction":"SCMP_ACT_LOG"})");
  const auto of_handler = Make();
  ASSERT_TRUE(of_handler.ok());
  UseFile(handler_.seccomp);
  EXPECT_EQ(Make()->seccomp_program, of_handler->seccomp_program);
  handler_.seccomp = "/missing";
  security_.mutable_seccomp()->set_profile_type(Profile::RuntimeDefault);
  security_.mutable_seccomp()->clear_localhost_ref();
  EXPECT_EQ(Make().error().code(), base::Code::kNotFound);
}

TEST(Capabilities, BeginWithThoseOfTheHandler) {
  v1::LinuxContainerSecurityContext security;
  RuntimeHandler handler;
  handler.capabilities = Bit("KILL") | Bit("CHOWN");
  security.mutable_capabilities()->add_drop_capabilities("CHOWN");
  security.mutable_capabilities()->add_add_capabilities("SYS_TIME");
  EXPECT_EQ(MakeCapabilities(security, handler)->permitted,
            (Bit("KILL") | Bit("SYS_TIME")) & nspawn::AllCapabilities());
}

class AppArmor : public testing::Test {
 protected:
  AppArmor() {
    std::filesystem::create_directories(directory_.path() + "/parameters");
    EXPECT_TRUE(base::WriteFileAtomic(directory_.path() + "/parameters/enabled", "Y\n").ok());
    EXPECT_TRUE(base::WriteFileAtomic(directory_.path() + "/profiles",
                                      "cri-nspawn-default (enforce)\nmine with space (complain)\n")
                    .ok());
  }
  base::Result<std::string> Make() { return MakeAppArmorProfile(security_, is_on_ ? &apparmor_ : nullptr); }
  void UseProfile(const std::string& name) {
    security_.mutable_apparmor()->set_profile_type(Profile::Localhost);
    security_.mutable_apparmor()->set_localhost_ref(name);
  }

  TemporaryDirectory directory_;
  FakeSpawner spawner_;
  nspawn::AppArmor apparmor_{spawner_, {directory_.path(), directory_.path(), "/nonexistent", "/nonexistent"}};
  bool is_on_ = true;
  v1::LinuxContainerSecurityContext security_;
};

TEST_F(AppArmor, TheDefaultProfileIsForAllButThePrivileged) {
  EXPECT_EQ(*Make(), "cri-nspawn-default");
  security_.set_apparmor_profile("runtime/default");
  EXPECT_EQ(*Make(), "cri-nspawn-default");
  security_.set_privileged(true);
  EXPECT_EQ(*Make(), "");
  security_.set_privileged(false);
  security_.set_apparmor_profile("unconfined");
  EXPECT_EQ(*Make(), "");
  // The message of today wins.
  security_.mutable_apparmor()->set_profile_type(Profile::RuntimeDefault);
  EXPECT_EQ(*Make(), "cri-nspawn-default");
}

TEST_F(AppArmor, AProfileOfTheNodeMustBeLoaded) {
  UseProfile("mine with space");
  EXPECT_EQ(*Make(), "mine with space");
  security_.set_privileged(true);
  EXPECT_EQ(*Make(), "mine with space");
  UseProfile("localhost/mine with space");
  EXPECT_EQ(*Make(), "mine with space");
  UseProfile("other");
  EXPECT_EQ(Make().error().code(), base::Code::kNotFound);
  EXPECT_THAT(Make().error().message(), HasSubstr("apparmor profile not found other"));
  security_.clear_apparmor();
  security_.set_apparmor_profile("localhost/other");
  EXPECT_EQ(Make().error().code(), base::Code::kNotFound);
}

TEST_F(AppArmor, WhereItIsOffADefaultIsNothingAndAProfileAnError) {
  is_on_ = false;
  EXPECT_EQ(*Make(), "");
  security_.mutable_apparmor()->set_profile_type(Profile::RuntimeDefault);
  EXPECT_EQ(*Make(), "");
  UseProfile("mine with space");
  EXPECT_EQ(Make().error().code(), base::Code::kFailedPrecondition);
  EXPECT_THAT(Make().error().message(), HasSubstr("apparmor is not supported"));
}

}  // namespace
}  // namespace cri
