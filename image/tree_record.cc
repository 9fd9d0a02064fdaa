#include "image/tree_record.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <xxhash.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cinttypes>
#include <cstdio>
#include <set>

#include "base/files.h"
#include "base/text.h"
#include "image/layer_tree.h"

namespace image {
namespace {

using base::Code;
using base::ErrnoError;
using base::Error;
using base::Result;
using base::Status;
using base::UniqueFd;

constexpr std::string_view kHeader = "cri-nspawn tree 1";
// Followed by a space and where the implied paths begin.
constexpr std::string_view kEnd = "end";
constexpr size_t kBufferBytes = size_t{64} << 10;
constexpr size_t kReadBytes = size_t{256} << 10;
constexpr uint64_t kBlock = 4096;
// Four million files, which a layer may have, with long names.
constexpr size_t kMostRecordBytes = size_t{2} << 30;
constexpr size_t kMostDepth = 600;
// Of implied paths, which are held in memory: one long name of an archive may imply hundreds.
constexpr size_t kMostImpliedBytes = size_t{64} << 20;
constexpr size_t kMostEndBytes = 32;

std::string Digits(char kind, XXH64_hash_t hash) {
  std::array<char, 20> text{};
  std::snprintf(text.data(), text.size(), "%c%016" PRIx64, kind, static_cast<uint64_t>(hash));
  return text.data();
}

Error Cancelled() {
  return {Code::kCancelled, "cancelled"};
}

// Only blocks that hold anything but zeros count, so that it does not matter what a file system makes a hole.
Status AddBlocks(int fd, uint64_t from, uint64_t to, XXH3_state_t* state, const std::stop_token& stop) {
  std::string buffer(kReadBytes, '\0');
  static const std::array<char, kBlock> kZeros{};
  for (uint64_t at = from; at < to;) {
    if (stop.stop_requested()) return Cancelled();
    const ssize_t got = ::pread(fd, buffer.data(), std::min<uint64_t>(buffer.size(), to - at), static_cast<off_t>(at));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ErrnoError("read");
    if (got == 0) break;
    const auto length = static_cast<uint64_t>(got);
    for (uint64_t done = 0; done < length; done += kBlock) {
      const uint64_t size = std::min(kBlock, length - done);
      if (std::equal(kZeros.begin(), kZeros.begin() + static_cast<ptrdiff_t>(size), buffer.data() + done)) continue;
      const uint64_t offset = at + done;
      XXH3_64bits_update(state, &offset, sizeof offset);
      XXH3_64bits_update(state, buffer.data() + done, size);
    }
    at += length;
  }
  return base::Ok();
}

Status AddData(int fd, XXH3_state_t* state, const std::stop_token& stop) {
  struct stat info {};
  if (::fstat(fd, &info) != 0) return ErrnoError("stat");
  const auto size = static_cast<uint64_t>(info.st_size);
  XXH3_64bits_update(state, &size, sizeof size);
  for (uint64_t at = 0; at < size;) {
    const off_t data = ::lseek(fd, static_cast<off_t>(at), SEEK_DATA);
    if (data < 0 && errno == ENXIO) break;
    if (data < 0) return ErrnoError("find the file's data");
    const off_t hole = ::lseek(fd, data, SEEK_HOLE);
    if (hole < 0) return ErrnoError("find the file's holes");
    // Whole blocks, wherever the file system draws the line; none twice.
    const uint64_t from = std::max(at, static_cast<uint64_t>(data) / kBlock * kBlock);
    const uint64_t to = std::min(size, (static_cast<uint64_t>(hole) + kBlock - 1) / kBlock * kBlock);
    RETURN_IF_ERROR(AddBlocks(fd, from, to, state, stop));
    at = to;
  }
  return base::Ok();
}

struct CloseDirectory {
  void operator()(DIR* directory) const { ::closedir(directory); }
};

Result<std::string> ReadLinkAt(int directory, const std::string& name, const struct stat& info) {
  std::string target(static_cast<size_t>(info.st_size) + 1, '\0');
  const ssize_t length = ::readlinkat(directory, name.c_str(), target.data(), target.size());
  if (length < 0) return ErrnoError("read the link " + Quoted(name));
  target.resize(static_cast<size_t>(length));
  return target;
}

// What lies beneath a directory.
void EraseBeneath(TreeRecord& record, const std::string& path) {
  const std::string prefix = path + "/";
  auto at = record.lower_bound(prefix);
  while (at != record.end() && at->first.starts_with(prefix)) at = record.erase(at);
}

// The fields of one line of a record.
class Fields {
 public:
  explicit Fields(std::string_view text) : rest_(text) {}

