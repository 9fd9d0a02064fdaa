// What of a pull's credentials one registry host may see.
#pragma once

#include <string>

#include "image/store.h"

namespace image {

struct HostCredentials {
  std::string basic;  // base64 of "username:password"
  std::string identity_token;
  std::string registry_token;
};

// The credentials for the host `authority`, which serves images of `domain` and may be the registry itself
// (`upstream`). Those that name a server are for this server alone; others are for the registry itself and never for a
// mirror. Docker's registry goes by several names, which count as one.
HostCredentials CredentialsFor(const Credentials& credentials, const std::string& domain, const std::string& authority,
                               bool upstream);

}  // namespace image
