// The options by which a subcommand gets credentials for a registry.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "base/result.h"
#include "image/store.h"

namespace cli {

struct CredentialOptions {
  std::string auth_file;
  std::string username;
  bool password_stdin = false;
};

void AddCredentialOptions(CLI::App& app, CredentialOptions& options);

// Credentials for pulling `reference`: as the options say, else those of the file that docker, podman and skopeo share:
// $REGISTRY_AUTH_FILE, $XDG_RUNTIME_DIR/containers/auth.json, $DOCKER_CONFIG/config.json, ~/.docker/config.json. Empty
// when there are none.
base::Result<image::Credentials> CredentialsFor(const CredentialOptions& options, const std::string& reference);

}  // namespace cli
