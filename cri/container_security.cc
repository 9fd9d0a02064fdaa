#include "cri/container_security.h"

#include <algorithm>

#include "base/text.h"
#include "nspawn/capabilities.h"
#include "nspawn/seccomp.h"
#include "nspawn/seccomp_profile.h"

namespace cri {
namespace {

using base::InvalidArgument;
using v1::SecurityProfile;

// The profile of a container: the message of today, else the text that clients before Kubernetes 1.19 (seccomp)
// and 1.30 (AppArmor) send, of which an empty one means `otherwise`.
base::Result<SecurityProfile> ProfileOf(bool is_given, const SecurityProfile& given, std::string_view text,
                                        std::string_view otherwise, std::string_view what) {
  SecurityProfile profile = given;
  constexpr std::string_view kLocalhost = "localhost/";
  if (!is_given) {
    if (text.empty()) text = otherwise;
    if (text == "unconfined") {
      profile.set_profile_type(SecurityProfile::Unconfined);
    } else if (text == "runtime/default" || text == "docker/default") {
      profile.set_profile_type(SecurityProfile::RuntimeDefault);
    } else if (text.starts_with(kLocalhost)) {
      profile.set_profile_type(SecurityProfile::Localhost);
      profile.set_localhost_ref(std::string(text));
    } else {
      return InvalidArgument("invalid " + std::string(what) + " profile \"" + base::Printable(text, 256) +
                             "\": it must be unconfined, runtime/default or localhost/<profile>");
    }
  }
  if (profile.profile_type() != SecurityProfile::Localhost) {
    if (profile.localhost_ref().empty()) return profile;
    return InvalidArgument(std::string(what) + " profile: localhost_ref is only for the type Localhost");
  }
  std::string& name = *profile.mutable_localhost_ref();
  if (name.starts_with(kLocalhost)) name.erase(0, kLocalhost.size());
  if (name.empty() || name.find('\0') != std::string::npos) {
    return InvalidArgument(std::string(what) + " profile: the type Localhost needs a localhost_ref");
  }
  return profile;
}

}  // namespace

base::Result<nspawn::Capabilities> MakeCapabilities(const v1::LinuxContainerSecurityContext& security,
                                                    const RuntimeHandler& handler) {
  const uint64_t all = nspawn::AllCapabilities();
  if (security.privileged()) return nspawn::Capabilities{all, all, 0, 0};
  uint64_t kept = handler.capabilities.value_or(nspawn::kDefaultCapabilities);
  // "ALL" comes first in either list, whatever its place, so that single names make exceptions.
  const auto is_all = [](const std::string& name) { return name == "ALL" || name == "all"; };
  const auto& add = security.capabilities().add_capabilities();
  const auto& drop = security.capabilities().drop_capabilities();
  if (std::any_of(add.begin(), add.end(), is_all)) kept = all;
  if (std::any_of(drop.begin(), drop.end(), is_all)) kept = 0;
  const auto bits = [&](const auto& names) -> base::Result<uint64_t> {
    uint64_t mask = 0;
    for (const std::string& name : names) {
      if (is_all(name)) continue;
      const auto number = nspawn::CapabilityNumber(name);
      if (!number) return InvalidArgument("there is no capability \"" + name + "\"");
      mask |= uint64_t{1} << *number;
    }
    return mask;
  };
  ASSIGN_OR_RETURN(const uint64_t added, bits(add));
  ASSIGN_OR_RETURN(const uint64_t dropped, bits(drop));
  ASSIGN_OR_RETURN(const uint64_t ambient, bits(security.capabilities().add_ambient_capabilities()));
  kept = ((kept | added | ambient) & ~dropped) & all;
  nspawn::Capabilities result{kept, kept, 0, 0};
  // Ambient capabilities must be inheritable as well (capabilities(7)).
  result.ambient = ambient & kept;
  result.inheritable = result.ambient;
  return result;
}

base::Status AddSeccomp(const v1::LinuxContainerSecurityContext& security, const RuntimeHandler& handler,
                        nspawn::ContainerSpec& spec) {
  if (security.privileged()) return base::Ok();
  ASSIGN_OR_RETURN(const SecurityProfile profile, ProfileOf(security.has_seccomp(), security.seccomp(),
                                                            security.seccomp_profile_path(), "unconfined", "seccomp"));
  const uint64_t capabilities = spec.process.capabilities.bounding;
  std::string path;
  switch (profile.profile_type()) {
    case SecurityProfile::Unconfined:
      return base::Ok();
    case SecurityProfile::RuntimeDefault:
      if (handler.seccomp == "unconfined") return base::Ok();
      if (handler.seccomp != "default") path = handler.seccomp;
      break;
    case SecurityProfile::Localhost:
      path = profile.localhost_ref();
      if (path.front() == '/') break;
      return InvalidArgument("seccomp profile \"" + base::Printable(path, 256) + "\" is not an absolute path");
    default:
      return InvalidArgument("there is no seccomp profile type " + std::to_string(profile.profile_type()));
  }
  spec.process.seccomp = true;
  if (path.empty()) {
    ASSIGN_OR_RETURN(spec.seccomp_program, nspawn::DefaultSeccompProgram(capabilities));
    return base::Ok();
  }
  ASSIGN_OR_RETURN(nspawn::SeccompProfile loaded, nspawn::LoadSeccompProfile(path, capabilities));
  spec.seccomp_program = std::move(loaded.program);
  spec.process.seccomp_flags = loaded.flags;
  return base::Ok();
}

base::Result<std::string> MakeAppArmorProfile(const v1::LinuxContainerSecurityContext& security,
                                              const nspawn::AppArmor* apparmor) {
  ASSIGN_OR_RETURN(const SecurityProfile profile,
                   ProfileOf(security.has_apparmor(), security.apparmor(), security.apparmor_profile(),
                             "runtime/default", "AppArmor"));
  switch (profile.profile_type()) {
    case SecurityProfile::Unconfined:
      return std::string();
    case SecurityProfile::RuntimeDefault: {
      if (apparmor == nullptr || security.privileged()) return std::string();
      // Somebody may have unloaded it since the daemon's start.
      RETURN_IF_ERROR(apparmor->LoadDefault());
      return std::string(nspawn::kDefaultAppArmorProfile);
    }
    case SecurityProfile::Localhost: {
      const std::string& name = profile.localhost_ref();
      if (apparmor == nullptr) {
        return base::Error(base::Code::kFailedPrecondition, "apparmor is not supported: the profile \"" +
                                                                base::Printable(name, 256) +
                                                                "\" cannot be applied on this node");
      }
      ASSIGN_OR_RETURN(const bool is_loaded, apparmor->IsLoaded(name));
      if (!is_loaded) {
        return base::NotFound("apparmor profile not found " + base::Printable(name, 256) +
                              ": it is not loaded on this node");
      }
      return name;
    }
    default:
      return InvalidArgument("there is no AppArmor profile type " + std::to_string(profile.profile_type()));
  }
}

}  // namespace cri
