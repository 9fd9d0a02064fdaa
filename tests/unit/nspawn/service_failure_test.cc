#include "nspawn/service_failure.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "mock_bus.h"

namespace nspawn {
namespace {

using base::Code;
using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(ServiceFailureTest, SaysWhatEndedTheProgram) {
  ServiceState state;
  state.result = "exit-code";
  state.exit_code = CLD_EXITED;
  state.exit_status = 1;
  state.status_text = "bad\nthings";
  const auto error = ServiceFailure(state, "failed", "systemd-nspawn");
  EXPECT_EQ(error.code(), Code::kInternal);
  EXPECT_EQ(error.message(), "systemd-nspawn ended with exit status 1 (bad\\x0athings)");
  state.exit_code = CLD_DUMPED;
  state.exit_status = SIGSEGV;
  EXPECT_THAT(ServiceFailure(state, "failed", "init").message(), HasSubstr("signal SIGSEGV"));
}

TEST(ServiceFailureTest, SaysWhatSystemdFailedAt) {
  ServiceState state;
  state.exit_code = CLD_EXITED;
  state.exit_status = 225;
  EXPECT_THAT(ServiceFailure(state, "failed", "init").message(),
              AllOf(HasSubstr("joining its network namespace"), HasSubstr("225")));
  state.exit_status = 203;
  EXPECT_THAT(ServiceFailure(state, "failed", "init").message(), HasSubstr("executing"));
}

TEST(ServiceFailureTest, JobsThatNeverRanAnythingAreTold) {
  EXPECT_EQ(ServiceFailure({}, "timeout", "init").code(), Code::kDeadlineExceeded);
  EXPECT_EQ(ServiceFailure({}, "canceled", "init").code(), Code::kAborted);
  EXPECT_EQ(ServiceFailure({}, "dependency", "init").code(), Code::kFailedPrecondition);
  EXPECT_THAT(ServiceFailure({}, "failed", "init").message(), HasSubstr("\"failed\""));
  ServiceState state;
  state.result = "resources";
  EXPECT_THAT(ServiceFailure(state, "failed", "init").message(), HasSubstr("\"resources\""));
}

}  // namespace
}  // namespace nspawn
