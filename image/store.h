// The image store: pulls images, keeps their layers unpacked, answers what is there, removes.
//
// Thread-safe. Calls block; those that can take long watch a std::stop_token. What the layout on disk is and why it
// survives a power loss at any instant is written in docs/architecture.md.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "image/layer_check.h"
#include "image/layout_export.h"

namespace image {

class PullObserver;

// How the message of an error begins when the signature policy refuses an image; the error's code is then kUnknown. By
// both, a kubelet knows this reason (ErrSignatureValidationFailed of k8s.io/cri-api/pkg/errors).
inline constexpr std::string_view kSignatureValidationFailed = "SignatureValidationFailed";

struct StoreOptions {
  // The store's own directory, for example /var/lib/cri-nspawn/images.
  std::string root;
  // Per-registry configuration in containerd's layout: <directory>/<host>/hosts.toml. May be empty or missing.
  std::string hosts_directory;
  // A policy in the format of containers-policy.json(5): which images need which signatures to be pulled, whether or
  // not they are here already. Imports are not under it. Empty: all may be pulled.
  std::string signature_policy;
  // A folder whose OCI and docker archives are imported, for nodes without a registry. Empty: none.
  std::string import_directory;
  // Layers fetched and unpacked at once: over all pulls, of one image, and from one registry.
  unsigned parallel_layers = 6;
  unsigned parallel_layers_per_image = 4;
  unsigned parallel_layers_per_registry = 4;
  // Bytes that one layer may unpack to.
  uint64_t most_layer_bytes = uint64_t{64} << 30;
  // Files that one layer may have.
  uint64_t most_layer_entries = 4'000'000;
  // A transfer that receives nothing for this long fails, and one that receives less than 1 KiB a second over this
  // long.
  std::chrono::seconds idle_timeout{60};
};

// The execution defaults of an image: the "config" object of the OCI image configuration.
struct ImageConfig {
  std::vector<std::string> entrypoint;
  std::vector<std::string> command;
  std::vector<std::string> environment;  // NAME=value
  std::string user;                      // "", "uid", "name", "uid:gid", "name:group" …
  std::string working_directory;
  std::string stop_signal;  // "SIGTERM", "15" or empty
  std::vector<std::string> volumes;
  std::vector<std::string> exposed_ports;  // "80/tcp"
  std::vector<std::pair<std::string, std::string>> labels;
};

struct Image {
  // "sha256:…", the digest of the image's configuration: CRI's image id.
  std::string id;
  std::vector<std::string> tags;     // full references: "docker.io/library/busybox:latest"
  std::vector<std::string> digests;  // full references: "docker.io/library/busybox@sha256:…"
  // Bytes of the compressed layers and the configuration, as the manifest states them.
  uint64_t size = 0;
  std::string architecture;
  std::string os;
  ImageConfig config;
  // The configuration as the registry gave it (JSON), for verbose status.
  std::string raw_config;
  // Absolute directories of the unpacked layers, lowest first. Each may be used as an overlay lower directory:
  // whiteouts and opaque marks are in overlayfs' own form.
  std::vector<std::string> layer_directories;
};

// Credentials of CRI's AuthConfig; empty members mean absent. Never logged.
struct Credentials {
  std::string username;
  std::string password;
  std::string auth;            // base64 of "username:password"
  std::string identity_token;  // OAuth2 refresh token
  std::string registry_token;  // bearer token used as it is
  std::string server_address;  // when set, the credentials are for this host alone

  bool operator==(const Credentials&) const = default;
};

struct FilesystemUsage {
  std::string mountpoint;  // the store's root directory
  uint64_t used_bytes = 0;
  uint64_t inodes_used = 0;
};

struct ImportedImage {
  std::string id;
  std::vector<std::string> names;  // full references; none for an image without a name
};

class Store {
 public:
  // Opens or creates the store, drops what an interrupted operation left behind, and imports what lies in the import
  // directory. One process at a time has it open (kFailedPrecondition for a second one). kInvalidArgument for a
  // signature policy that is broken or asks for what is not supported.
  static base::Result<std::unique_ptr<Store>> Open(StoreOptions options);
  virtual ~Store() = default;