  // The next word, without the space after it.
  std::string_view Word() {
    const size_t space = rest_.find(' ');
    if (space == std::string_view::npos) {
      good_ = false;
      return {};
    }
    const std::string_view word = rest_.substr(0, space);
    rest_.remove_prefix(space + 1);
    return word;
  }

  template <typename Integer>
  Integer Number(int radix) {
    const std::string_view word = Word();
    Integer value = 0;
    const auto parsed = std::from_chars(word.data(), word.data() + word.size(), value, radix);
    if (parsed.ec != std::errc() || parsed.ptr != word.data() + word.size()) good_ = false;
    return value;
  }

  std::string_view Rest() const { return rest_; }
  bool good() const { return good_; }

 private:
  std::string_view rest_;
  bool good_ = true;
};

std::string TextOf(std::string_view word) {
  return word == "-" ? "" : std::string(word);
}

// One entry; false for one that no recorder writes.
bool Apply(std::string_view line, size_t order, TreeRecord& record) {
  Fields fields(line);
  const std::string_view kind = fields.Word();
  if (kind == "e") {
    auto entry = std::make_shared<RecordedEntry>();
    entry->order = order;
    entry->mode = fields.Number<uint32_t>(8);
    entry->uid = fields.Number<uint32_t>(10);
    entry->gid = fields.Number<uint32_t>(10);
    entry->size = fields.Number<uint64_t>(10);
    entry->device = fields.Number<uint64_t>(16);
    const bool timed = fields.Word() == "m";
    const timespec modified = {fields.Number<int64_t>(10), fields.Number<int64_t>(10)};
    if (timed) entry->modified = modified;
    entry->content = TextOf(fields.Word());
    entry->xattrs = TextOf(fields.Word());
    if (!fields.good()) return false;
    const std::string path(fields.Rest());
    if (!S_ISDIR(entry->mode)) EraseBeneath(record, path);
    record[path] = std::move(entry);
    return true;
  }
  if (kind == "l") {
    const auto length = fields.Number<size_t>(10);
    const std::string_view rest = fields.Rest();
    if (!fields.good() || length > rest.size()) return false;
    const auto target = record.find(std::string(rest.substr(0, length)));
    const std::string path(rest.substr(length));
    if (target == record.end()) return false;
    auto entry = target->second;
    EraseBeneath(record, path);
    record[path] = std::move(entry);
    return true;
  }
  if (kind == "i" || kind == "w") return true;
  if (kind == "t" || kind == "x") {
    timespec modified{};
    std::string xattrs;
    if (kind == "t") {
      modified = {fields.Number<int64_t>(10), fields.Number<int64_t>(10)};
    } else {
      xattrs = TextOf(fields.Word());
    }
    const auto found = record.find(std::string(fields.Rest()));
    if (!fields.good() || found == record.end()) return false;
    if (kind == "t") {
      found->second->modified = modified;
    } else {
      found->second->xattrs = std::move(xattrs);
    }
    return true;
  }
  return false;
}

class Comparison {
 public:
  Comparison(const TreeRecord& record, std::stop_token stop) : record_(record), stop_(std::move(stop)) {}

