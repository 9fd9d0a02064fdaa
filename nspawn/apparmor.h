// AppArmor of the host's kernel: which profiles are loaded, and our default profile.
#pragma once

#include <string>

#include "base/result.h"
#include "nspawn/spawner.h"

namespace nspawn {

// Name of the profile that confines containers without one of their own.
inline constexpr char kDefaultAppArmorProfile[] = "cri-nspawn-default";

struct AppArmorOptions {
  std::string module = "/sys/module/apparmor";
  std::string security = "/sys/kernel/security/apparmor";
  std::string parser = "/usr/sbin/apparmor_parser";
  std::string default_profile = "/etc/apparmor.d/cri-nspawn-default";  // file that defines it
};

// Thread-safe.
class AppArmor {
 public:
  // `spawner` must live longer.
  explicit AppArmor(Spawner& spawner, AppArmorOptions options = {});

  // Whether the kernel confines by AppArmor and its profiles can be seen from here.
  bool IsEnabled() const;
  // Whether a profile is loaded, in whatever mode.
  base::Result<bool> IsLoaded(const std::string& profile) const;
  // Loads the default profile, unless it is loaded, by AppArmor's own parser. kFailedPrecondition says what is missing.
  base::Status LoadDefault() const;

 private:
  Spawner& spawner_;
  const AppArmorOptions options_;
};

}  // namespace nspawn
