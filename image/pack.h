// Writes tar archives: the writable layer of a container as a layer of the OCI image format, and files as they are.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <string_view>

#include "base/result.h"

struct archive;

namespace image {

// Not thread-safe. After an error the archive is of no use.
class TarFile {
 public:
  // Creates `path`, which must not exist, with mode 0600.
  static base::Result<std::unique_ptr<TarFile>> Create(const std::string& path);
  virtual ~TarFile() = default;

  virtual base::Status AddDirectory(const std::string& name) = 0;
  virtual base::Status AddText(const std::string& name, std::string_view content) = 0;
  // The regular file `path`, which must not shrink meanwhile; symbolic links are not followed.
  virtual base::Status AddFile(const std::string& name, const std::string& path) = 0;
  // All that is in `directory`, the upper directory of an overlay in which nobody writes meanwhile. It is the inverse
  // of UnpackTar(): whiteouts of overlayfs become those of the OCI layer format, hard links stay, and of extended
  // attributes security.capability and user.* are kept. Sockets, which tar has no form for, are left out. Directories
  // of `implied` get no entry, but for empty ones; see ImpliedPaths.
  virtual base::Status AddLayer(const std::string& directory, std::set<std::string> implied) = 0;
  // Completes the archive and syncs it.
  virtual base::Status Finish() = 0;
};

// Packs the layer in `directory` into the new archive `path`.
base::Status PackLayer(const std::string& directory, const std::string& path,
                       const std::set<std::string>& implied = {});

}  // namespace image
