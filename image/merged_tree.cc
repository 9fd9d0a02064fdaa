#include "image/merged_tree.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include "image/layer_tree.h"

namespace image {
namespace {

using base::ErrnoError;
using base::Result;
using base::UniqueFd;

constexpr size_t kMostFoundBytes = size_t{16} << 20;

Result<bool> IsOpaque(int layer, const std::string& path) {
  const UniqueFd fd(
      ::openat(layer, path.empty() ? "." : path.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd) return ErrnoError("open " + Quoted(path));
  char value = 0;
  return ::fgetxattr(fd.get(), kOpaqueAttribute, &value, 1) == 1 && value == 'y';
}

}  // namespace

Result<MergedTree> MergedTree::Open(const std::vector<std::string>& directories) {
  MergedTree tree;
  for (const std::string& directory : directories) {
    tree.layers_.emplace_back(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!tree.layers_.back()) return ErrnoError("open " + directory);
  }
  return tree;
}

Result<MergedTree::Node> MergedTree::Find(const std::string& path) {
  if (const auto found = found_.find(path); found != found_.end()) return found->second;
  ASSIGN_OR_RETURN(Node node, Look(path));
  if (found_bytes_ > kMostFoundBytes) {
    found_.clear();
    found_bytes_ = 0;
  }
  found_bytes_ += path.size() + sizeof(Node) + node.merged.size() * sizeof(size_t);
  found_.emplace(path, node);
  return node;
}

Result<MergedTree::Node> MergedTree::Look(const std::string& path) {
  Node node;
  std::vector<size_t> candidates;
  if (path.empty()) {
    for (size_t layer = layers_.size(); layer > 0; --layer) candidates.push_back(layer - 1);
  } else {
    ASSIGN_OR_RETURN(Node parent, Find(SplitOff(path).parent));
    candidates = std::move(parent.merged);
  }
  for (const size_t layer : candidates) {
    struct stat info {};
    // All above it are directories in this layer.
    if (::fstatat(this->layer(layer), path.c_str(), &info, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0) {
      if (errno == ENOENT) continue;
      return ErrnoError("stat " + Quoted(path));
    }
    if (IsWhiteout(info)) {
      node.whiteout = node.merged.empty();
      break;
    }
    if (!S_ISDIR(info.st_mode) && !node.merged.empty()) break;
    if (node.merged.empty()) {
      node.type = info.st_mode & S_IFMT;
      node.layer = layer;
    }
    if (!S_ISDIR(info.st_mode)) break;
    node.merged.push_back(layer);
    ASSIGN_OR_RETURN(const bool opaque, IsOpaque(this->layer(layer), path));
    if (opaque) {
      node.opaque = node.merged.size() == 1;
      break;
    }
  }
  return node;
}

}  // namespace image
