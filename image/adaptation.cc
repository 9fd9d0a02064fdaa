#include "image/adaptation.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "base/files.h"
#include "base/text.h"
#include "image/digest.h"
#include "image/layer_tree.h"
#include "image/merged_tree.h"
#include "image/tree_record.h"

namespace image {
namespace {

using base::Code;
using base::ErrnoError;
using base::Error;
using base::Result;
using base::Status;
using base::UniqueFd;

// Part of the name of every adaptation: one that another version of these rules made is not taken for ours.
constexpr std::string_view kRules = "cri-nspawn adaptation 1";
constexpr uint64_t kBlockBytes = 4096;
// As of UnpackTar().
constexpr size_t kMostDepth = 512;
constexpr size_t kMostPathBytes = 4095;
constexpr size_t kMostNameBytes = 255;
// As of umoci and containerd.
constexpr int kMostLinks = 255;
// Of looking at one directory, and of following one part of a link. Real layers need some for each directory that has
// no entry, and for each of these that is a link below.
constexpr uint64_t kMostSteps = 50'000'000;
constexpr uint64_t kMostLinkParts = 200'000;

// Where something comes from: a path in a layer below, or in the layer itself.
struct Source {
  const MergedTree* tree = nullptr;
  size_t layer = 0;
  std::string path;

  int directory() const { return tree->layer(layer); }
};

struct Item {
  enum class Kind { kDirectory, kFile, kWhiteout } kind = Kind::kDirectory;
  // Of a file, what it is a hard link to; of a directory, whose metadata it has. A directory may have none.
  std::optional<Source> source;
  bool opaque = false;
};

// What a path comes to be.
struct Outcome {
  enum class Kind { kNothing, kDirectory, kLink, kOther } kind = Kind::kNothing;
  std::optional<Source> source;
};

Result<UniqueFd> OpenDirectory(const Source& source) {
  UniqueFd fd(OpenBelow(source.directory(), source.path));
  if (!fd) return ErrnoError("open " + Quoted(source.path));
  return fd;
}

Result<std::string> ReadLink(const Source& source) {
  std::string target(kMostPathBytes + 1, '\0');
  const ssize_t length = ::readlinkat(source.directory(), source.path.c_str(), target.data(), target.size());
  if (length < 0) return ErrnoError("read the link " + Quoted(source.path));
  target.resize(static_cast<size_t>(length));
  return target;
}

bool IsReasonable(const std::string& path) {
  return path.size() <= kMostPathBytes && static_cast<size_t>(std::count(path.begin(), path.end(), '/')) < kMostDepth;
}

Error TooMuchWork() {
  return {Code::kResourceExhausted, "what it has below symbolic links needs too much work"};
}

class OverlayAdaptation final : public Adaptation {
 public:
  OverlayAdaptation(MergedTree below, MergedTree layer, ImpliedPaths implied, std::string tree_record,
                    std::stop_token stop)
      : below_(std::move(below)),
        layer_(std::move(layer)),
        implied_(std::move(implied)),
        tree_record_(std::move(tree_record)),
        stop_(std::move(stop)) {}

  Status Run() {
    for (const std::string& path : implied_.directories) {
      if (!LiesInAny(path, moved_)) RETURN_IF_ERROR(PlanImplied(path).Wrap(Quoted(path)));
    }
    for (const std::string& path : implied_.with_whiteouts) {
      if (!moved_.contains(path) && !LiesInAny(path, moved_)) RETURN_IF_ERROR(PlanMerging(path).Wrap(Quoted(path)));
    }
    return base::Ok();
  }
  bool empty() const { return items_.empty(); }

  Result<UnpackedSize> Write(const std::string& target) override;

