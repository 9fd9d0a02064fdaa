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
  uint64_t kept = MakeCapabilities(security)->permitted;
  EXPECT_TRUE(kept & Bit("SYS_PTRACE"));
  EXPECT_FALSE(kept & Bit("CHOWN"));
  EXPECT_TRUE(kept & Bit("KILL"));
  capabilities.add_drop_capabilities("ALL");
  kept = MakeCapabilities(security)->permitted;
  EXPECT_EQ(kept, Bit("SYS_PTRACE"));
  capabilities.Clear();
  capabilities.add_add_capabilities("ALL");
  capabilities.add_drop_capabilities("SYS_ADMIN");
  kept = MakeCapabilities(security)->permitted;
  EXPECT_EQ(kept, nspawn::AllCapabilities() & ~Bit("SYS_ADMIN"));
}

TEST(Capabilities, AmbientCapabilitiesAreInheritableToo) {
  v1::LinuxContainerSecurityContext security;
  security.mutable_capabilities()->add_add_ambient_capabilities("NET_BIND_SERVICE");
  const auto capabilities = MakeCapabilities(security);
  EXPECT_EQ(capabilities->ambient, Bit("NET_BIND_SERVICE"));
  EXPECT_EQ(capabilities->inheritable, Bit("NET_BIND_SERVICE"));
}

class Seccomp : public testing::Test {
 protected:
  base::Result<nspawn::ContainerSpec> Make() {
    nspawn::ContainerSpec spec;
    spec.process.capabilities.bounding = nspawn::kDefaultCapabilities;
    RETURN_IF_ERROR(AddSeccomp(security_, spec));
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

}  // namespace
}  // namespace cri
