#include "nspawn/bus.h"

#include <gtest/gtest.h>

namespace nspawn {
namespace {

TEST(BusTest, UnitPathsAreEscapedAsSystemdDoes) {
  // As `systemd-escape`'s sibling sd_bus_path_encode(3) has it.
  EXPECT_EQ(UnitPath("default-web-0a.service"), "/org/freedesktop/systemd1/unit/default_2dweb_2d0a_2eservice");
  EXPECT_EQ(UnitPath("0a.service"), "/org/freedesktop/systemd1/unit/_30a_2eservice");
  EXPECT_EQ(UnitPath("a_b\xff"), "/org/freedesktop/systemd1/unit/a_5fb_ff");
}

TEST(BusTest, ErrorNamesBecomeCodes) {
  EXPECT_EQ(CodeOfBusError("org.freedesktop.systemd1.NoSuchUnit"), base::Code::kNotFound);
  EXPECT_EQ(CodeOfBusError("org.freedesktop.systemd1.UnitExists"), base::Code::kAlreadyExists);
  EXPECT_EQ(CodeOfBusError("org.freedesktop.DBus.Error.NoReply"), base::Code::kDeadlineExceeded);
  EXPECT_EQ(CodeOfBusError("org.freedesktop.DBus.Error.AccessDenied"), base::Code::kPermissionDenied);
  EXPECT_EQ(CodeOfBusError("org.freedesktop.DBus.Error.Disconnected"), base::Code::kUnavailable);
  EXPECT_EQ(CodeOfBusError("org.example.Whatever"), base::Code::kInternal);
}

}  // namespace
}  // namespace nspawn
