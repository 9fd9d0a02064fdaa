// A container's CRI log file.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/fd.h"
#include "base/result.h"

namespace nspawn {

// Which file a name stands for, also after it was renamed or its inode number was used again.
struct FileIdentity {
  uint64_t device = 0;
  uint64_t inode = 0;  // 0: no file
  int64_t birth = 0;   // nanoseconds since the epoch; 0 where the file system does not record it

  bool operator==(const FileIdentity&) const = default;
};

// Holds whole records only, unless the file system refuses even to cut off a broken one. Not thread-safe.
class LogFile {
 public:
  // Opens the file at `path` for appending, or creates it with mode 0640. Symbolic links in the last place and what is
  // no regular file are refused. kNotFound when the directory is missing.
  static base::Result<LogFile> Open(const std::string& path);
  // Opens the file that an earlier run wrote: it is looked for at `path`, and in the same directory under another name
  // (the kubelet renames it before it asks for a new one, and renames it back when nobody answers). kNotFound when it
  // is in neither place.
  static base::Result<LogFile> Find(const std::string& path, const FileIdentity& identity);

  const FileIdentity& identity() const { return identity_; }
  // As after the last Append() or Cut(), or the opening.
  uint64_t size() const { return size_; }

  // Cuts what lies behind `size` off; a shorter file stays as it is.
  base::Status Cut(uint64_t size);

  // Appends records. When the file system refuses some of them, the file is cut after the last whole one, and `written`
  // says how many bytes of `records` are in it.
  base::Status Append(std::string_view records, size_t* written);

 private:
  static base::Result<LogFile> FromDescriptor(base::UniqueFd file, const std::string& path);

  base::UniqueFd file_;
  FileIdentity identity_;
  uint64_t size_ = 0;
  // A broken record that could not be cut off yet begins here.
  std::optional<uint64_t> cut_at_;
};

}  // namespace nspawn
