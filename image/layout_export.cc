#include "image/layout_export.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <map>

#include "base/fd.h"
#include "base/files.h"
#include "base/text.h"
#include "image/digest.h"
#include "image/json.h"
#include "image/pack.h"
#include "image/reference.h"

namespace image {
namespace {

using base::Code;
using base::ErrnoError;
using base::Error;
using base::Result;
using base::Status;

constexpr size_t kReadBytes = size_t{256} << 10;

struct Blob {
  std::string digest;
  uint64_t size = 0;
};

Json DescriptorOf(const char* media_type, const Blob& blob) {
  return {{"mediaType", media_type}, {"digest", blob.digest}, {"size", blob.size}};
}

Result<Blob> DigestFile(const std::string& path, const std::stop_token& stop) {
  const base::UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!fd) return ErrnoError("open " + path);
  Hasher hasher("sha256");
  Blob blob;
  std::string buffer(kReadBytes, '\0');
  while (true) {
    if (stop.stop_requested()) return Error(Code::kCancelled, "cancelled");
    const ssize_t got = ::read(fd.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ErrnoError("read " + path);
    if (got == 0) break;
    hasher.Update({buffer.data(), static_cast<size_t>(got)});
    blob.size += static_cast<uint64_t>(got);
  }
  blob.digest = hasher.Finish();
  return blob;
}

class LayoutWriter {
 public:
  explicit LayoutWriter(std::string root) : root_(std::move(root)) {}

  Result<ExportedImage> Write(const ExportSource& image, const std::stop_token& stop) {
    RETURN_IF_ERROR(base::MakeDirectories(root_ + "/blobs/sha256", 0755));
    Json layers = Json::array();
    Json diff_ids = Json::array();
    std::map<std::string, Blob> packed;  // by diff ID: an image may have a layer repeatedly
    for (size_t i = 0; i < image.diff_ids.size(); ++i) {
      const std::string& diff_id = image.diff_ids[i];
      if (!packed.contains(diff_id)) {
        ASSIGN_OR_RETURN(packed[diff_id], AddLayer(image.layer_directories[i], image.implied_directories[i], stop));
      }
      layers.push_back(DescriptorOf("application/vnd.oci.image.layer.v1.tar", packed[diff_id]));
      diff_ids.push_back(packed[diff_id].digest);
    }
    ASSIGN_OR_RETURN(const std::string config, ConfigWith(image, diff_ids));
    ASSIGN_OR_RETURN(const Blob config_blob, AddText(config));
    const Json manifest = {{"schemaVersion", 2},
                           {"mediaType", "application/vnd.oci.image.manifest.v1+json"},
                           {"config", DescriptorOf("application/vnd.oci.image.config.v1+json", config_blob)},
                           {"layers", layers}};
    ASSIGN_OR_RETURN(const Blob manifest_blob, AddText(Dump(manifest)));
    RETURN_IF_ERROR(WriteIndex(image, manifest_blob, config));
    return ExportedImage{config_blob.digest, manifest_blob.digest};
  }

 private:
  std::string BlobPath(const std::string& digest) const {
    return root_ + "/blobs/sha256/" + std::string(DigestHex(digest));
  }

  Result<Blob> AddLayer(const std::string& directory, const std::set<std::string>& implied,
                        const std::stop_token& stop) {
    if (stop.stop_requested()) return Error(Code::kCancelled, "cancelled");
    const std::string path = root_ + "/blobs/sha256/layer";
    RETURN_IF_ERROR(PackLayer(directory, path, implied));
    if (::chmod(path.c_str(), 0644) != 0) return ErrnoError("set mode of " + path);
    ASSIGN_OR_RETURN(Blob blob, DigestFile(path, stop));
    if (std::rename(path.c_str(), BlobPath(blob.digest).c_str()) != 0) return ErrnoError("rename " + path);
    return blob;
  }

  Result<Blob> AddText(const std::string& text) {
    Blob blob{Sha256(text), text.size()};
    RETURN_IF_ERROR(base::WriteFileDurable(BlobPath(blob.digest), text, 0644));
    return blob;
  }

  // The configuration unchanged, or with other diff IDs where it must have them.
  static Result<std::string> ConfigWith(const ExportSource& image, const Json& diff_ids) {
    if (diff_ids == Json(image.diff_ids)) return image.raw_config;
    ASSIGN_OR_RETURN(Json config, ParseObject(image.raw_config, "the image configuration"));
    config["rootfs"] = {{"type", "layers"}, {"diff_ids", diff_ids}};
    return Dump(config);
  }

  Status WriteIndex(const ExportSource& image, const Blob& manifest, const std::string& config) {
    ASSIGN_OR_RETURN(const Json parsed, ParseObject(config, "the image configuration"));
    Json entry = DescriptorOf("application/vnd.oci.image.manifest.v1+json", manifest);
    entry["platform"] = {{"os", StringAt(parsed, "os")}, {"architecture", StringAt(parsed, "architecture")}};
    if (const std::string variant = StringAt(parsed, "variant"); !variant.empty())
      entry["platform"]["variant"] = variant;
    Json entries = Json::array();
    for (const std::string& tag : image.tags) {
      ASSIGN_OR_RETURN(const Reference reference, ParseReference(tag));
      Json named = entry;
      // The first is read by skopeo and others; the second, the whole name, by containerd.
      named["annotations"] = {{"org.opencontainers.image.ref.name", reference.tag}, {"io.containerd.image.name", tag}};
      entries.push_back(std::move(named));
    }
    if (entries.empty()) entries.push_back(std::move(entry));
    const Json index = {{"schemaVersion", 2},
                        {"mediaType", "application/vnd.oci.image.index.v1+json"},
                        {"manifests", std::move(entries)}};
    RETURN_IF_ERROR(base::WriteFileDurable(root_ + "/index.json", Dump(index), 0644));
    return base::WriteFileDurable(root_ + "/oci-layout", R"({"imageLayoutVersion":"1.0.0"})", 0644);
  }

  const std::string root_;
};

}  // namespace

Result<ExportedImage> ExportLayout(const ExportSource& image, const std::string& directory,
                                   const std::stop_token& stop) {
  std::string target = directory;
  while (target.size() > 1 && target.ends_with('/')) target.pop_back();
  // Gives way if it is empty.
  if (::rmdir(target.c_str()) != 0 && errno != ENOENT) {
    if (errno == ENOTEMPTY || errno == EEXIST || errno == ENOTDIR) {
      return Error(Code::kAlreadyExists, target + " exists and is no empty directory");
    }
    return ErrnoError("replace " + target);
  }
  const std::string staging = target + ".export-" + base::RandomHex(4);
  auto exported = LayoutWriter(staging).Write(image, stop);
  if (exported.ok()) {
    const std::string parent = target.substr(0, target.rfind('/') + 1);
    Status named = base::SyncDirectory(staging + "/blobs/sha256");
    if (named.ok() && ::renameat2(AT_FDCWD, staging.c_str(), AT_FDCWD, target.c_str(), RENAME_NOREPLACE) != 0) {
      named = ErrnoError("rename " + staging + " to " + target);
    }
    if (named.ok()) named = base::SyncDirectory(parent.empty() ? "." : parent);
    if (!named.ok()) exported = std::move(named).error();
  }
  if (!exported.ok()) (void)base::RemoveTree(staging);
  return std::move(exported).Wrap("export " + base::Printable(image.id));
}

}  // namespace image