  Status Run(int root) {
    const auto own = record_.find("");
    struct stat info {};
    if (::fstat(root, &info) != 0) return ErrnoError("stat the layer's directory");
    if (own != record_.end()) RETURN_IF_ERROR(CompareMetadata("", info, *own->second, PathOf(root, ".")));
    RETURN_IF_ERROR(CompareDirectory(root, "", 0));
    for (const auto& [path, entry] : record_) {
      if (!path.empty() && !seen_.contains(path)) Differ(path, "is missing");
    }
    AddOtherNames();
    std::sort(differences_.begin(), differences_.end(),
              [](const TreeDifference& a, const TreeDifference& b) { return a.path < b.path; });
    return base::Ok();
  }
  std::vector<TreeDifference> Take() { return std::move(differences_); }

 private:
  void Differ(const std::string& path, const char* what) {
    if (different_.insert(path).second) differences_.push_back({path, what});
  }

  Status CompareDirectory(int directory, const std::string& prefix, size_t depth) {
    if (depth > kMostDepth) return Error(Code::kDataLoss, Quoted(prefix) + " is nested too deep");
    const int copy = ::openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (copy < 0) return ErrnoError("open " + Quoted(prefix));
    const std::unique_ptr<DIR, CloseDirectory> stream(::fdopendir(copy));
    if (!stream) {
      ::close(copy);
      return ErrnoError("read " + Quoted(prefix));
    }
    while (true) {
      if (stop_.stop_requested()) return Cancelled();
      errno = 0;
      const dirent* found = ::readdir(stream.get());  // NOLINT(concurrency-mt-unsafe): the stream is ours alone
      if (found == nullptr && errno != 0) return ErrnoError("read " + Quoted(prefix));
      if (found == nullptr) return base::Ok();
      const std::string name = found->d_name;
      if (name == "." || name == "..") continue;
      RETURN_IF_ERROR(CompareName(directory, name, Join(prefix, name), depth));
    }
  }

