// Per-registry configuration in containerd's layout: <directory>/<host>/hosts.toml, or _default for every host that has
// no directory of its own (https://github.com/containerd/containerd/blob/main/docs/hosts.md).
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "image/http.h"

namespace image {

// One host to ask for the images of a registry: a mirror or the registry itself.
struct RegistryHost {
  Url url;                // path is the API's root without a trailing slash, for example "/v2"
  bool resolves = true;   // may be asked what a tag means
  bool pulls = true;      // may be asked for content by digest
  bool upstream = false;  // is the registry itself and gets the user's credentials
  TlsOptions tls;
  std::vector<std::string> headers;  // "Name: value", for this host alone
};

// The hosts to ask for images of `domain` (as in a reference: "docker.io", "localhost:5000"), in this order. Without a
// configuration that is the registry itself over https. kFailedPrecondition, naming the file, for one that is broken.
base::Result<std::vector<RegistryHost>> LoadRegistryHosts(const std::string& directory, const std::string& domain);

}  // namespace image
