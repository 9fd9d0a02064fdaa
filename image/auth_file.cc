#include "image/auth_file.h"

#include <vector>

#include "base/files.h"
#include "image/json.h"

namespace image {
namespace {

using base::Result;

constexpr std::string_view kDockerDomain = "docker.io";
// By which docker calls its own registry.
constexpr const char* kDockerNames[] = {"https://index.docker.io/v1/", "index.docker.io", "registry-1.docker.io"};

// The names under which an entry may be, best first.
std::vector<std::string> KeysOf(const Reference& reference) {
  std::vector<std::string> keys;
  for (std::string name = reference.Name(); !name.empty(); name.resize(name.rfind('/'))) {
    keys.push_back(name);
    if (name.find('/') == std::string::npos) break;
  }
  for (const char* scheme : {"https://", "http://"}) {
    keys.push_back(scheme + reference.domain);
    keys.push_back(scheme + reference.domain + "/");
  }
  if (reference.domain == kDockerDomain) keys.insert(keys.end(), std::begin(kDockerNames), std::end(kDockerNames));
  return keys;
}

}  // namespace

Result<Credentials> CredentialsIn(std::string_view document, const Reference& reference) {
  ASSIGN_OR_RETURN(const Json parsed, ParseObject(document, "the file of credentials"));
  const Json* auths = ObjectAt(parsed, "auths");
  const Json* helpers = ObjectAt(parsed, "credHelpers");
  for (const std::string& key : KeysOf(reference)) {
    if (helpers != nullptr && helpers->contains(key)) {
      return base::Error(base::Code::kUnimplemented,
                         "the credentials for " + key + " are kept by a helper program, which is not supported");
    }
    const Json* entry = auths == nullptr ? nullptr : ObjectAt(*auths, key.c_str());
    if (entry == nullptr) continue;
    Credentials credentials;
    credentials.username = StringAt(*entry, "username");
    credentials.password = StringAt(*entry, "password");
    credentials.auth = StringAt(*entry, "auth");
    credentials.identity_token = StringAt(*entry, "identitytoken");
    credentials.registry_token = StringAt(*entry, "registrytoken");
    const bool empty = credentials.username.empty() && credentials.auth.empty() && credentials.identity_token.empty() &&
                       credentials.registry_token.empty();
    if (empty && !StringAt(parsed, "credsStore").empty()) {
      return base::Error(base::Code::kUnimplemented,
                         "the credentials for " + key + " are kept by a helper program, which is not supported");
    }
    return credentials;
  }
  return Credentials();
}

Result<Credentials> LoadCredentials(const std::string& path, const Reference& reference) {
  ASSIGN_OR_RETURN(const std::string document, base::ReadFile(path, kMostDocumentBytes));
  return CredentialsIn(document, reference).Wrap(path);
}

}  // namespace image
