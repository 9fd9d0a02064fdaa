#include "base/result.h"

#include <gtest/gtest.h>

#include <memory>

namespace base {
namespace {

Status Fails() {
  return NotFound("no such thing");
}

Result<int> AddsContext() {
  RETURN_IF_ERROR(Fails().Wrap("look for it"));
  return 1;
}

TEST(Result, WrapPutsWhatWasBeingDoneInFrontAndKeepsTheCode) {
  const Result<int> result = AddsContext();
  ASSERT_FALSE(result.ok());
  EXPECT_EQ(result.error().code(), Code::kNotFound);
  EXPECT_EQ(result.error().message(), "look for it: no such thing");
}

TEST(Result, CarriesValuesThatCanOnlyBeMoved) {
  auto make = []() -> Result<std::unique_ptr<int>> { return std::make_unique<int>(7); };
  auto use = [&]() -> Result<int> {
    ASSIGN_OR_RETURN(const std::unique_ptr<int> value, make());
    return *value;
  };
  ASSERT_TRUE(use().ok());
  EXPECT_EQ(*use(), 7);
}

TEST(Error, ErrnoDecidesTheCode) {
  EXPECT_EQ(Error::FromErrno(ENOENT, "x").code(), Code::kNotFound);
  EXPECT_EQ(Error::FromErrno(ENOSPC, "x").code(), Code::kResourceExhausted);
  EXPECT_EQ(Error::FromErrno(EIO, "x").code(), Code::kInternal);
  EXPECT_EQ(Error::FromErrno(ENOENT, "open it").message(), "open it: No such file or directory");
}

}  // namespace
}  // namespace base
