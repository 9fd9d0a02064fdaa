// Unpacks the tar stream of a layer into a directory that overlayfs can use as a lower directory.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "image/stream.h"
#include "image/tree_record.h"

namespace image {

struct UnpackBounds {
  uint64_t most_bytes = 0;    // of one file's apparent size; the stream's own length bounds their sum
  uint64_t most_entries = 0;  // of the archive, and of directories made for them
};

struct UnpackedSize {
  uint64_t bytes = 0;  // on disk, files and directories rounded up to blocks
  uint64_t inodes = 0;
};

// Unpacks `tar` (already decompressed) into `directory`, which must be empty and is only ours to change. The stream may
// not be read to its end.
//
// Everything in the archive is hostile: no entry is written outside of `directory`. A name with ".." and one that leads
// out through a symbolic link of the archive itself (an absolute link does) are errors; where symbolic links point to
// is free. The last of several entries of one name wins, and directories are merged.
//
// Whiteouts of the OCI layer format become those of overlayfs: ".wh.NAME" a character device 0/0, ".wh..wh..opq" the
// attribute trusted.overlay.opaque. Of extended attributes only security.capability and user.* are kept (trusted.* and
// user.overlay.* would steer overlayfs). Owners, modes with setuid bits, times and devices are kept.
//
// `recorder`, where there is one, is told what the tree holds in the end; completing it is the caller's.
//
// kDataLoss: no valid tar, or a hostile one; kResourceExhausted: bounds, disk full.
base::Result<UnpackedSize> UnpackTar(ByteReader& tar, const std::string& directory, const UnpackBounds& bounds,
                                     TreeRecorder* recorder = nullptr);

}  // namespace image
