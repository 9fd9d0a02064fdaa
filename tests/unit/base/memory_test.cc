#include "base/memory.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

namespace base {
namespace {

// A line of /proc/self/status, in KiB.
long Status(const std::string& name) {
  std::ifstream status("/proc/self/status");
  std::string line;
  while (std::getline(status, line)) {
    if (line.starts_with(name + ":")) return std::strtol(line.c_str() + name.size() + 1, nullptr, 10);
  }
  ADD_FAILURE() << "no " << name;
  return 0;
}

TEST(ReleaseMemory, GivesBackCodeThatIsMappedAndMemoryThatIsFree) {
  std::unique_ptr<std::string> last;
  {
    std::vector<std::unique_ptr<std::string>> many;
    for (int i = 0; i < 100000; ++i) many.push_back(std::make_unique<std::string>(100, 'x'));
    // Keeps free() from giving back what is below it.
    last = std::make_unique<std::string>(100, 'y');
  }
  const long file = Status("RssFile");
  [[maybe_unused]] const long anonymous = Status("RssAnon");
  ReleaseMemory();
  EXPECT_LT(Status("RssFile"), file);
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  EXPECT_LT(Status("RssAnon"), anonymous - 5000);
#endif
  EXPECT_EQ(*last, std::string(100, 'y'));
}

TEST(ReleaseMemory, LeavesWhatTheLinkerAndTheProgramHaveWritten) {
  static int written = 1;
  written = 42;
  ReleaseMemory();
  EXPECT_EQ(written, 42);
  // Calls through tables that the linker has filled.
  EXPECT_THROW(throw std::runtime_error("caught"), std::runtime_error);
  std::vector<int> numbers{3, 1, 2};
  std::qsort(numbers.data(), numbers.size(), sizeof(int),
             [](const void* a, const void* b) { return *static_cast<const int*>(a) - *static_cast<const int*>(b); });
  EXPECT_EQ(numbers, (std::vector<int>{1, 2, 3}));
}

}  // namespace
}  // namespace base
