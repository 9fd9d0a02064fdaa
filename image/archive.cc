#include "image/archive.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>

#include "base/files.h"
#include "base/text.h"
#include "image/digest.h"
#include "image/json.h"
#include "image/platform.h"
#include "image/stream.h"

namespace image {
namespace {

using base::Code;
using base::ErrnoError;
using base::Error;
using base::Status;
using base::UniqueFd;

constexpr size_t kReadBytes = size_t{256} << 10;
constexpr char kNameAnnotation[] = "io.containerd.image.name";
constexpr char kTagAnnotation[] = "org.opencontainers.image.ref.name";

class FileReader : public ByteReader {
 public:
  FileReader(UniqueFd fd, std::stop_token stop)
      : fd_(std::move(fd)), stop_(std::move(stop)), buffer_(kReadBytes, '\0') {}

  base::Result<std::string_view> Next() override {
    while (true) {
      if (stop_.stop_requested()) return Error(Code::kCancelled, "cancelled");
      const ssize_t got = ::read(fd_.get(), buffer_.data(), buffer_.size());
      if (got >= 0) return std::string_view(buffer_.data(), static_cast<size_t>(got));
      if (errno != EINTR) return ErrnoError("read");
    }
  }

 private:
  const UniqueFd fd_;
  const std::stop_token stop_;
  std::string buffer_;
};

std::string AnnotationOf(const Descriptor& descriptor, std::string_view name) {
  for (const auto& [key, value] : descriptor.annotations) {
    if (key == name) return value;
  }
  return "";
}

// A file name made fit for a repository's.
std::string RepositoryOf(std::string_view archive) {
  std::string out;
  for (const std::string_view suffix : {".gz", ".zst", ".tar", ".tgz", ".oci"}) {
    if (archive.ends_with(suffix)) archive.remove_suffix(suffix.size());
  }
  for (const char c : archive) {
    const auto lower = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
    const bool good = (lower >= 'a' && lower <= 'z') || (lower >= '0' && lower <= '9');
    if (good) {
      out += lower;
    } else if (!out.empty() && out.back() != '-') {
      out += '-';
    }
  }
  while (!out.empty() && out.back() == '-') out.pop_back();
  return out.empty() ? "image" : out.substr(0, 100);
}

}  // namespace

base::Result<UniqueFd> Archive::OpenFile(const std::string& path) const {
  // Nonblocking, for a pipe in the archive; the links of "docker save" archives are followed inside.
  ASSIGN_OR_RETURN(UniqueFd fd, base::OpenInRoot(root_.get(), path, O_RDONLY | O_NONBLOCK | O_NOCTTY));
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0) return ErrnoError("stat " + path);
  if (!S_ISREG(info.st_mode))
    return Error(Code::kDataLoss, "\"" + base::Printable(path, 200) + "\" is no regular file");
  return fd;
}

base::Result<std::string> Archive::ReadDocument(const std::string& path) const {
  ASSIGN_OR_RETURN(const UniqueFd fd, OpenFile(path));
  return base::ReadAll(fd.get(), kMostDocumentBytes, path);
}

