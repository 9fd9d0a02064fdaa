// Image indexes, manifests and configurations of the OCI image specification 1.1 and their Docker schema 2 forms.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "base/result.h"
#include "image/store.h"

namespace image {

struct Platform {
  std::string os;
  std::string architecture;
  std::string variant;
};

// "linux/arm64/v8"
std::string ToString(const Platform& platform);

struct Descriptor {
  std::string media_type;
  std::string artifact_type;  // of an artifact's manifest, in an index of referrers
  std::string digest;
  uint64_t size = 0;
  std::optional<Platform> platform;
  std::vector<std::pair<std::string, std::string>> annotations;
  // Where content lies that registries do not distribute.
  std::vector<std::string> urls;
};

struct Index {
  std::vector<Descriptor> manifests;
};

struct Manifest {
  Descriptor config;
  std::vector<Descriptor> layers;  // lowest first
};

// What a manifest holds that is no container image, such as a signature.
struct Artifact {
  std::vector<Descriptor> layers;
  std::vector<std::pair<std::string, std::string>> annotations;
};

// What the configuration says beside the execution defaults.
struct ConfigDocument {
  ImageConfig config;
  Platform platform;
  std::vector<std::string> diff_ids;  // lowest layer first
};

// The media types that a client accepts for a manifest, as the value of an Accept header.
extern const char kManifestTypes[];

// Reads a manifest or an index. `content_type` is what the registry called it and decides nothing that the document
// itself says: a document that could be read as both is refused (the ambiguity of CVE-2021-41190), as is Docker's
// schema 1 (kUnimplemented).
base::Result<std::variant<Index, Manifest>> ParseManifest(std::string_view text, std::string_view content_type);

// Reads a manifest whatever its layers are.
base::Result<Artifact> ParseArtifact(std::string_view text);

// Reads the index of the artifacts that refer to a manifest (the distribution specification's referrers API).
base::Result<Index> ParseReferrers(std::string_view text);

base::Result<ConfigDocument> ParseConfig(std::string_view text);

}  // namespace image