  Status CompareName(int directory, const std::string& name, const std::string& path, size_t depth) {
    const auto expected = record_.find(path);
    if (expected == record_.end()) {
      Differ(path, "is not part of the layer");
      return base::Ok();
    }
    seen_.insert(path);
    struct stat info {};
    if (::fstatat(directory, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) return ErrnoError("stat " + Quoted(path));
    const RecordedEntry& entry = *expected->second;
    if ((info.st_mode & S_IFMT) != (entry.mode & S_IFMT)) {
      Differ(path, "is of another type");
      return base::Ok();
    }
    RETURN_IF_ERROR(CompareMetadata(path, info, entry, PathOf(directory, name)));
    if (S_ISDIR(info.st_mode)) {
      const UniqueFd own(::openat(directory, name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
      if (!own) return ErrnoError("open " + Quoted(path));
      return CompareDirectory(own.get(), path, depth + 1);
    }
    // Names of one file share it, and its content is read once.
    const auto [first, is_first] = inodes_.emplace(&entry, info.st_ino);
    if (!is_first) {
      if (first->second != info.st_ino) Differ(path, "is no longer the same file as its other names");
      return base::Ok();
    }
    return CompareContent(directory, name, path, info, entry);
  }

  Status CompareMetadata(const std::string& path, const struct stat& info, const RecordedEntry& entry,
                         const std::string& full_path) {
    const bool link = S_ISLNK(info.st_mode);
    if (!link && (info.st_mode & 07777) != (entry.mode & 07777)) Differ(path, "has another mode");
    if (info.st_uid != entry.uid || info.st_gid != entry.gid) Differ(path, "has another owner");
    if (entry.modified &&
        (info.st_mtim.tv_sec != entry.modified->tv_sec || info.st_mtim.tv_nsec != entry.modified->tv_nsec)) {
      Differ(path, "has another time");
    }
    const auto xattrs = ChecksumOfXattrs(full_path);
    if (!xattrs.ok() || *xattrs != entry.xattrs) Differ(path, "has other extended attributes");
    return base::Ok();
  }

  Status CompareContent(int directory, const std::string& name, const std::string& path, const struct stat& info,
                        const RecordedEntry& entry) {
    if (S_ISCHR(info.st_mode) || S_ISBLK(info.st_mode)) {
      if (info.st_rdev != entry.device) Differ(path, "is another device");
      return base::Ok();
    }
    if (S_ISLNK(info.st_mode)) {
      ASSIGN_OR_RETURN(const std::string target, ReadLinkAt(directory, name, info));
      if (ChecksumOfText(target) != entry.content) Differ(path, "points elsewhere");
      return base::Ok();
    }
    if (!S_ISREG(info.st_mode)) return base::Ok();
    if (static_cast<uint64_t>(info.st_size) != entry.size) {
      Differ(path, "has another size");
      return base::Ok();
    }
    const UniqueFd file(::openat(directory, name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    if (!file) return ErrnoError("open " + Quoted(path));
    ::posix_fadvise(file.get(), 0, 0, POSIX_FADV_SEQUENTIAL);
    auto content = ChecksumOfFile(file.get(), entry.content.starts_with('s'), stop_);
    if (content.ok() && *content == entry.content) return base::Ok();
    if (!content.ok() && content.error().code() == Code::kCancelled) return std::move(content).error();
    // An input/output error of a failing disk as well.
    Differ(path, content.ok() ? "has another content" : "cannot be read");
    return base::Ok();
  }

  // A file with several names differs under all of them: they are made anew together.
  void AddOtherNames() {
    std::set<const RecordedEntry*> shared;
    for (const auto& [path, entry] : record_) {
      if (different_.contains(path) && !S_ISDIR(entry->mode) && entry.use_count() > 1) shared.insert(entry.get());
    }
    if (shared.empty()) return;
    for (const auto& [path, entry] : record_) {
      if (shared.contains(entry.get())) Differ(path, "is another name of a file that differs");
    }
  }

  const TreeRecord& record_;
  const std::stop_token stop_;
  std::map<const RecordedEntry*, ino_t> inodes_;
  std::set<std::string> seen_;
  std::set<std::string> different_;
  std::vector<TreeDifference> differences_;
};

Status SetDirectoryMetadata(int directory, const RecordedEntry& entry, const std::string& fresh_path) {
  if (::fchown(directory, entry.uid, entry.gid) != 0) return ErrnoError("set owner");
  if (::fchmod(directory, entry.mode & 07777) != 0) return ErrnoError("set mode");
  const std::string path = PathOf(directory, ".");
  ASSIGN_OR_RETURN(const auto too_many, ReadLayerXattrs(path));
  for (const auto& [name, value] : too_many) ::removexattr(path.c_str(), name.c_str());
  ASSIGN_OR_RETURN(const auto right, ReadLayerXattrs(fresh_path));
  for (const auto& [name, value] : right) {
    if (::setxattr(path.c_str(), name.c_str(), value.data(), value.size(), 0) != 0) {
      return ErrnoError("set extended attribute " + Quoted(name));
    }
  }
  return base::Ok();
}

}  // namespace

void ContentChecksum::Free::operator()(XXH3_state_s* state) const {
  ::XXH3_freeState(state);
}

ContentChecksum::ContentChecksum() : state_(::XXH3_createState()) {
  Reset();
}

ContentChecksum::~ContentChecksum() = default;

void ContentChecksum::Reset() {
  ::XXH3_64bits_reset(state_.get());
  end_ = 0;
  sparse_ = false;
}

void ContentChecksum::Add(std::string_view bytes, uint64_t offset) {
  if (offset != end_) sparse_ = true;
  if (!sparse_) ::XXH3_64bits_update(state_.get(), bytes.data(), bytes.size());
  end_ = offset + bytes.size();
}

Result<std::string> ContentChecksum::Finish(int fd, uint64_t size) {
  if (!sparse_ && end_ == size) return Digits('d', ::XXH3_64bits_digest(state_.get()));
  const UniqueFd file(::open(("/proc/self/fd/" + std::to_string(fd)).c_str(), O_RDONLY | O_CLOEXEC));
  if (!file) return ErrnoError("open the file for its checksum");
  return ChecksumOfFile(file.get(), true);
}

Result<std::string> ChecksumOfFile(int fd, bool sparse, const std::stop_token& stop) {
  const std::unique_ptr<XXH3_state_t, decltype(&::XXH3_freeState)> state(::XXH3_createState(), &::XXH3_freeState);
  ::XXH3_64bits_reset(state.get());
  if (sparse) {
    RETURN_IF_ERROR(AddData(fd, state.get(), stop));
    return Digits('s', ::XXH3_64bits_digest(state.get()));
  }
  std::string buffer(kReadBytes, '\0');
  while (true) {
    if (stop.stop_requested()) return Cancelled();
    const ssize_t got = ::read(fd, buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ErrnoError("read");
    if (got == 0) return Digits('d', ::XXH3_64bits_digest(state.get()));
    ::XXH3_64bits_update(state.get(), buffer.data(), static_cast<size_t>(got));
  }
}

std::string ChecksumOfText(std::string_view text) {
  return Digits('d', ::XXH3_64bits(text.data(), text.size()));
}

Result<std::string> ChecksumOfXattrs(const std::string& path) {
  ASSIGN_OR_RETURN(const auto values, ReadLayerXattrs(path));
  if (values.empty()) return std::string();
  std::string all;
  for (const auto& [name, value] : values) {
    all.append(name).append(1, '\0').append(std::to_string(value.size())).append(1, '\0').append(value);
  }
  return ChecksumOfText(all);
}

Result<RecordedEntry> EntryOf(int directory, const std::string& name) {
  struct stat info {};
  if (::fstatat(directory, name.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) return ErrnoError("stat " + Quoted(name));
  RecordedEntry entry{.mode = info.st_mode, .uid = info.st_uid, .gid = info.st_gid, .modified = info.st_mtim};
  if (S_ISLNK(info.st_mode)) {
    entry.mode = S_IFLNK;
    ASSIGN_OR_RETURN(const std::string target, ReadLinkAt(directory, name, info));
    entry.content = ChecksumOfText(target);
  } else if (S_ISREG(info.st_mode)) {
    const UniqueFd file(::openat(directory, name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    if (!file) return ErrnoError("open " + Quoted(name));
    entry.size = static_cast<uint64_t>(info.st_size);
    // Either form will do; this one does not read holes.
    ASSIGN_OR_RETURN(entry.content, ChecksumOfFile(file.get(), info.st_blocks * 512 < info.st_size));
  } else {
    entry.device = info.st_rdev;
  }
  ASSIGN_OR_RETURN(entry.xattrs, ChecksumOfXattrs(PathOf(directory, name)));
  return entry;
}

Result<std::unique_ptr<TreeRecorder>> TreeRecorder::Create(const std::string& path) {
  UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!fd) return ErrnoError("create " + path);
  std::unique_ptr<TreeRecorder> recorder(new TreeRecorder(std::move(fd), path));
  recorder->Write(kHeader, "");
  // Unless the archive says otherwise.
  recorder->AddImplied("");
  return recorder;
}

void TreeRecorder::Write(std::string_view head, const std::string& path) {
  buffer_.append(head).append(path).append(1, '\0');
  written_ += head.size() + path.size() + 1;
  if (buffer_.size() < kBufferBytes) return;
  if (status_.ok()) status_ = base::WriteAll(fd_.get(), buffer_);
  buffer_.clear();
}

void TreeRecorder::Add(const std::string& path, const RecordedEntry& entry) {
  std::array<char, 256> head{};
  const timespec modified = entry.modified.value_or(timespec{});
  const int length = std::snprintf(
      head.data(), head.size(), "e %o %u %u %" PRIu64 " %" PRIx64 " %c %" PRId64 " %ld %s %s ", entry.mode, entry.uid,
      entry.gid, entry.size, static_cast<uint64_t>(entry.device), entry.modified ? 'm' : '-',
      static_cast<int64_t>(modified.tv_sec), modified.tv_nsec, entry.content.empty() ? "-" : entry.content.c_str(),
      entry.xattrs.empty() ? "-" : entry.xattrs.c_str());
  Write({head.data(), static_cast<size_t>(length)}, path);
  SetOwn(path);
}

void TreeRecorder::Remember(std::set<std::string>& paths, const std::string& path) {
  if (implied_bytes_ > kMostImpliedBytes || !paths.insert(path).second) return;
  implied_bytes_ += path.size();
  if (implied_bytes_ > kMostImpliedBytes && status_.ok()) {
    status_ = Error(Code::kResourceExhausted, "too many directories have no entry of their own");
  }
}

void TreeRecorder::AddImplied(const std::string& path) {
  Add(path, {.mode = S_IFDIR | 0755});
  Remember(implied_.directories, path);
}

void TreeRecorder::AddWhiteout(const std::string& directory, const std::string& path) {
  Add(path, {.mode = S_IFCHR});
  Remember(implied_.with_whiteouts, directory);
}

void TreeRecorder::AddLink(const std::string& path, const std::string& target) {
  Write("l " + std::to_string(target.size()) + " " + target, path);
}

void TreeRecorder::SetModified(const std::string& path, timespec modified) {
  Write("t " + std::to_string(modified.tv_sec) + " " + std::to_string(modified.tv_nsec) + " ", path);
}

void TreeRecorder::SetXattrs(const std::string& path, const std::string& checksum) {
  Write("x " + (checksum.empty() ? "-" : checksum) + " ", path);
}

Status TreeRecorder::Finish() {
  const uint64_t implied = written_;
  for (const std::string& path : implied_.directories) Write("i ", path);
  for (const std::string& path : implied_.with_whiteouts) Write("w ", path);
  Write(kEnd, " " + std::to_string(implied));
  if (status_.ok()) status_ = base::WriteAll(fd_.get(), buffer_);
  buffer_.clear();
  return std::move(status_).Wrap("record the layer in " + path_);
}

namespace {

// Where the implied paths begin, or nothing for a line that is no end; an earlier version wrote no number.
std::optional<std::optional<uint64_t>> ParseEnd(std::string_view line) {
  if (line == kEnd) return std::optional<uint64_t>();
  if (!line.starts_with(kEnd) || line.substr(kEnd.size(), 1) != " ") return std::nullopt;
  const std::string number = std::string(line.substr(kEnd.size() + 1)) + " ";
  Fields fields(number);
  const auto begin = fields.Number<uint64_t>(10);
  if (!fields.good()) return std::nullopt;
  return begin;
}

}  // namespace

Result<ImpliedPaths> LoadImpliedPaths(const std::string& path) {
  const UniqueFd fd(::open(path.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  struct stat info {};
  if (!fd || ::fstat(fd.get(), &info) != 0) return ErrnoError("open " + path);
  const Error broken(Code::kDataLoss, path + " is no whole record of a layer");
  const off_t size = info.st_size;
  const off_t last = std::max<off_t>(0, size - static_cast<off_t>(kMostEndBytes));
  if (::lseek(fd.get(), last, SEEK_SET) != last) return ErrnoError("read " + path);
  ASSIGN_OR_RETURN(std::string text, base::ReadAll(fd.get(), kMostEndBytes, path));
  if (text.empty() || text.back() != '\0') return broken;
  text.pop_back();
  const auto begin = ParseEnd(std::string_view(text).substr(text.rfind('\0') + 1));
  if (!begin.has_value()) return broken;
  ImpliedPaths implied;
  if (!begin->has_value()) return implied;
  const auto from = static_cast<off_t>(**begin);
  if (from < 0 || from > size || ::lseek(fd.get(), from, SEEK_SET) != from) return broken;
  ASSIGN_OR_RETURN(text, base::ReadAll(fd.get(), 2 * kMostImpliedBytes, path));
  for (const std::string_view line : base::Split(text, '\0')) {
    if (line.starts_with("i ")) implied.directories.emplace(line.substr(2));
    if (line.starts_with("w ")) implied.with_whiteouts.emplace(line.substr(2));
  }
  return implied;
}

Result<TreeRecord> LoadTreeRecord(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string text, base::ReadFile(path, kMostRecordBytes));
  const Error broken(Code::kDataLoss, path + " is no whole record of a layer");
  TreeRecord record;
  std::string_view rest = text;
  size_t lines = 0;
  while (true) {
    const size_t end = rest.find('\0');
    if (end == std::string_view::npos) return broken;
    const std::string_view line = rest.substr(0, end);
    rest.remove_prefix(end + 1);
    const bool first = lines++ == 0;
    if (first ? line != kHeader : ParseEnd(line).has_value()) {
      if (first || !rest.empty()) return broken;
      return record;
    }
    if (!first && !Apply(line, lines, record)) return broken;
  }
}

Result<std::vector<TreeDifference>> CompareTree(const std::string& directory, const TreeRecord& record,
                                                const std::stop_token& stop) {
  const UniqueFd root(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!root) return ErrnoError("open " + directory);
  Comparison comparison(record, stop);
  RETURN_IF_ERROR(comparison.Run(root.get()).Wrap("compare " + directory));
  return comparison.Take();
}

Status RepairTree(const std::string& directory, const std::string& fresh, const TreeRecord& record,
                  const std::vector<TreeDifference>& differences) {
  const UniqueFd root(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!root) return ErrnoError("open " + directory);
  const UniqueFd source(::open(fresh.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!source) return ErrnoError("open " + fresh);
  std::set<std::string> touched;  // directories whose time has changed
  std::set<std::string> moved;    // directories that were put in their places whole, with all that lies in them
  for (const TreeDifference& difference : differences) {
    const std::string& path = difference.path;
    if (LiesInAny(path, moved)) continue;
    const auto expected = record.find(path);
    const auto [parent_path, base] = SplitOff(path);
    if (path.empty()) {
      RETURN_IF_ERROR(SetDirectoryMetadata(root.get(), *expected->second, PathOf(source.get(), ".")));
      touched.insert("");
      continue;
    }
    const UniqueFd parent = OpenBelow(root.get(), parent_path);
    if (!parent) return ErrnoError("open " + Quoted(parent_path));
    touched.insert(parent_path);
    struct stat info {};
    const bool there = ::fstatat(parent.get(), base.c_str(), &info, AT_SYMLINK_NOFOLLOW) == 0;
    const bool is_directory = there && S_ISDIR(info.st_mode);
    if (expected == record.end()) {
      RETURN_IF_ERROR(base::RemoveTree(PathOf(parent.get(), base)));
      continue;
    }
    const UniqueFd from = OpenBelow(source.get(), parent_path);
    if (!from) return ErrnoError("open " + Quoted(parent_path) + " of the new tree");
    if (S_ISDIR(expected->second->mode) && is_directory) {
      const UniqueFd own(::openat(parent.get(), base.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
      if (!own) return ErrnoError("open " + Quoted(path));
      RETURN_IF_ERROR(
          SetDirectoryMetadata(own.get(), *expected->second, PathOf(from.get(), base) + "/.").Wrap(Quoted(path)));
      touched.insert(path);
      continue;
    }
    // A file takes the place of a file at once; between a directory and anything else there is a moment without either.
    if (is_directory || (there && S_ISDIR(expected->second->mode))) {
      RETURN_IF_ERROR(base::RemoveTree(PathOf(parent.get(), base)));
    }
    if (::renameat(from.get(), base.c_str(), parent.get(), base.c_str()) != 0) {
      return ErrnoError("put " + Quoted(path) + " in its place");
    }
    if (S_ISDIR(expected->second->mode)) moved.insert(path);
  }
  for (const std::string& path : touched) {
    const auto entry = record.find(path);
    if (entry == record.end() || !entry->second->modified) continue;
    const UniqueFd own = OpenBelow(root.get(), path);
    const std::array<timespec, 2> times = {*entry->second->modified, *entry->second->modified};
    if (!own || ::futimens(own.get(), times.data()) != 0) return ErrnoError("set the time of " + Quoted(path));
  }
  if (::syncfs(root.get()) != 0) return ErrnoError("sync " + directory);
  return base::Ok();
}

}  // namespace image
