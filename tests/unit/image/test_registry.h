// A registry with images made up by a test, and with the faults that it asks for.
#pragma once

#include <functional>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "tar_builder.h"
#include "test_server.h"

namespace image {

// An image as it would be pushed: blobs and manifests by digest.
struct TestImage {  // NOLINT(bugprone-exception-escape): moving a json value checks an invariant
  std::string config;
  std::string config_digest;  // the image's id
  std::string manifest;
  std::string manifest_digest;
  std::string manifest_type;
  std::vector<std::string> layers;         // as transferred
  std::vector<std::string> layer_digests;  // of these
  std::vector<std::string> diff_ids;
  nlohmann::json manifest_json;
};

struct TestImageOptions {
  Compression compression = Compression::kGzip;
  bool docker_types = false;
  std::string architecture;  // empty: this machine's
  std::string os = "linux";
  nlohmann::json config = nlohmann::json::object();  // the "config" member
};

// `tars` are the layers' uncompressed archives, lowest first.
TestImage MakeImage(const std::vector<std::string>& tars, const TestImageOptions& options = {});

// This machine's architecture in Go's words.
std::string HostArchitecture();

class TestRegistry {
 public:
  // Looked at before the registry itself answers.
  using Intercept = std::function<std::optional<TestResponse>(const TestRequest&)>;

  explicit TestRegistry(Intercept intercept = {})
      : intercept_(std::move(intercept)), server_([this](const TestRequest& request) { return Answer(request); }) {}

  void Push(const std::string& repository, const std::string& tag, const TestImage& image);
  void PutManifest(const std::string& repository, const std::string& reference, const std::string& type,
                   const std::string& content);
  void PutBlob(const std::string& digest, const std::string& content);

  TestServer& server() { return server_; }
  std::string authority() const { return server_.authority(); }

  // Writes a hosts.toml below `hosts_directory` that allows plain http for this registry.
  void AllowPlainHttp(const std::string& hosts_directory) const;

 private:
  TestResponse Answer(const TestRequest& request);

  Intercept intercept_;
  std::mutex mutex_;
  std::map<std::string, std::pair<std::string, std::string>> manifests_;  // "repository/manifests/x" to type, content
  std::map<std::string, std::string> blobs_;
  // Last: its threads use the rest.
  TestServer server_;
};

}  // namespace image
