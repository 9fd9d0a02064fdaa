// A seccomp filter under construction by libseccomp, and the program that becomes of it.
#pragma once

#include <seccomp.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"

namespace nspawn {

class SeccompFilter {
 public:
  // A filter for the machine's own architecture (of systems with several, the 64-bit one). `default_action` is
  // libseccomp's SCMP_ACT_….
  static base::Result<SeccompFilter> Make(uint32_t default_action);

  // Beside the machine's own; no error when it is there. `architecture` is libseccomp's SCMP_ARCH_….
  base::Status AddArchitecture(uint32_t architecture, const std::string& name);
  // One rule; the conditions, at most one for each argument, must all hold. A name that libseccomp does not know is
  // left out. (SCMP_ACT_… is a macro with a number.) Rules for the default action are to be left out by the caller.
  base::Status AddRule(uint32_t action, const std::string& name, const std::vector<scmp_arg_cmp>& conditions = {});

  // For a call with a number above `greatest` of that architecture: it fails with ENOSYS before any rule is asked, so
  // that a C library falls back to an older call, as opposed to one that was left out on purpose.
  void SetGreatestCall(uint32_t architecture, uint32_t greatest);

  // The program as prctl(2) PR_SET_SECCOMP takes it (array of struct sock_filter).
  base::Result<std::vector<char>> Compile() const;

 private:
  struct GreatestCall {
    uint32_t architecture;
    uint32_t number;
  };

  explicit SeccompFilter(scmp_filter_ctx filter) : filter_(filter, &seccomp_release) {}

  std::unique_ptr<void, void (*)(void*)> filter_;
  std::vector<GreatestCall> greatest_calls_;
  size_t rules_ = 0;
};

}  // namespace nspawn
