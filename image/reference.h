// Image references, "registry/repository:tag@digest", in the grammar of the distribution project's reference package
// and with Docker's completion of short names.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace image {

struct Reference {
  std::string domain;      // "docker.io", "localhost:5000", "[::1]:5000"
  std::string repository;  // "library/busybox"
  std::string tag;         // empty only when there is a digest
  std::string digest;      // "sha256:…" or empty

  // "docker.io/library/busybox"
  std::string Name() const { return domain + "/" + repository; }
  // The name with the digest if there is one, else with the tag: what identifies the image.
  std::string ToString() const { return Name() + (digest.empty() ? ":" + tag : "@" + digest); }
};

// Parses and completes: "busybox" is docker.io/library/busybox:latest. kInvalidArgument says what is wrong.
base::Result<Reference> ParseReference(std::string_view text);

}  // namespace image
