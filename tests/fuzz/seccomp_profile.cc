#include "nspawn/seccomp_profile.h"

#include <linux/filter.h>

#include "nspawn/capabilities.h"
#include "tests/fuzz/fuzz.h"

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const auto profile = nspawn::CompileSeccompProfile(fuzz::Text(data, size), nspawn::kDefaultCapabilities);
  if (!profile.ok()) return 0;
  fuzz::Require(!profile->program.empty() && profile->program.size() % sizeof(sock_filter) == 0 &&
                    profile->program.size() / sizeof(sock_filter) <= BPF_MAXINSNS,
                "the program is one that the kernel takes");
  return 0;
}
