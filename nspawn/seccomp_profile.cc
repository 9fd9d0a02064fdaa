#include "nspawn/seccomp_profile.h"

#include <linux/seccomp.h>
#include <seccomp.h>
#include <sys/utsname.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <optional>

#include "base/files.h"
#include "base/json.h"
#include "base/text.h"
#include "nspawn/capabilities.h"
#include "nspawn/seccomp_filter.h"

namespace nspawn {
namespace {

using base::InvalidArgument;
using base::Json;
using base::Result;
using base::Status;

// Bounds on what libseccomp is given: rules for one call each, and architectures, of which there are not more.
constexpr size_t kMostRules = 8192;
constexpr size_t kMostArchitectures = 32;
constexpr uint64_t kMostErrno = 4095;  // the kernel's MAX_ERRNO

std::string Quoted(std::string_view text) {
  return "\"" + base::Printable(text, 64) + "\"";
}

// What a process that is refused a call sees unless the profile says otherwise.
constexpr uint16_t kDefaultErrno = EPERM;

Result<uint32_t> ActionOf(const std::string& name, std::optional<uint64_t> value) {
  const auto data = static_cast<uint16_t>(value.value_or(kDefaultErrno));
  if (name == "SCMP_ACT_ALLOW") return uint32_t{SCMP_ACT_ALLOW};
  if (name == "SCMP_ACT_ERRNO") {
    if (data > kMostErrno) return InvalidArgument("error number " + std::to_string(data) + " is above 4095");
    return uint32_t{SCMP_ACT_ERRNO(data)};
  }
  if (name == "SCMP_ACT_KILL" || name == "SCMP_ACT_KILL_THREAD") return uint32_t{SCMP_ACT_KILL_THREAD};
  if (name == "SCMP_ACT_KILL_PROCESS") return uint32_t{SCMP_ACT_KILL_PROCESS};
  if (name == "SCMP_ACT_TRAP") return uint32_t{SCMP_ACT_TRAP};
  if (name == "SCMP_ACT_TRACE") return uint32_t{SCMP_ACT_TRACE(data)};
  if (name == "SCMP_ACT_LOG") return uint32_t{SCMP_ACT_LOG};
  if (name == "SCMP_ACT_NOTIFY") {
    return base::Error(base::Code::kUnimplemented,
                       "the action SCMP_ACT_NOTIFY needs a program that listens, which is not supported");
  }
  if (name.empty()) return InvalidArgument("an action is missing");
  return InvalidArgument("there is no action " + Quoted(name));
}

Result<scmp_compare> OperatorOf(const std::string& name) {
  if (name == "SCMP_CMP_NE") return SCMP_CMP_NE;
  if (name == "SCMP_CMP_LT") return SCMP_CMP_LT;
  if (name == "SCMP_CMP_LE") return SCMP_CMP_LE;
  if (name == "SCMP_CMP_EQ") return SCMP_CMP_EQ;
  if (name == "SCMP_CMP_GE") return SCMP_CMP_GE;
  if (name == "SCMP_CMP_GT") return SCMP_CMP_GT;
  if (name == "SCMP_CMP_MASKED_EQ") return SCMP_CMP_MASKED_EQ;
  return InvalidArgument("there is no operator " + Quoted(name));
}

// "SCMP_ARCH_X86_64"; libseccomp knows it as "x86_64".
Result<uint32_t> ArchitectureOf(const std::string& name) {
  constexpr std::string_view kPrefix = "SCMP_ARCH_";
  std::string known = name.starts_with(kPrefix) ? name.substr(kPrefix.size()) : "";
  std::transform(known.begin(), known.end(), known.begin(), [](unsigned char c) { return std::tolower(c); });
  const uint32_t architecture = known == "native" ? 0 : seccomp_arch_resolve_name(known.c_str());
  if (architecture == 0) return InvalidArgument("there is no architecture " + Quoted(name));
  return architecture;
}

Result<uint32_t> FlagOf(const std::string& name) {
  // The filter is installed in a process with one thread.
  if (name == "SECCOMP_FILTER_FLAG_TSYNC") return uint32_t{0};
  if (name == "SECCOMP_FILTER_FLAG_LOG") return uint32_t{SECCOMP_FILTER_FLAG_LOG};
  if (name == "SECCOMP_FILTER_FLAG_SPEC_ALLOW") return uint32_t{SECCOMP_FILTER_FLAG_SPEC_ALLOW};
  // Says how a listener is waited for.
  if (name == "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV") return uint32_t{0};
  return InvalidArgument("there is no flag " + Quoted(name));
}

// The machine's architecture as Go, and so Docker's profiles, call it.
constexpr std::string_view kMachine =
#if defined(__x86_64__)
    "amd64";
#elif defined(__aarch64__)
    "arm64";
#else
    "";
#endif

struct KernelVersion {
  uint64_t major = 0;
  uint64_t minor = 0;
  auto operator<=>(const KernelVersion&) const = default;
};

// "4.8", or the beginning of "6.1.0-37-amd64".
std::optional<KernelVersion> ParseKernelVersion(std::string_view text) {
  const auto parts = base::Split(text.substr(0, text.find_first_not_of("0123456789.")), '.');
  if (parts.size() < 2) return std::nullopt;
  const auto major = base::ParseUnsigned(parts[0]);
  const auto minor = base::ParseUnsigned(parts[1]);
  if (!major || !minor) return std::nullopt;
  return KernelVersion{*major, *minor};
}

bool Has(const std::vector<std::string>& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

bool Holds(uint64_t capabilities, const std::string& name) {
  const auto number = CapabilityNumber(name);
  return number && (capabilities >> *number & 1) != 0;
}

Result<bool> IsKernelAtLeast(const std::string& version) {
  const auto least = ParseKernelVersion(version);
  if (!least) return InvalidArgument("\"minKernel\" " + Quoted(version) + " is no version like \"4.8\"");
  utsname name{};
  if (::uname(&name) != 0) return base::ErrnoError("uname");
  return ParseKernelVersion(name.release).value_or(KernelVersion{}) >= *least;
}

// Whether a rule applies here, by its "includes" and "excludes".
Result<bool> Applies(const Json& rule, uint64_t capabilities) {
  ASSIGN_OR_RETURN(const Json* excludes, base::ObjectMember(rule, "excludes"));
  if (excludes != nullptr) {
    ASSIGN_OR_RETURN(const auto architectures, base::StringsMember(*excludes, "arches"));
    ASSIGN_OR_RETURN(const auto names, base::StringsMember(*excludes, "caps"));
    ASSIGN_OR_RETURN(const std::string kernel, base::StringMember(*excludes, "minKernel"));
    if (Has(architectures, kMachine)) return false;
    for (const std::string& name : names) {
      if (Holds(capabilities, name)) return false;
    }
    if (!kernel.empty()) {
      ASSIGN_OR_RETURN(const bool reached, IsKernelAtLeast(kernel));
      if (reached) return false;
    }
  }
  ASSIGN_OR_RETURN(const Json* includes, base::ObjectMember(rule, "includes"));
  if (includes != nullptr) {
    ASSIGN_OR_RETURN(const auto architectures, base::StringsMember(*includes, "arches"));
    ASSIGN_OR_RETURN(const auto names, base::StringsMember(*includes, "caps"));
    ASSIGN_OR_RETURN(const std::string kernel, base::StringMember(*includes, "minKernel"));
    if (!architectures.empty() && !Has(architectures, kMachine)) return false;
    for (const std::string& name : names) {
      if (!Holds(capabilities, name)) return false;
    }
    if (!kernel.empty()) return IsKernelAtLeast(kernel);
  }
  return true;
}

Result<scmp_arg_cmp> ConditionOf(const Json& argument) {
  if (!argument.is_object()) return InvalidArgument("an element of \"args\" is not an object");
  ASSIGN_OR_RETURN(const auto index, base::UnsignedMember(argument, "index", UINT64_MAX));
  ASSIGN_OR_RETURN(const auto value, base::UnsignedMember(argument, "value", UINT64_MAX));
  ASSIGN_OR_RETURN(const auto second, base::UnsignedMember(argument, "valueTwo", UINT64_MAX));
  ASSIGN_OR_RETURN(const std::string name, base::StringMember(argument, "op"));
  ASSIGN_OR_RETURN(const scmp_compare comparison, OperatorOf(name));
  if (index.value_or(0) > 5) return InvalidArgument("a system call has no argument " + std::to_string(*index));
  return scmp_arg_cmp{static_cast<unsigned>(index.value_or(0)), comparison, value.value_or(0), second.value_or(0)};
}

class Compiler {
 public:
  explicit Compiler(uint64_t capabilities) : capabilities_(capabilities) {}

  Result<SeccompProfile> Compile(const Json& profile) {
    ASSIGN_OR_RETURN(const std::string listener, base::StringMember(profile, "listenerPath"));
    if (!listener.empty()) {
      return base::Error(base::Code::kUnimplemented,
                         "\"listenerPath\" names a program that listens, which is not supported");
    }
    ASSIGN_OR_RETURN(const std::string action, base::StringMember(profile, "defaultAction"));
    ASSIGN_OR_RETURN(const auto number, base::UnsignedMember(profile, "defaultErrnoRet", UINT16_MAX));
    ASSIGN_OR_RETURN(default_action_, ActionOf(action, number).Wrap("\"defaultAction\""));
    ASSIGN_OR_RETURN(SeccompFilter filter, SeccompFilter::Make(default_action_));
    filter_ = &filter;
    SeccompProfile result;
    ASSIGN_OR_RETURN(const auto flags, base::StringsMember(profile, "flags"));
    for (const std::string& name : flags) {
      ASSIGN_OR_RETURN(const uint32_t flag, FlagOf(name));
      result.flags |= flag;
    }
    RETURN_IF_ERROR(AddArchitectures(profile));
    ASSIGN_OR_RETURN(const Json* rules, base::ListMember(profile, "syscalls"));
    if (rules != nullptr) {
      for (size_t i = 0; i < rules->size(); ++i) {
        RETURN_IF_ERROR(AddRule((*rules)[i]).Wrap("\"syscalls\"[" + std::to_string(i) + "]"));
      }
    }
    if (!LetsPass(default_action_) && default_action_ != SCMP_ACT_ERRNO(ENOSYS)) {
      for (const Greatest& greatest : architectures_) {
        if (greatest.call != 0) filter.SetGreatestCall(greatest.architecture, greatest.call);
      }
    }
    ASSIGN_OR_RETURN(result.program, filter.Compile());
    return result;
  }

 private:
  struct Greatest {
    uint32_t architecture;
    uint32_t call;
  };

  // A tracer is expected to know new calls itself.
  static bool LetsPass(uint32_t action) {
    return action == SCMP_ACT_ALLOW || action == SCMP_ACT_LOG ||
           (action & SECCOMP_RET_ACTION_FULL) == SCMP_ACT_TRACE(0);
  }

  Status AddArchitecture(const std::string& name) {
    ASSIGN_OR_RETURN(const uint32_t architecture, ArchitectureOf(name));
    const bool is_known = std::any_of(architectures_.begin(), architectures_.end(),
                                      [&](const Greatest& each) { return each.architecture == architecture; });
    if (is_known) return base::Ok();
    if (architectures_.size() >= kMostArchitectures) return InvalidArgument("the profile has too many architectures");
    RETURN_IF_ERROR(filter_->AddArchitecture(architecture, Quoted(name)));
    // x32 is reported as x86-64 by the kernel and needs none of its own.
    if (architecture != SCMP_ARCH_X32) architectures_.push_back({architecture, 0});
    return base::Ok();
  }

  Status AddArchitectures(const Json& profile) {
    architectures_.push_back({seccomp_arch_native(), 0});
    ASSIGN_OR_RETURN(const auto names, base::StringsMember(profile, "architectures"));
    for (const std::string& name : names) RETURN_IF_ERROR(AddArchitecture(name).Wrap("\"architectures\""));
    ASSIGN_OR_RETURN(const Json* map, base::ListMember(profile, "archMap"));
    if (map == nullptr) return base::Ok();
    if (!names.empty() && !map->empty())
      return InvalidArgument("it has \"architectures\" and \"archMap\"; one must go");
    for (const Json& entry : *map) {
      if (!entry.is_object()) return InvalidArgument("an element of \"archMap\" is not an object");
      ASSIGN_OR_RETURN(const std::string name, base::StringMember(entry, "architecture"));
      ASSIGN_OR_RETURN(const auto further, base::StringsMember(entry, "subArchitectures"));
      // The map is for all machines: those of others may be unknown here.
      const auto architecture = ArchitectureOf(name);
      if (!architecture.ok() || *architecture != seccomp_arch_native()) continue;
      for (const std::string& each : further) RETURN_IF_ERROR(AddArchitecture(each).Wrap("\"subArchitectures\""));
    }
    return base::Ok();
  }

  Status AddRule(const Json& rule) {
    if (!rule.is_object()) return InvalidArgument("it is not an object");
    ASSIGN_OR_RETURN(auto names, base::StringsMember(rule, "names"));
    ASSIGN_OR_RETURN(const std::string name, base::StringMember(rule, "name"));
    if (!name.empty()) {
      if (!names.empty()) return InvalidArgument("it has \"name\" and \"names\"; one must go");
      names.push_back(name);
    }
    if (names.empty()) return InvalidArgument("it has no \"names\"");
    ASSIGN_OR_RETURN(const std::string action_name, base::StringMember(rule, "action"));
    ASSIGN_OR_RETURN(const auto number, base::UnsignedMember(rule, "errnoRet", UINT16_MAX));
    ASSIGN_OR_RETURN(const uint32_t action, ActionOf(action_name, number));
    ASSIGN_OR_RETURN(const auto conditions, ConditionsOf(rule));
    ASSIGN_OR_RETURN(const bool applies, Applies(rule, capabilities_));
    if (!applies) return base::Ok();
    for (const std::string& call : names) RETURN_IF_ERROR(AddCall(action, call, conditions));
    return base::Ok();
  }

  // One list for each rule of libseccomp, which takes one condition for an argument.
  Result<std::vector<std::vector<scmp_arg_cmp>>> ConditionsOf(const Json& rule) {
    std::vector<scmp_arg_cmp> conditions;
    ASSIGN_OR_RETURN(const Json* arguments, base::ListMember(rule, "args"));
    bool has_repeated = false;
    if (arguments != nullptr) {
      if (arguments->size() > kMostRules) return InvalidArgument("it has too many \"args\"");
      bool is_used[6] = {};
      for (const Json& argument : *arguments) {
        ASSIGN_OR_RETURN(const scmp_arg_cmp condition, ConditionOf(argument));
        has_repeated = has_repeated || is_used[condition.arg];
        is_used[condition.arg] = true;
        conditions.push_back(condition);
      }
    }
    std::vector<std::vector<scmp_arg_cmp>> rules;
    if (!has_repeated) {
      rules.push_back(std::move(conditions));
    } else {
      for (const scmp_arg_cmp& condition : conditions) rules.push_back({condition});
    }
    return rules;
  }

  Status AddCall(uint32_t action, const std::string& name, const std::vector<std::vector<scmp_arg_cmp>>& rules) {
    if (name.empty()) return InvalidArgument("a system call's name is empty");
    if (name.find('\0') != std::string::npos) return InvalidArgument("a system call's name holds a NUL");
    rules_ += rules.size();
    if (rules_ > kMostRules)
      return InvalidArgument("the profile has more than " + std::to_string(kMostRules) + " rules");
    for (Greatest& greatest : architectures_) {
      const int number = seccomp_syscall_resolve_name_arch(greatest.architecture, name.c_str());
      if (number > 0) greatest.call = std::max(greatest.call, static_cast<uint32_t>(number));
    }
    // libseccomp refuses a rule that changes nothing.
    if (action == default_action_) return base::Ok();
    for (const auto& conditions : rules) RETURN_IF_ERROR(filter_->AddRule(action, name, conditions));
    return base::Ok();
  }

  const uint64_t capabilities_;
  uint32_t default_action_ = 0;
  SeccompFilter* filter_ = nullptr;
  std::vector<Greatest> architectures_;
  size_t rules_ = 0;
};

}  // namespace

Result<SeccompProfile> CompileSeccompProfile(std::string_view json, uint64_t capabilities) {
  ASSIGN_OR_RETURN(const Json profile, base::ParseJsonObject(json));
  return Compiler(capabilities).Compile(profile);
}

Result<SeccompProfile> LoadSeccompProfile(const std::string& path, uint64_t capabilities) {
  const std::string doing = "seccomp profile " + base::Printable(path, 512);
  ASSIGN_OR_RETURN(const std::string text, base::ReadFile(path, kMostSeccompProfileBytes).Wrap(doing));
  return CompileSeccompProfile(text, capabilities).Wrap(doing);
}

}  // namespace nspawn
