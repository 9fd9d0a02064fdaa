#include "cri/container_user.h"

#include <cstdint>
#include <optional>
#include <string>

namespace cri {
namespace {

using base::InvalidArgument;

bool HasNul(const std::string& text) {
  return text.find('\0') != std::string::npos;
}

base::Result<std::optional<uint32_t>> MakeId(bool present, int64_t value, const char* field) {
  if (!present) return std::optional<uint32_t>();
  if (value < 0 || value >= UINT32_MAX)
    return InvalidArgument(std::string(field) + " " + std::to_string(value) + " is out of range");
  return std::optional<uint32_t>(static_cast<uint32_t>(value));
}

}  // namespace

base::Result<nspawn::User> MakeUser(const v1::LinuxContainerSecurityContext& security,
                                    const image::ImageConfig& image) {
  nspawn::User user;
  const bool named = security.has_run_as_user() || !security.run_as_username().empty();
  if (security.has_run_as_group() && !named) {
    return InvalidArgument("run_as_group is set without run_as_user or run_as_username");
  }
  ASSIGN_OR_RETURN(user.uid, MakeId(security.has_run_as_user(), security.run_as_user().value(), "run_as_user"));
  ASSIGN_OR_RETURN(user.gid, MakeId(security.has_run_as_group(), security.run_as_group().value(), "run_as_group"));
  if (!user.uid) {
    const std::string& name = security.run_as_username().empty() ? image.user : security.run_as_username();
    if (HasNul(name)) return InvalidArgument("the user's name holds a NUL");
    const size_t colon = name.find(':');
    user.name = name.substr(0, colon);
    if (colon != std::string::npos) user.group = name.substr(colon + 1);
  }
  for (const int64_t group : security.supplemental_groups()) {
    ASSIGN_OR_RETURN(const auto id, MakeId(true, group, "supplemental group"));
    user.supplementary_groups.push_back(*id);
  }
  user.strict_groups = security.supplemental_groups_policy() == v1::Strict;
  return user;
}

}  // namespace cri