 private:
  Status Step();
  bool IsImplied(const std::string& path) const { return implied_.directories.contains(path); }
  Result<bool> IsHidden(const std::string& path);
  Result<MergedTree::Node> FindBelow(const std::string& path);
  Result<Outcome> Find(const std::string& path);
  Result<std::optional<std::string>> Resolve(const std::string& path);
  Result<bool> PlanDirectory(const std::string& path);
  Status PlanImplied(const std::string& path);
  Status PlanMerging(const std::string& path);
  Result<bool> RootDiffers(size_t layer);
  Status Move(const std::string& from, const std::string& to);
  Status MoveName(const std::string& from, const std::string& to);
  Status MoveImplied(const std::string& from, const std::string& to);
  Status PlaceDirectory(const std::string& from, const std::string& to);
  Status MakeOpaque(const std::string& path);
  Status KeepContents(const std::string& path);
  Result<std::vector<std::string>> NamesIn(const std::string& path);
  Result<bool> IsLater(const std::string& path, const std::string& other);

  Status WriteItem(const std::string& path, const Item& item, int root, TreeRecorder& recorder);
  Status FinishDirectory(const std::string& path, const Item& item, int root, TreeRecorder& recorder);

  MergedTree below_;
  MergedTree layer_;  // alone
  const ImpliedPaths implied_;
  const std::string tree_record_;
  const std::stop_token stop_;
  uint64_t steps_ = 0;
  uint64_t link_parts_ = 0;
  // What the adaptation holds. Whatever has an item, has items for all directories above.
  std::map<std::string, Item> items_;
  // Directories of the layer whose contents go elsewhere, since they are links below.
  std::set<std::string> moved_;
  std::optional<TreeRecord> record_;

