#include "image/manifest.h"

#include <algorithm>
#include <array>

#include "base/text.h"
#include "image/digest.h"
#include "image/json.h"

namespace image {
namespace {

using base::Code;
using base::Error;

constexpr std::string_view kOciIndex = "application/vnd.oci.image.index.v1+json";
constexpr std::string_view kOciManifest = "application/vnd.oci.image.manifest.v1+json";
constexpr std::string_view kDockerList = "application/vnd.docker.distribution.manifest.list.v2+json";
constexpr std::string_view kDockerManifest = "application/vnd.docker.distribution.manifest.v2+json";
constexpr std::string_view kDockerSchema1 = "application/vnd.docker.distribution.manifest.v1+";

// overlayfs takes 500 lower directories, but mount(2) only one page of options; 127 is Docker's bound too.
constexpr size_t kMostLayers = 127;
// No file system that we run on holds more; it keeps sums of sizes from overflowing.
constexpr uint64_t kMostBlobBytes = uint64_t{1} << 50;

Error Broken(const std::string& why) {
  return {Code::kDataLoss, why};
}

bool IsConfigType(std::string_view type) {
  // Old Docker versions pushed configurations as plain octets.
  return type == "application/vnd.oci.image.config.v1+json" ||
         type == "application/vnd.docker.container.image.v1+json" || type == "application/octet-stream";
}

bool IsLayerType(std::string_view type) {
  constexpr std::array<std::string_view, 4> kStems = {
      "application/vnd.oci.image.layer.v1.tar", "application/vnd.oci.image.layer.nondistributable.v1.tar",
      "application/vnd.docker.image.rootfs.diff.tar", "application/vnd.docker.image.rootfs.foreign.diff.tar"};
  return std::any_of(kStems.begin(), kStems.end(), [&](std::string_view stem) {
    if (!type.starts_with(stem)) return false;
    const std::string_view compression = type.substr(stem.size());
    return compression.empty() || compression == "+gzip" || compression == "+zstd" || compression == ".gzip" ||
           compression == ".zstd";
  });
}

base::Result<Descriptor> ReadDescriptor(const Json& object, const std::string& what) {
  Descriptor out;
  out.media_type = StringAt(object, "mediaType");
  out.artifact_type = StringAt(object, "artifactType");
  out.digest = StringAt(object, "digest");
  if (!IsDigest(out.digest)) {
    return Broken(what + " has no valid sha256 or sha512 digest (\"" + base::Printable(out.digest, 100) + "\")");
  }
  const auto size = UnsignedAt(object, "size");
  if (!size.has_value() || *size > kMostBlobBytes) return Broken(what + " has no valid size");
  out.size = *size;
  if (const Json* platform = ObjectAt(object, "platform"); platform != nullptr) {
    out.platform =
        Platform{StringAt(*platform, "os"), StringAt(*platform, "architecture"), StringAt(*platform, "variant")};
  }
  out.annotations = StringMapAt(object, "annotations");
  out.urls = StringsAt(object, "urls");
  return out;
}

base::Result<Index> ReadIndex(const Json& document) {
  Index index;
  const Json* manifests = ArrayAt(document, "manifests");
  if (manifests == nullptr) return Broken("the image index lists no manifests");
  for (const Json& entry : *manifests) {
    ASSIGN_OR_RETURN(Descriptor descriptor, ReadDescriptor(entry, "a manifest of the image index"));
    index.manifests.push_back(std::move(descriptor));
  }
  return index;
}

base::Result<Manifest> ReadManifest(const Json& document) {
  Manifest manifest;
  const Json* config = ObjectAt(document, "config");
  const Json* layers = ArrayAt(document, "layers");
  if (config == nullptr || layers == nullptr) return Broken("the manifest has no configuration or no layers");
  ASSIGN_OR_RETURN(manifest.config, ReadDescriptor(*config, "the manifest's configuration"));
  if (!IsConfigType(manifest.config.media_type)) {
    return base::InvalidArgument("it is no container image: its configuration is of type \"" +
                                 base::Printable(manifest.config.media_type, 100) + "\"");
  }
  if (layers->size() > kMostLayers) {
    return Error(Code::kResourceExhausted, "the image has " + std::to_string(layers->size()) +
                                               " layers, more than the " + std::to_string(kMostLayers) +
                                               " that can be mounted");
  }
  for (const Json& entry : *layers) {
    ASSIGN_OR_RETURN(Descriptor layer, ReadDescriptor(entry, "a layer of the manifest"));
    if (!IsLayerType(layer.media_type)) {
      return base::InvalidArgument("layer " + layer.digest + " is of type \"" + base::Printable(layer.media_type, 100) +
                                   "\", which is not supported");
    }
    manifest.layers.push_back(std::move(layer));
  }
  return manifest;
}

}  // namespace

const char kManifestTypes[] =
    "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, "
    "application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json";

std::string ToString(const Platform& platform) {
  return platform.os + "/" + platform.architecture + (platform.variant.empty() ? "" : "/" + platform.variant);
}

base::Result<std::variant<Index, Manifest>> ParseManifest(std::string_view text, std::string_view content_type) {
  ASSIGN_OR_RETURN(const Json document, ParseObject(text, "the manifest"));
  std::string type = StringAt(document, "mediaType");
  if (type.empty()) type = base::Trim(content_type.substr(0, content_type.find(';')));
  if (UnsignedAt(document, "schemaVersion") == 1U || type.starts_with(kDockerSchema1)) {
    return Error(
        Code::kUnimplemented,
        "the manifest is of Docker's schema 1, which is obsolete and not supported: push the image again with a "
        "current tool");
  }
  const bool has_manifests = document.contains("manifests");
  const bool has_layers = document.contains("layers") || document.contains("config");
  if (has_manifests && has_layers) return Broken("the manifest is ambiguous: it lists both manifests and layers");
  if ((type == kOciIndex || type == kDockerList) == has_layers && has_layers) {
    return Broken("the manifest calls itself an image index but lists layers");
  }
  if ((type == kOciManifest || type == kDockerManifest) && has_manifests) {
    return Broken("the manifest calls itself an image manifest but lists manifests");
  }
  if (has_manifests) {
    ASSIGN_OR_RETURN(Index index, ReadIndex(document));
    return std::variant<Index, Manifest>(std::move(index));
  }
  if (!has_layers) return Broken("the manifest is neither an image index nor an image manifest");
  ASSIGN_OR_RETURN(Manifest manifest, ReadManifest(document));
  return std::variant<Index, Manifest>(std::move(manifest));
}

base::Result<Artifact> ParseArtifact(std::string_view text) {
  ASSIGN_OR_RETURN(const Json document, ParseObject(text, "the manifest"));
  const Json* layers = ArrayAt(document, "layers");
  if (layers == nullptr) return Broken("the manifest has no layers");
  Artifact artifact;
  for (const Json& entry : *layers) {
    ASSIGN_OR_RETURN(Descriptor layer, ReadDescriptor(entry, "a layer of the manifest"));
    artifact.layers.push_back(std::move(layer));
  }
  artifact.annotations = StringMapAt(document, "annotations");
  return artifact;
}

base::Result<Index> ParseReferrers(std::string_view text) {
  ASSIGN_OR_RETURN(const Json document, ParseObject(text, "the index of referrers"));
  return ReadIndex(document);
}

base::Result<ConfigDocument> ParseConfig(std::string_view text) {
  ASSIGN_OR_RETURN(const Json document, ParseObject(text, "the image configuration"));
  ConfigDocument out;
  out.platform = {StringAt(document, "os"), StringAt(document, "architecture"), StringAt(document, "variant")};
  if (const Json* config = ObjectAt(document, "config"); config != nullptr) {
    out.config.entrypoint = StringsAt(*config, "Entrypoint");
    out.config.command = StringsAt(*config, "Cmd");
    out.config.environment = StringsAt(*config, "Env");
    out.config.user = StringAt(*config, "User");
    out.config.working_directory = StringAt(*config, "WorkingDir");
    out.config.stop_signal = StringAt(*config, "StopSignal");
    out.config.volumes = KeysAt(*config, "Volumes");
    out.config.exposed_ports = KeysAt(*config, "ExposedPorts");
    out.config.labels = StringMapAt(*config, "Labels");
  }
  const Json* rootfs = ObjectAt(document, "rootfs");
  const Json* diff_ids = rootfs == nullptr ? nullptr : ArrayAt(*rootfs, "diff_ids");
  if (diff_ids == nullptr) {
    // An image without layers leaves them out.
    if (rootfs == nullptr) return Broken("the image configuration names no root file system");
    return out;
  }
  for (const Json& diff_id : *diff_ids) {
    const std::string digest = diff_id.is_string() ? diff_id.get<std::string>() : "";
    if (!IsDigest(digest)) return Broken("the image configuration has an invalid diff ID");
    out.diff_ids.push_back(digest);
  }
  return out;
}

}  // namespace image
