#include "nspawn/apparmor.h"

#include <unistd.h>

#include <chrono>
#include <utility>

#include "base/files.h"
#include "base/text.h"

namespace nspawn {
namespace {

constexpr size_t kMostProfiles = size_t{16} << 20;  // bytes of the kernel's list
constexpr std::chrono::seconds kParserTimeout{60};

}  // namespace

AppArmor::AppArmor(Spawner& spawner, AppArmorOptions options) : spawner_(spawner), options_(std::move(options)) {}

bool AppArmor::IsEnabled() const {
  const auto enabled = base::ReadFile(options_.module + "/parameters/enabled", 64);
  return enabled.ok() && enabled->starts_with('Y') && ::access((options_.security + "/profiles").c_str(), R_OK) == 0;
}

base::Result<bool> AppArmor::IsLoaded(const std::string& profile) const {
  ASSIGN_OR_RETURN(const std::string list, base::ReadFile(options_.security + "/profiles", kMostProfiles));
  // "a name (enforce)"
  for (const std::string_view line : base::Split(list, '\n')) {
    const size_t end = line.rfind(" (");
    if (end != std::string_view::npos && line.substr(0, end) == profile) return true;
  }
  return false;
}

base::Status AppArmor::LoadDefault() const {
  ASSIGN_OR_RETURN(const bool is_loaded, IsLoaded(kDefaultAppArmorProfile));
  if (is_loaded) return base::Ok();
  const std::string doing = "load the AppArmor profile " + options_.default_profile;
  if (::access(options_.default_profile.c_str(), R_OK) != 0) {
    return base::ErrnoError(doing).WithCode(base::Code::kFailedPrecondition);
  }
  ProgramRequest request;
  request.program = options_.parser;
  // Replaces what may have been loaded meanwhile; no cache is written.
  request.arguments = {options_.parser, "--replace", "--skip-cache", options_.default_profile};
  request.environment = {"PATH=/usr/sbin:/usr/bin:/sbin:/bin"};
  request.timeout = kParserTimeout;
  const auto output = spawner_.Run(request);
  if (!output.ok()) return base::Error(output.error()).Wrap(doing).WithCode(base::Code::kFailedPrecondition);
  if (output->exit_code == 0) return base::Ok();
  return {base::Code::kFailedPrecondition, doing + ": " + options_.parser + " ended with " +
                                               std::to_string(output->exit_code) + ": " +
                                               base::Printable(base::Trim(output->standard_error), 512)};
}

}  // namespace nspawn
