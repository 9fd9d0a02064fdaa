// What a layer's tree is to hold: recorded in one file while the layer is unpacked, so that a later check can tell
// whether the tree still is what was pulled.
//
// A record is a sequence of NUL-terminated entries in the order in which the tree was made; a later entry of a path
// replaces an earlier one. At its end, where they are found without reading the rest, are the paths whose meaning
// depends on the layers below (ImpliedPaths). It is written by us, but every name in it comes from an image.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <ctime>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

struct XXH3_state_s;

namespace image {

// The record of the tree "x" is "x.tree" while it is being made, beside it.
inline constexpr std::string_view kTreeRecordSuffix = ".tree";

// Checksum (XXH3) of a file's content, taken while it is written. It tells accidents, not attacks: whoever can write to
// the store can write the record, too.
class ContentChecksum {
 public:
  ContentChecksum();
  ~ContentChecksum();
  ContentChecksum(const ContentChecksum&) = delete;
  ContentChecksum& operator=(const ContentChecksum&) = delete;

  // Begins another file.
  void Reset();
  // The next bytes, at rising offsets. What is left out is a hole.
  void Add(std::string_view bytes, uint64_t offset);
  // "d" and 16 digits; "s" and 16 digits for a file with holes, whose data are then read again from `fd`, opened for
  // writing. `size` is the file's.
  base::Result<std::string> Finish(int fd, uint64_t size);

 private:
  struct Free {
    void operator()(XXH3_state_s* state) const;
  };
  std::unique_ptr<XXH3_state_s, Free> state_;
  uint64_t end_ = 0;
  bool sparse_ = false;
};

// The same for a file on disk, opened for reading; `sparse` chooses the form. kCancelled after a stop.
base::Result<std::string> ChecksumOfFile(int fd, bool sparse, const std::stop_token& stop = {});
std::string ChecksumOfText(std::string_view text);
// One checksum of the extended attributes that a layer may have (security.capability, user.*, the opaque mark); empty
// where there are none. `path` is not followed.
base::Result<std::string> ChecksumOfXattrs(const std::string& path);

struct RecordedEntry {
  uint32_t mode = 0;  // with the type
  uint32_t uid = 0;
  uint32_t gid = 0;
  uint64_t size = 0;                      // of regular files
  std::optional<timespec> modified = {};  // nothing where the archive does not say
  dev_t device = 0;                       // of device nodes
  std::string content = {};               // checksum, of regular files and of symbolic links' targets
  std::string xattrs = {};                // checksum, or empty
  // Of those of one record as read back: the later in the archive, the higher.
  size_t order = 0;
};

// What is on disk at `name` in an open directory.
base::Result<RecordedEntry> EntryOf(int directory, const std::string& name);

// What a layer says without an entry of its own: how it comes out depends on what lies below the layer.
struct ImpliedPaths {
  // Directories that the layer has something in, but no entry for: what is below decides on them. "" is the root.
  // Some may be gone again, or something else.
  std::set<std::string> directories;
  // Directories with whiteouts in them.
  std::set<std::string> with_whiteouts;
};

// Paths are relative to the layer's root, "" is the root itself; none may go through a symbolic link. Not thread-safe.
class TreeRecorder {
 public:
  // Creates or replaces `path`.
  static base::Result<std::unique_ptr<TreeRecorder>> Create(const std::string& path);

  // What is at `path` now. Anything but a directory takes the place of whatever was there, with all beneath it.
  void Add(const std::string& path, const RecordedEntry& entry);
  // A directory with mode 0755 that was made for what is in it.
  void AddImplied(const std::string& path);
  // The directory at `path` is the layer's own in spite of that: it hides what is below.
  void SetOwn(const std::string& path) { implied_.directories.erase(path); }
  void AddWhiteout(const std::string& directory, const std::string& path);
  // `path` is another name of `target`.
  void AddLink(const std::string& path, const std::string& target);
  // What changed of what is there.
  void SetModified(const std::string& path, timespec modified);
  void SetXattrs(const std::string& path, const std::string& checksum);

  // Completes the record; it is not synced. Gives the first error of all the calls before.
  base::Status Finish();

 private:
  TreeRecorder(base::UniqueFd fd, std::string path) : fd_(std::move(fd)), path_(std::move(path)) {}
  void Write(std::string_view head, const std::string& path);
  void Remember(std::set<std::string>& paths, const std::string& path);

  const base::UniqueFd fd_;
  const std::string path_;
  std::string buffer_;
  uint64_t written_ = 0;  // bytes, those in the buffer included
  ImpliedPaths implied_;
  size_t implied_bytes_ = 0;
  base::Status status_;
};

// A record as read back: what is at each path. Names of one file share an entry.
using TreeRecord = std::map<std::string, std::shared_ptr<RecordedEntry>>;

// kNotFound when there is none, kDataLoss when it is not whole.
base::Result<TreeRecord> LoadTreeRecord(const std::string& path);
// The end of a record alone. A record of an earlier version has none of them.
base::Result<ImpliedPaths> LoadImpliedPaths(const std::string& path);

struct TreeDifference {
  std::string path;
  std::string what;  // "is missing", "has another content", …
};

// Compares the tree in `directory` with its record, content included, and gives what differs, in the order of paths.
// kCancelled after a stop.
base::Result<std::vector<TreeDifference>> CompareTree(const std::string& directory, const TreeRecord& record,
                                                      const std::stop_token& stop);

// Makes what differs in `directory` anew out of `fresh`, a tree of the same layer on the same file system, which is
// used up. Whatever does not differ is not touched, so that who uses the layer goes on. Cut off, it leaves a tree that
// still differs.
base::Status RepairTree(const std::string& directory, const std::string& fresh, const TreeRecord& record,
                        const std::vector<TreeDifference>& differences);

}  // namespace image
