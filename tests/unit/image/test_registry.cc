#include "test_registry.h"

#include <cstdlib>

#include "base/files.h"
#include "image/digest.h"
#include "image/platform.h"

namespace image {

std::string HostArchitecture() {
  return HostPlatforms().front().architecture;
}

TestImage MakeImage(const std::vector<std::string>& tars, const TestImageOptions& options) {
  TestImage image;
  nlohmann::json layers = nlohmann::json::array();
  for (const std::string& tar : tars) {
    image.diff_ids.push_back(Sha256(tar));
    image.layers.push_back(Compress(tar, options.compression));
    image.layer_digests.push_back(Sha256(image.layers.back()));
    std::string type = options.docker_types ? "application/vnd.docker.image.rootfs.diff.tar"
                                            : "application/vnd.oci.image.layer.v1.tar";
    const char* separator = options.docker_types ? "." : "+";
    if (options.compression == Compression::kGzip) type += std::string(separator) + "gzip";
    if (options.compression == Compression::kZstd) type += std::string(separator) + "zstd";
    layers.push_back(
        {{"mediaType", type}, {"digest", image.layer_digests.back()}, {"size", image.layers.back().size()}});
  }
  const nlohmann::json config = {
      {"architecture", options.architecture.empty() ? HostArchitecture() : options.architecture},
      {"os", options.os},
      {"config", options.config},
      {"rootfs", {{"type", "layers"}, {"diff_ids", image.diff_ids}}}};
  image.config = config.dump();
  image.config_digest = Sha256(image.config);
  image.manifest_type = options.docker_types ? "application/vnd.docker.distribution.manifest.v2+json"
                                             : "application/vnd.oci.image.manifest.v1+json";
  image.manifest_json = {{"schemaVersion", 2},
                         {"mediaType", image.manifest_type},
                         {"config",
                          {{"mediaType", options.docker_types ? "application/vnd.docker.container.image.v1+json"
                                                              : "application/vnd.oci.image.config.v1+json"},
                           {"digest", image.config_digest},
                           {"size", image.config.size()}}},
                         {"layers", layers}};
  image.manifest = image.manifest_json.dump();
  image.manifest_digest = Sha256(image.manifest);
  return image;
}

void TestRegistry::PutManifest(const std::string& repository, const std::string& reference, const std::string& type,
                               const std::string& content) {
  const std::lock_guard lock(mutex_);
  manifests_["/v2/" + repository + "/manifests/" + reference] = {type, content};
  manifests_["/v2/" + repository + "/manifests/" + Sha256(content)] = {type, content};
}

void TestRegistry::PutBlob(const std::string& digest, const std::string& content) {
  const std::lock_guard lock(mutex_);
  blobs_[digest] = content;
}

void TestRegistry::Push(const std::string& repository, const std::string& tag, const TestImage& image) {
  PutManifest(repository, tag, image.manifest_type, image.manifest);
  PutBlob(image.config_digest, image.config);
  for (size_t i = 0; i < image.layers.size(); ++i) PutBlob(image.layer_digests[i], image.layers[i]);
}

TestResponse TestRegistry::Answer(const TestRequest& request) {
  if (intercept_) {
    if (auto response = intercept_(request); response.has_value()) return *std::move(response);
  }
  const std::lock_guard lock(mutex_);
  if (const auto manifest = manifests_.find(request.path); manifest != manifests_.end()) {
    const auto& [type, content] = manifest->second;
    return {.headers = {{"Content-Type", type}, {"Docker-Content-Digest", Sha256(content)}}, .body = content};
  }
  if (const size_t at = request.path.find("/blobs/"); at != std::string::npos) {
    if (const auto blob = blobs_.find(request.path.substr(at + 7)); blob != blobs_.end()) {
      const std::string range = request.Header("range");
      if (range.empty()) return {.body = blob->second};
      const size_t start = std::strtoul(range.c_str() + std::string("bytes=").size(), nullptr, 10);
      const size_t size = blob->second.size();
      const std::string content_range =
          "bytes " + std::to_string(start) + "-" + std::to_string(size - 1) + "/" + std::to_string(size);
      return {.status = 206, .headers = {{"Content-Range", content_range}}, .body = blob->second.substr(start)};
    }
  }
  const bool manifest = request.path.find("/manifests/") != std::string::npos;
  return {.status = 404,
          .headers = {{"Content-Type", "application/json"}},
          .body = manifest ? R"({"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]})"
                           : R"({"errors":[{"code":"BLOB_UNKNOWN","message":"blob unknown to registry"}]})"};
}

void TestRegistry::AllowPlainHttp(const std::string& hosts_directory) const {
  const std::string folder = hosts_directory + "/" + authority();
  if (!base::MakeDirectories(folder).ok() ||
      !base::WriteFileAtomic(folder + "/hosts.toml", "server = \"http://" + authority() + "\"\n").ok()) {
    std::abort();
  }
}

}  // namespace image
