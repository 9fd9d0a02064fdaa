// Credentials in the file that "docker login", "podman login" and "skopeo login" write (docker's config.json,
// https://github.com/containers/image/blob/main/docs/containers-auth.json.5.md).
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "image/reference.h"
#include "image/store.h"

namespace image {

// What the document says for images of this name: the entry of the longest part of it that there is one for, down to
// the registry by itself. Empty where there is none. kDataLoss for a broken document; kUnimplemented when the
// credentials for it are kept by a helper program (credHelpers, credsStore).
base::Result<Credentials> CredentialsIn(std::string_view document, const Reference& reference);

// The same for a file. kNotFound when there is none.
base::Result<Credentials> LoadCredentials(const std::string& path, const Reference& reference);

}  // namespace image
