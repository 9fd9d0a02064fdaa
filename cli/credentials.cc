#include "cli/credentials.h"

#include <cstdlib>
#include <iostream>
#include <vector>

#include "image/auth_file.h"
#include "image/reference.h"

namespace cli {
namespace {

using base::Result;

constexpr size_t kMostPassword = 65536;

// NOLINTNEXTLINE(concurrency-mt-unsafe): nothing changes the environment
std::string Variable(const char* name, const char* suffix = "") {
  const char* value = std::getenv(name);  // NOLINT(concurrency-mt-unsafe)
  return value == nullptr || *value == '\0' ? "" : std::string(value) + suffix;
}

Result<std::string> ReadPassword() {
  std::string line;
  std::getline(std::cin, line);
  if (line.empty() || line.size() > kMostPassword) {
    return base::InvalidArgument("standard input has no password in its first line");
  }
  return line;
}

}  // namespace

void AddCredentialOptions(CLI::App& app, CredentialOptions& options) {
  app.add_option("--authfile", options.auth_file, "File of registry credentials, as docker and podman login write it");
  auto* const user = app.add_option("--username", options.username, "User name at the registry");
  auto* const password =
      app.add_flag("--password-stdin", options.password_stdin, "Read the password from standard input");
  user->needs(password);
  password->needs(user);
}

Result<image::Credentials> CredentialsFor(const CredentialOptions& options, const std::string& reference) {
  image::Credentials credentials;
  if (!options.username.empty()) {
    credentials.username = options.username;
    ASSIGN_OR_RETURN(credentials.password, ReadPassword());
    return credentials;
  }
  ASSIGN_OR_RETURN(const image::Reference parsed, image::ParseReference(reference));
  if (!options.auth_file.empty()) return image::LoadCredentials(options.auth_file, parsed);
  std::vector<std::string> paths = {
      Variable("REGISTRY_AUTH_FILE"), Variable("XDG_RUNTIME_DIR", "/containers/auth.json"),
      Variable("DOCKER_CONFIG", "/config.json"), Variable("HOME", "/.docker/config.json")};
  for (const std::string& path : paths) {
    if (path.empty()) continue;
    auto found = image::LoadCredentials(path, parsed);
    if (found.ok() || found.error().code() != base::Code::kNotFound) return found;
  }
  return credentials;
}

}  // namespace cli