base::Result<std::unique_ptr<Archive>> Archive::Open(const std::string& directory, const std::string& name) {
  auto archive = std::make_unique<Archive>();
  archive->root_.reset(::open(directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!archive->root_) return ErrnoError("open " + directory);
  const auto layout = archive->ReadDocument("index.json");
  const auto docker = archive->ReadDocument("manifest.json");
  if (layout.ok()) RETURN_IF_ERROR(archive->ReadLayout(*layout, name));
  // Newer Docker versions write both, and not all of them write the names into both.
  const auto& entries = archive->entries_;
  const bool named =
      std::any_of(entries.begin(), entries.end(), [](const Entry& entry) { return !entry.names.empty(); });
  if (docker.ok() && !named) {
    archive->entries_.clear();
    RETURN_IF_ERROR(archive->ReadDockerArchive(*docker));
  }
  if (!layout.ok() && !docker.ok()) {
    return Error(Code::kDataLoss,
                 "neither an OCI image layout (no index.json) nor a docker archive (no manifest.json)");
  }
  if (archive->entries_.empty()) {
    return base::NotFound("no image in it is for this node's platform " + ToString(HostPlatforms().front()));
  }
  return archive;
}

Status Archive::ReadLayout(const std::string& index, const std::string& name) {
  ASSIGN_OR_RETURN(const auto document, ParseManifest(index, ""));
  const Index* list = std::get_if<Index>(&document);
  if (list == nullptr) return Error(Code::kDataLoss, "index.json is no image index");
  for (const Descriptor& manifest : list->manifests) {
    if (manifest.platform.has_value() && !manifest.platform->os.empty() && !Fits(*manifest.platform, HostPlatforms())) {
      continue;
    }
    Entry entry;
    entry.manifest_digest = manifest.digest;
    const std::string full = AnnotationOf(manifest, kNameAnnotation);
    const std::string tag = AnnotationOf(manifest, kTagAnnotation);
    // The annotation of the specification holds a tag in some tools' layouts and a whole reference in others'.
    std::string text = !full.empty() ? full : tag;
    if (full.empty() && tag.find_first_of("/:") == std::string::npos) {
      text = "localhost/" + RepositoryOf(name) + (tag.empty() ? "@" + manifest.digest : ":" + tag);
    }
    ASSIGN_OR_RETURN(Reference reference, ParseReference(text));
    entry.names.push_back(std::move(reference));
    entries_.push_back(std::move(entry));
  }
  return base::Ok();
}

Status Archive::ReadDockerArchive(const std::string& manifest) {
  // The document is an array, which the parser for objects takes as a member.
  ASSIGN_OR_RETURN(const Json document, ParseObject("{\"images\":" + manifest + "}", "manifest.json"));
  const Json* images = ArrayAt(document, "images");
  if (images == nullptr) return Error(Code::kDataLoss, "manifest.json lists no images");
  for (const Json& image : *images) {
    Entry entry;
    entry.config_file = StringAt(image, "Config");
    entry.layer_files = StringsAt(image, "Layers");
    for (const std::string& text : StringsAt(image, "RepoTags")) {
      ASSIGN_OR_RETURN(Reference reference, ParseReference(text));
      entry.names.push_back(std::move(reference));
    }
    entries_.push_back(std::move(entry));
  }
  return base::Ok();
}

base::Result<ResolvedImage> Archive::Resolve(const Entry& entry, const std::stop_token& stop) {
  if (!entry.manifest_digest.empty()) return ResolveImage(*this, entry.manifest_digest, stop);
  ResolvedImage image;
  ASSIGN_OR_RETURN(image.raw_config, ReadDocument(entry.config_file));
  image.manifest.config.digest = Sha256(image.raw_config);
  image.manifest.config.size = image.raw_config.size();
  ASSIGN_OR_RETURN(image.config, ParseConfig(image.raw_config));
  for (size_t i = 0; i < std::min(entry.layer_files.size(), image.config.diff_ids.size()); ++i) {
    const std::string& file = entry.layer_files[i];
    ASSIGN_OR_RETURN(const UniqueFd fd, OpenFile(file));
    struct stat info {};
    if (::fstat(fd.get(), &info) != 0) return ErrnoError("stat " + file);
    Descriptor layer;
    layer.digest = image.config.diff_ids[i];
    layer.size = static_cast<uint64_t>(info.st_size);
    layer_files_[layer.digest] = file;
    image.manifest.layers.push_back(std::move(layer));
  }
  if (entry.layer_files.size() != image.config.diff_ids.size()) {
    return Error(Code::kDataLoss, "manifest.json and the image's configuration differ in the number of layers");
  }
  RETURN_IF_ERROR(CheckImage(image));
  return image;
}

base::Result<ManifestBlob> Archive::FetchManifest(const std::string& digest, std::stop_token) {
  ManifestBlob blob;
  const std::string path = "blobs/" + std::string(DigestAlgorithm(digest)) + "/" + std::string(DigestHex(digest));
  ASSIGN_OR_RETURN(blob.content, ReadDocument(path));
  BlobVerifier verifier(digest, blob.content.size());
  RETURN_IF_ERROR(verifier.Update(blob.content));
  RETURN_IF_ERROR(verifier.Finish());
  blob.digest = digest;
  return blob;
}

Status Archive::FetchBlob(const Descriptor& blob, const ByteSink& sink, std::stop_token stop) {
  const auto docker = layer_files_.find(blob.digest);
  const std::string path = docker != layer_files_.end() ? docker->second
                                                        : "blobs/" + std::string(DigestAlgorithm(blob.digest)) + "/" +
                                                              std::string(DigestHex(blob.digest));
  ASSIGN_OR_RETURN(UniqueFd fd, OpenFile(path));
  FileReader reader(std::move(fd), stop);
  BlobVerifier verifier(blob.digest, blob.size);
  while (true) {
    ASSIGN_OR_RETURN(const std::string_view piece, reader.Next());
    if (piece.empty()) break;
    // A layer of a docker archive may be compressed, and its diff ID is checked when it is unpacked.
    if (docker == layer_files_.end()) RETURN_IF_ERROR(verifier.Update(piece));
    RETURN_IF_ERROR(sink(piece));
  }
  return docker == layer_files_.end() ? verifier.Finish() : base::Ok();
}

Status UnpackArchive(const std::string& path, const std::string& directory, const UnpackBounds& bounds,
                     const std::stop_token& stop) {
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!fd) return ErrnoError("open " + path);
  FileReader reader(std::move(fd), stop);
  DecompressingReader tar(reader);
  const auto unpacked = UnpackTar(tar, directory, bounds);
  if (!unpacked.ok()) return unpacked.error();
  return base::Ok();
}

}  // namespace image