  UnpackedSize size_;
  std::string parent_path_;  // of the item written last
  UniqueFd parent_;
};

Status OverlayAdaptation::Step() {
  if (++steps_ > kMostSteps) return TooMuchWork();
  if (stop_.stop_requested()) return Error(Code::kCancelled, "cancelled");
  return base::Ok();
}

// Whether the layer hides everything that lower ones have at `path`, by what it has above it.
Result<bool> OverlayAdaptation::IsHidden(const std::string& path) {
  for (std::string above = path; !above.empty();) {
    above = SplitOff(above).parent;
    RETURN_IF_ERROR(Step());
    if (const auto item = items_.find(above); item != items_.end() && item->second.opaque) return true;
    ASSIGN_OR_RETURN(const MergedTree::Node own, layer_.Find(above));
    if (own.whiteout || own.opaque || (own.type != 0 && !S_ISDIR(own.type))) return true;
  }
  return false;
}

// What lower layers show at `path` beneath what the layer has there, if that is a directory.
Result<MergedTree::Node> OverlayAdaptation::FindBelow(const std::string& path) {
  RETURN_IF_ERROR(Step());
  ASSIGN_OR_RETURN(const MergedTree::Node own, layer_.Find(path));
  if (own.opaque && !IsImplied(path)) return MergedTree::Node{};
  ASSIGN_OR_RETURN(const bool hidden, IsHidden(path));
  if (hidden) return MergedTree::Node{};
  return below_.Find(path);
}

// What `path`, no part of whose parent is a link, comes to be.
Result<Outcome> OverlayAdaptation::Find(const std::string& path) {
  using Kind = Outcome::Kind;
  if (const auto item = items_.find(path); item != items_.end()) {
    if (item->second.kind == Item::Kind::kWhiteout) return Outcome{};
    if (item->second.kind == Item::Kind::kDirectory) return Outcome{Kind::kDirectory, item->second.source};
    const Source& file = *item->second.source;
    struct stat info {};
    if (::fstatat(file.directory(), file.path.c_str(), &info, AT_SYMLINK_NOFOLLOW) != 0) {
      return ErrnoError("stat " + Quoted(file.path));
    }
    return Outcome{S_ISLNK(info.st_mode) ? Kind::kLink : Kind::kOther, file};
  }
  const auto outcome = [&](const MergedTree& tree, const MergedTree::Node& node) {
    if (node.type == 0) return Outcome{};
    const Kind kind = S_ISDIR(node.type) ? Kind::kDirectory : S_ISLNK(node.type) ? Kind::kLink : Kind::kOther;
    return Outcome{kind, Source{&tree, node.layer, path}};
  };
  ASSIGN_OR_RETURN(const MergedTree::Node own, layer_.Find(path));
  if (own.whiteout) return Outcome{};
  if (own.type != 0 && !IsImplied(path)) return outcome(layer_, own);
  ASSIGN_OR_RETURN(const MergedTree::Node lower, FindBelow(path));
  // A directory takes the place of a file, but not of another directory or a link.
  if (own.type != 0 && !S_ISDIR(lower.type) && !S_ISLNK(lower.type)) return outcome(layer_, own);
  return outcome(below_, lower);
}

// The directory that `path` is in the end, all links followed as if chrooted in the root; what does not exist on the
// way would be made. Nothing where there can be no such directory.
Result<std::optional<std::string>> OverlayAdaptation::Resolve(const std::string& path) {
  std::deque<std::string> parts;
  for (const std::string_view part : base::Split(path, '/')) parts.emplace_back(part);
  std::string at;
  int links = 0;
  while (!parts.empty()) {
    RETURN_IF_ERROR(Step());
    if (++link_parts_ > kMostLinkParts) return TooMuchWork();
    const std::string part = std::move(parts.front());
    parts.pop_front();
    if (part.empty() || part == ".") continue;
    if (part == "..") {
      at = SplitOff(at).parent;
      continue;
    }
    std::string next = Join(at, part);
    if (part.size() > kMostNameBytes || !IsReasonable(next)) return std::optional<std::string>();
    ASSIGN_OR_RETURN(const Outcome found, Find(next));
    if (found.kind == Outcome::Kind::kOther) return std::optional<std::string>();
    if (found.kind != Outcome::Kind::kLink) {
      at = std::move(next);
      continue;
    }
    if (++links > kMostLinks) return std::optional<std::string>();
    ASSIGN_OR_RETURN(const std::string target, ReadLink(*found.source));
    if (target.starts_with('/')) at.clear();
    const auto more = base::Split(target, '/');
    parts.insert(parts.begin(), more.begin(), more.end());
  }
  return std::optional(at);
}

// Makes sure that there is an item for the directory `path`; false if something else has its place.
Result<bool> OverlayAdaptation::PlanDirectory(const std::string& path) {
  if (const auto item = items_.find(path); item != items_.end()) {
    return item->second.kind == Item::Kind::kDirectory;
  }
  if (!path.empty()) {
    ASSIGN_OR_RETURN(const bool parent, PlanDirectory(SplitOff(path).parent));
    if (!parent) return false;
  }
  ASSIGN_OR_RETURN(Outcome found, Find(path));
  if (found.kind != Outcome::Kind::kDirectory && found.kind != Outcome::Kind::kNothing) return false;
  items_[path] = {Item::Kind::kDirectory, std::move(found.source), false};
  return true;
}

Status OverlayAdaptation::PlanImplied(const std::string& path) {
  ASSIGN_OR_RETURN(const MergedTree::Node own, layer_.Find(path));
  if (!S_ISDIR(own.type)) return base::Ok();  // replaced later in the archive
  ASSIGN_OR_RETURN(const MergedTree::Node lower, FindBelow(path));
  if (path.empty()) {
    if (!S_ISDIR(lower.type)) return base::Ok();
    ASSIGN_OR_RETURN(const bool differs, RootDiffers(lower.layer));
    if (differs) RETURN_IF_ERROR(PlanDirectory(path));
    return base::Ok();
  }
  if (S_ISDIR(lower.type)) {
    RETURN_IF_ERROR(PlanDirectory(path));
    return base::Ok();
  }
  if (!S_ISLNK(lower.type)) return base::Ok();
  ASSIGN_OR_RETURN(const std::optional<std::string> target, Resolve(path));
  if (!target.has_value()) return base::Ok();
  ASSIGN_OR_RETURN(const bool parent, PlanDirectory(SplitOff(path).parent));
  if (!parent || items_.contains(path)) return base::Ok();
  items_[path] = {Item::Kind::kFile, Source{&below_, lower.layer, path}, false};
  moved_.insert(path);
  return Move(path, *target);
}

// In a directory that no other layer has, overlayfs lists whiteouts.
Status OverlayAdaptation::PlanMerging(const std::string& path) {
  ASSIGN_OR_RETURN(const MergedTree::Node own, layer_.Find(path));
  // Every root is merged with the writable layer's.
  if (!S_ISDIR(own.type) || path.empty()) return base::Ok();
  ASSIGN_OR_RETURN(const MergedTree::Node lower, FindBelow(path));
  if (!own.opaque && S_ISDIR(lower.type)) return base::Ok();
  RETURN_IF_ERROR(PlanDirectory(path));
  return base::Ok();
}

// The time alone is no reason: without an entry of its own in the layer, a root has that of unpacking.
Result<bool> OverlayAdaptation::RootDiffers(size_t layer) {
  struct stat own {};
  struct stat lower {};
  if (::fstat(layer_.layer(0), &own) != 0 || ::fstat(below_.layer(layer), &lower) != 0) return ErrnoError("stat");
  if (own.st_mode != lower.st_mode || own.st_uid != lower.st_uid || own.st_gid != lower.st_gid) return true;
  ASSIGN_OR_RETURN(auto own_xattrs, ReadLayerXattrs(PathOf(layer_.layer(0), ".")));
  ASSIGN_OR_RETURN(auto lower_xattrs, ReadLayerXattrs(PathOf(below_.layer(layer), ".")));
  own_xattrs.erase(kOpaqueAttribute);
  lower_xattrs.erase(kOpaqueAttribute);
  return own_xattrs != lower_xattrs;
}

Result<std::vector<std::string>> OverlayAdaptation::NamesIn(const std::string& path) {
  const UniqueFd fd(OpenBelow(layer_.layer(0), path));
  if (!fd) return ErrnoError("open " + Quoted(path));
  return base::ListDirectory(PathOf(fd.get(), "."));
}

// What the layer has in its directory `from` goes to `to`, a directory in the end or nothing yet.
Status OverlayAdaptation::Move(const std::string& from, const std::string& to) {
  if (!IsReasonable(to)) return base::InvalidArgument("directories are nested too deep behind a symbolic link");
  ASSIGN_OR_RETURN(const bool planned, PlanDirectory(to));
  if (!planned) return base::Ok();
  ASSIGN_OR_RETURN(const MergedTree::Node own, layer_.Find(from));
  if (own.opaque) RETURN_IF_ERROR(MakeOpaque(to));
  ASSIGN_OR_RETURN(const auto names, NamesIn(from));
  for (const std::string& name : names) RETURN_IF_ERROR(MoveName(Join(from, name), Join(to, name)));
  return base::Ok();
}

Status OverlayAdaptation::MoveName(const std::string& from, const std::string& to) {
  RETURN_IF_ERROR(Step());
  ASSIGN_OR_RETURN(const MergedTree::Node moving, layer_.Find(from));
  if (moving.type != 0 && S_ISDIR(moving.type) && IsImplied(from)) return MoveImplied(from, to);
  ASSIGN_OR_RETURN(const MergedTree::Node own, layer_.Find(to));
  const auto item = items_.find(to);
  if (moving.whiteout) {
    // It is for lower layers alone.
    if (own.type != 0 || item != items_.end()) return base::Ok();
    ASSIGN_OR_RETURN(const MergedTree::Node lower, FindBelow(to));
    if (lower.type != 0) items_[to] = {Item::Kind::kWhiteout, {}, false};
    return base::Ok();
  }
  if (own.type != 0 && !(S_ISDIR(own.type) && S_ISDIR(moving.type))) {
    ASSIGN_OR_RETURN(const bool later, IsLater(to, from));
    if (later) return base::Ok();
  }
  if (S_ISDIR(moving.type)) return PlaceDirectory(from, to);
  // Something was put into a directory of this name already.
  if (item != items_.end() && item->second.kind == Item::Kind::kDirectory) return base::Ok();
  items_[to] = {Item::Kind::kFile, Source{&layer_, 0, from}, false};
  return base::Ok();
}

Status OverlayAdaptation::MoveImplied(const std::string& from, const std::string& to) {
  ASSIGN_OR_RETURN(const Outcome found, Find(to));
  switch (found.kind) {
    case Outcome::Kind::kNothing:
    case Outcome::Kind::kDirectory:
      return Move(from, to);
    case Outcome::Kind::kLink: {
      ASSIGN_OR_RETURN(const std::optional<std::string> target, Resolve(to));
      if (target.has_value()) return Move(from, *target);
      break;
    }
    case Outcome::Kind::kOther:
      break;
  }
  return PlaceDirectory(from, to);
}

Status OverlayAdaptation::PlaceDirectory(const std::string& from, const std::string& to) {
  if (!IsReasonable(to)) return base::InvalidArgument("directories are nested too deep behind a symbolic link");
  ASSIGN_OR_RETURN(const MergedTree::Node moving, layer_.Find(from));
  const auto item = items_.find(to);
  const bool opaque = item != items_.end() && item->second.opaque;
  items_[to] = {Item::Kind::kDirectory, Source{&layer_, 0, from}, opaque};
  if (moving.opaque) RETURN_IF_ERROR(MakeOpaque(to));
  ASSIGN_OR_RETURN(const auto names, NamesIn(from));
  for (const std::string& name : names) RETURN_IF_ERROR(MoveName(Join(from, name), Join(to, name)));
  return base::Ok();
}

// The mark would hide what the layer itself has there, too.
Status OverlayAdaptation::MakeOpaque(const std::string& path) {
  Item& item = items_[path];
  if (item.opaque) return base::Ok();
  item.opaque = true;
  return KeepContents(path);
}

Status OverlayAdaptation::KeepContents(const std::string& path) {
  ASSIGN_OR_RETURN(const MergedTree::Node own, layer_.Find(path));
  if (!S_ISDIR(own.type)) return base::Ok();
  ASSIGN_OR_RETURN(const auto names, NamesIn(path));
  for (const std::string& name : names) {
    RETURN_IF_ERROR(Step());
    const std::string inner = Join(path, name);
    ASSIGN_OR_RETURN(const MergedTree::Node node, layer_.Find(inner));
    if (node.type == 0 || moved_.contains(inner)) continue;
    const auto kind = S_ISDIR(node.type) ? Item::Kind::kDirectory : Item::Kind::kFile;
    const auto [item, added] = items_.try_emplace(inner, Item{kind, Source{&layer_, 0, inner}, false});
    if (S_ISDIR(node.type) && item->second.kind == Item::Kind::kDirectory) RETURN_IF_ERROR(KeepContents(inner));
  }
  return base::Ok();
}

// Whether the layer's archive has `path` after `other`.
Result<bool> OverlayAdaptation::IsLater(const std::string& path, const std::string& other) {
  if (!record_.has_value()) {
    ASSIGN_OR_RETURN(record_, LoadTreeRecord(tree_record_));
  }
  const auto found = record_->find(path);
  const auto found_other = record_->find(other);
  if (found == record_->end() || found_other == record_->end()) return false;
  return found->second->order > found_other->second->order;
}

Result<UnpackedSize> OverlayAdaptation::Write(const std::string& target) {
  const UniqueFd root(::open(target.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!root) return ErrnoError("open " + target);
  ASSIGN_OR_RETURN(const auto recorder, TreeRecorder::Create(target + std::string(kTreeRecordSuffix)));
  for (const auto& [path, item] : items_) {
    if (stop_.stop_requested()) return Error(Code::kCancelled, "cancelled");
    RETURN_IF_ERROR(WriteItem(path, item, root.get(), *recorder).Wrap(Quoted(path)));
  }
  parent_.reset();
  // The innermost first, since what is made in a directory changes its time.
  for (auto item = items_.rbegin(); item != items_.rend(); ++item) {
    if (item->second.kind != Item::Kind::kDirectory) continue;
    RETURN_IF_ERROR(FinishDirectory(item->first, item->second, root.get(), *recorder).Wrap(Quoted(item->first)));
  }
  RETURN_IF_ERROR(recorder->Finish());
  return size_;
}

Status OverlayAdaptation::WriteItem(const std::string& path, const Item& item, int root, TreeRecorder& recorder) {
  if (path.empty()) return base::Ok();
  const auto [parent, base] = SplitOff(path);
  if (!parent_ || parent != parent_path_) {
    parent_ = OpenBelow(root, parent);
    if (!parent_) return ErrnoError("open its directory");
    parent_path_ = parent;
  }
  if (item.kind == Item::Kind::kDirectory) {
    if (::mkdirat(parent_.get(), base.c_str(), 0700) != 0) return ErrnoError("make directory");
    ++size_.inodes;
    size_.bytes += kBlockBytes;
    return base::Ok();
  }
  if (item.kind == Item::Kind::kWhiteout) {
    if (::mknodat(parent_.get(), base.c_str(), S_IFCHR, makedev(0, 0)) != 0) return ErrnoError("make a whiteout");
    ++size_.inodes;
    recorder.AddWhiteout(parent, path);
    return base::Ok();
  }
  const Source& from = *item.source;
  if (::linkat(from.directory(), from.path.c_str(), parent_.get(), base.c_str(), 0) != 0) {
    return ErrnoError("make a hard link to " + Quoted(from.path));
  }
  ASSIGN_OR_RETURN(const RecordedEntry entry, EntryOf(parent_.get(), base));
  recorder.Add(path, entry);
  return base::Ok();
}

Status OverlayAdaptation::FinishDirectory(const std::string& path, const Item& item, int root, TreeRecorder& recorder) {
  const UniqueFd own(OpenBelow(root, path));
  if (!own) return ErrnoError("open");
  const std::string own_path = PathOf(own.get(), ".");
  struct stat info {};
  info.st_mode = S_IFDIR | 0755;
  if (item.source.has_value()) {
    ASSIGN_OR_RETURN(const UniqueFd from, OpenDirectory(*item.source));
    if (::fstat(from.get(), &info) != 0) return ErrnoError("stat");
    ASSIGN_OR_RETURN(const auto xattrs, ReadLayerXattrs(PathOf(from.get(), ".")));
    for (const auto& [name, value] : xattrs) {
      if (name == kOpaqueAttribute) continue;
      if (::setxattr(own_path.c_str(), name.c_str(), value.data(), value.size(), 0) != 0) {
        return ErrnoError("set extended attribute " + Quoted(name));
      }
    }
  }
  if (item.opaque && ::setxattr(own_path.c_str(), kOpaqueAttribute, "y", 1, 0) != 0)
    return ErrnoError("mark as opaque");
  if (::fchown(own.get(), info.st_uid, info.st_gid) != 0) return ErrnoError("set owner");
  if (::fchmod(own.get(), info.st_mode & 07777) != 0) return ErrnoError("set mode");
  if (item.source.has_value()) {
    const std::array<timespec, 2> times = {info.st_mtim, info.st_mtim};
    if (::futimens(own.get(), times.data()) != 0) return ErrnoError("set time");
  }
  ASSIGN_OR_RETURN(RecordedEntry entry, EntryOf(own.get(), "."));
  if (!item.source.has_value()) entry.modified.reset();
  recorder.Add(path, entry);
  return base::Ok();
}

}  // namespace

std::string AdaptationId(const std::vector<std::string>& diff_ids) {
  std::string text(kRules);
  for (const std::string& diff_id : diff_ids) text += "\n" + diff_id;
  return Sha256(text);
}

Result<std::unique_ptr<Adaptation>> Adaptation::Plan(const std::vector<std::string>& below,
                                                     const std::string& directory, const std::string& tree_record,
                                                     const std::stop_token& stop) {
  auto implied = LoadImpliedPaths(tree_record);
  // A layer of an earlier version, or of another source, is taken as it is.
  if (!implied.ok() && implied.error().code() == Code::kNotFound) return std::unique_ptr<Adaptation>();
  if (!implied.ok()) return std::move(implied).error();
  if (implied->directories.empty() && implied->with_whiteouts.empty()) return std::unique_ptr<Adaptation>();
  ASSIGN_OR_RETURN(MergedTree lower, MergedTree::Open(below));
  ASSIGN_OR_RETURN(MergedTree layer, MergedTree::Open({directory}));
  auto adaptation =
      std::make_unique<OverlayAdaptation>(std::move(lower), std::move(layer), *std::move(implied), tree_record, stop);
  RETURN_IF_ERROR(adaptation->Run());
  if (adaptation->empty()) return std::unique_ptr<Adaptation>();
  return std::unique_ptr<Adaptation>(std::move(adaptation));
}

}  // namespace image
