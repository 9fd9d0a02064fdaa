#include "base/fault.h"

#ifdef CRI_NSPAWN_FAULTS

#include <signal.h>
#include <unistd.h>

#include <map>
#include <mutex>
#include <string>

#include "base/files.h"
#include "base/text.h"

namespace base {

void PassFaultPoint(const char* name) {
  const auto content = ReadFile(kFaultFile, 4096);
  if (!content.ok()) return;
  const auto lines = Split(*content, '\n');
  if (lines.size() < 2 || lines[0] != name) return;
  static std::mutex mutex;
  static std::map<std::string, uint64_t> passes;
  const std::lock_guard lock(mutex);
  if (passes[*content]++ < ParseUnsigned(lines[1]).value_or(0)) return;
  // The next run of the program is not meant.
  if (::unlink(kFaultFile) == 0) ::kill(::getpid(), SIGKILL);
}

}  // namespace base

#endif
