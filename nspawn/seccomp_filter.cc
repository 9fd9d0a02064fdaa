#include "nspawn/seccomp_filter.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>

#include "base/fd.h"
#include "base/files.h"
#include "base/text.h"

namespace nspawn {
namespace {

using base::Result;
using base::Status;

constexpr uint32_t kX32Bit = 0x40000000;

base::Error LibseccompError(int code, std::string_view doing) {
  return base::Error::FromErrno(-code, "seccomp filter: " + std::string(doing));
}

}  // namespace

Result<SeccompFilter> SeccompFilter::Make(uint32_t default_action) {
  SeccompFilter filter(seccomp_init(default_action));
  if (!filter.filter_) return base::Internal("seccomp filter: libseccomp could not make one");
  // no_new_privs is the container's own choice.
  (void)seccomp_attr_set(filter.filter_.get(), SCMP_FLTATR_CTL_NNP, 0);
  return filter;
}

Status SeccompFilter::AddArchitecture(uint32_t architecture, const std::string& name) {
  const int result = seccomp_arch_add(filter_.get(), architecture);
  if (result < 0 && result != -EEXIST) return LibseccompError(result, "add the architecture " + name);
  return base::Ok();
}

Status SeccompFilter::AddRule(uint32_t action, const std::string& name, const std::vector<scmp_arg_cmp>& conditions) {
  const int number = seccomp_syscall_resolve_name(name.c_str());
  if (number == __NR_SCMP_ERROR) return base::Ok();
  const int result = seccomp_rule_add_array(filter_.get(), action, number, static_cast<unsigned>(conditions.size()),
                                            conditions.data());
  if (result < 0 && result != -EEXIST) return LibseccompError(result, "rule for " + base::Printable(name, 64));
  ++rules_;
  return base::Ok();
}

void SeccompFilter::SetGreatestCall(uint32_t architecture, uint32_t greatest) {
  greatest_calls_.push_back({architecture, greatest});
}

Result<std::vector<char>> SeccompFilter::Compile() const {
  // A binary tree finds a call in few steps. libseccomp 2.5.4 makes a wrong program of a tree without rules.
  constexpr size_t kWorthATree = 32;
  if (rules_ > kWorthATree) (void)seccomp_attr_set(filter_.get(), SCMP_FLTATR_CTL_OPTIMIZE, 2);
  const base::UniqueFd memory(::memfd_create("seccomp", MFD_CLOEXEC));
  if (!memory) return base::ErrnoError("seccomp filter: memfd_create");
  if (const int result = seccomp_export_bpf(filter_.get(), memory.get()); result < 0) {
    return LibseccompError(result, "compile");
  }
  if (::lseek(memory.get(), 0, SEEK_SET) < 0) return base::ErrnoError("seccomp filter: lseek");
  constexpr size_t kMostBytes = BPF_MAXINSNS * sizeof(sock_filter);
  const base::Error too_long = base::InvalidArgument(
      "the seccomp filter has more instructions than the kernel takes, " + std::to_string(BPF_MAXINSNS));
  const Result<std::string> compiled = base::ReadAll(memory.get(), kMostBytes, "the compiled seccomp filter");
  if (!compiled.ok()) return compiled.error().code() == base::Code::kResourceExhausted ? too_long : compiled.error();

  std::vector<sock_filter> prologue;
  if (!greatest_calls_.empty()) prologue.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, arch)));
  for (const GreatestCall& greatest : greatest_calls_) {
    // libseccomp's name for an architecture is the kernel's. On x86-64, x32 calls go on to the filter.
    prologue.push_back(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, greatest.architecture, 0, 5));
    prologue.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, nr)));
    prologue.push_back(BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, kX32Bit, 2, 0));
    prologue.push_back(BPF_JUMP(BPF_JMP | BPF_JGT | BPF_K, greatest.number, 0, 1));
    prologue.push_back(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS));
    prologue.push_back(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(seccomp_data, arch)));
  }
  const auto* prologue_bytes = reinterpret_cast<const char*>(prologue.data());
  std::vector<char> program(prologue_bytes, prologue_bytes + prologue.size() * sizeof(sock_filter));
  program.insert(program.end(), compiled->begin(), compiled->end());
  if (program.size() > kMostBytes) return too_long;
  return program;
}

}  // namespace nspawn