  // All images, by id.
  virtual std::vector<Image> List() const = 0;
  // The image that `reference` names: an id, with or without "sha256:", an unambiguous prefix of one of at least 12
  // digits, a tag, or a digest reference; short names are completed as Docker does ("busybox" is
  // "docker.io/library/busybox:latest"). Nothing when there is none. kInvalidArgument when it cannot be a reference.
  virtual base::Result<std::optional<Image>> Find(const std::string& reference) const = 0;
  // The first tag of the image with this whole id, if it has any.
  virtual std::optional<std::string> TagOf(const std::string& id) const = 0;
  // Another number whenever an image, or a name of one, has come or gone.
  virtual uint64_t Generation() const = 0;

  // Pulls `reference` and gives the image's id. Concurrent pulls of the same reference are one pull, and those of the
  // same layer share its download. The image is there at once; it outlives a power loss when it is synced, which is
  // begun within seconds. An error names the image, the layer where one is concerned, and the cause: kInvalidArgument
  // (no reference, or no container image), kNotFound (no such repository, tag or platform), kUnauthenticated and
  // kPermissionDenied, kDataLoss (digest or size differ, broken or hostile archive), kUnavailable (the registry does
  // not answer, or with 5xx or 429), kUnknown (it breaks the protocol, or see kSignatureValidationFailed),
  // kUnimplemented (Docker schema 1), kFailedPrecondition (broken hosts.toml), kResourceExhausted (bounds, disk full),
  // kCancelled. Nothing of a failed pull is left. `observer`, which may be null, is told how far it is, unless another
  // caller's pull is waited for.
  virtual base::Result<std::string> Pull(const std::string& reference, const Credentials& credentials,
                                         std::stop_token cancelled, PullObserver* observer = nullptr) = 0;

  // Imports the images of an OCI image layout (a directory, or a tar file of one) or of what "docker save" writes.
  // kNotFound when none of them is for this machine.
  virtual base::Result<std::vector<ImportedImage>> Import(const std::string& path, std::stop_token cancelled) = 0;

  // Writes the image that `reference` names as an OCI image layout; see ExportLayout().
  virtual base::Result<ExportedImage> Export(const std::string& reference, const std::string& directory,
                                             std::stop_token cancelled) = 0;

  // Compares every layer with what was recorded when it was unpacked, those of removed images that somebody still uses
  // included, and tells `checked` of each. With `repair`, what differs is pulled again by the digests of the images
  // that have it, without credentials. Who uses a layer goes on meanwhile. An error only when the check could not be
  // finished.
  using OnLayerChecked = std::function<void(const CheckedLayer& layer)>;
  virtual base::Status Check(bool repair, const OnLayerChecked& checked, std::stop_token cancelled) = 0;

  // Removes the image that `reference` names, with all of its tags and digests; it is no error that there is none.
  // Layers that another image or a user (see Hold) needs stay until they are no longer needed.
  virtual base::Status Remove(const std::string& reference) = 0;

  // Says that `user` (for example a container's id) needs the layers of image `id` from now on, or no longer those of
  // any image. Holds live in memory: who has users from an earlier run holds them again before it calls RemoveUnused.
  virtual base::Status Hold(const std::string& id, const std::string& user) = 0;
  virtual void Release(const std::string& user) = 0;
  // Removes layers that no image and no user needs. Release alone removes nothing: call this after it.
  virtual base::Status RemoveUnused() = 0;

  // What the store takes on disk, kept up to date as layers come and go: no walk.
  virtual base::Result<FilesystemUsage> Usage() const = 0;
};

}  // namespace image
