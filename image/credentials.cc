#include "image/credentials.h"

#include <algorithm>

#include "image/base64.h"

namespace image {
namespace {

// "https://index.docker.io/v1/" and "registry-1.docker.io" are "docker.io".
std::string ServerName(std::string address) {
  if (const size_t scheme = address.find("://"); scheme != std::string::npos) address.erase(0, scheme + 3);
  address = address.substr(0, address.find('/'));
  std::transform(address.begin(), address.end(), address.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  if (address == "index.docker.io" || address == "registry-1.docker.io") return "docker.io";
  return address;
}

}  // namespace

HostCredentials CredentialsFor(const Credentials& credentials, const std::string& domain, const std::string& authority,
                               bool upstream) {
  if (credentials.server_address.empty()) {
    if (!upstream) return {};
  } else {
    const std::string server = ServerName(credentials.server_address);
    if (server != ServerName(authority) && !(upstream && server == ServerName(domain))) return {};
  }
  HostCredentials out;
  out.identity_token = credentials.identity_token;
  out.registry_token = credentials.registry_token;
  if (!credentials.username.empty() || !credentials.password.empty()) {
    out.basic = EncodeBase64(credentials.username + ":" + credentials.password);
  } else {
    // Goes into a header as it is, so only the characters of base64 are taken.
    std::copy_if(credentials.auth.begin(), credentials.auth.end(), std::back_inserter(out.basic), [](char c) {
      return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' || c == '/' ||
             c == '=';
    });
  }
  return out;
}

}  // namespace image
