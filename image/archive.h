// Images in an unpacked archive: an OCI image layout
// (https://github.com/opencontainers/image-spec/blob/main/image-layout.md) or what "docker save" writes.
#pragma once

#include <map>
#include <memory>
#include <stop_token>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "image/pull.h"
#include "image/reference.h"
#include "image/source.h"

namespace image {

class Archive : public Source {
 public:
  struct Entry {
    std::vector<Reference> names;  // with tags
    // For an OCI layout.
    std::string manifest_digest;
    // For "docker save": paths in the archive.
    std::string config_file;
    std::vector<std::string> layer_files;
  };

  // Reads what images there are. `name` is the archive's own, for images that state only a tag: these are called
  // localhost/<name>:<tag>. kDataLoss if it is neither kind of archive.
  static base::Result<std::unique_ptr<Archive>> Open(const std::string& directory, const std::string& name);

  const std::vector<Entry>& entries() const { return entries_; }
  base::Result<ResolvedImage> Resolve(const Entry& entry, const std::stop_token& stop);

  base::Result<ManifestBlob> FetchManifest(const std::string& digest, std::stop_token stop) override;
  base::Status FetchBlob(const Descriptor& blob, const ByteSink& sink, std::stop_token stop) override;

 private:
  base::Status ReadLayout(const std::string& index, const std::string& name);
  base::Status ReadDockerArchive(const std::string& manifest);
  base::Result<base::UniqueFd> OpenFile(const std::string& path) const;
  base::Result<std::string> ReadDocument(const std::string& path) const;

  base::UniqueFd root_;
  std::vector<Entry> entries_;
  // Where a "docker save" archive has a layer, by diff ID. Their only digest is the diff ID.
  std::map<std::string, std::string> layer_files_;
};

// Unpacks an archive file (tar, plain or compressed) into the empty `directory`.
base::Status UnpackArchive(const std::string& path, const std::string& directory, const UnpackBounds& bounds,
                           const std::stop_token& stop);

}  // namespace image
