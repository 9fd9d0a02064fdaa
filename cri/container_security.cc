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

// The profile of a container: the message of today, else the text that clients before Kubernetes 1.19 and 1.30 send.
base::Result<SecurityProfile> ProfileOf(bool is_given, const SecurityProfile& given, const std::string& text,
                                        std::string_view what) {
  SecurityProfile profile = given;
  constexpr std::string_view kLocalhost = "localhost/";
  if (!is_given) {
    if (text.empty() || text == "unconfined") {
      profile.set_profile_type(SecurityProfile::Unconfined);
    } else if (text == "runtime/default" || text == "docker/default") {
      profile.set_profile_type(SecurityProfile::RuntimeDefault);
    } else if (text.starts_with(kLocalhost)) {
      profile.set_profile_type(SecurityProfile::Localhost);
      profile.set_localhost_ref(text);
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

base::Result<nspawn::Capabilities> MakeCapabilities(const v1::LinuxContainerSecurityContext& security) {
  const uint64_t all = nspawn::AllCapabilities();
  if (security.privileged()) return nspawn::Capabilities{all, all, 0, 0};
  uint64_t kept = nspawn::kDefaultCapabilities;
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

base::Status AddSeccomp(const v1::LinuxContainerSecurityContext& security, nspawn::ContainerSpec& spec) {
  if (security.privileged()) return base::Ok();
  ASSIGN_OR_RETURN(const SecurityProfile profile,
                   ProfileOf(security.has_seccomp(), security.seccomp(), security.seccomp_profile_path(), "seccomp"));
  const uint64_t capabilities = spec.process.capabilities.bounding;
  switch (profile.profile_type()) {
    case SecurityProfile::Unconfined:
      return base::Ok();
    case SecurityProfile::RuntimeDefault: {
      ASSIGN_OR_RETURN(spec.seccomp_program, nspawn::DefaultSeccompProgram(capabilities));
      break;
    }
    case SecurityProfile::Localhost: {
      if (profile.localhost_ref().front() != '/') {
        return InvalidArgument("seccomp profile \"" + base::Printable(profile.localhost_ref(), 256) +
                               "\" is not an absolute path");
      }
      ASSIGN_OR_RETURN(nspawn::SeccompProfile loaded,
                       nspawn::LoadSeccompProfile(profile.localhost_ref(), capabilities));
      spec.seccomp_program = std::move(loaded.program);
      spec.process.seccomp_flags = loaded.flags;
      break;
    }
    default:
      return InvalidArgument("there is no seccomp profile type " + std::to_string(profile.profile_type()));
  }
  spec.process.seccomp = true;
  return base::Ok();
}

}  // namespace cri
