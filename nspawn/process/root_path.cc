#include "nspawn/process/root_path.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "base/files.h"
#include "base/text.h"

namespace nspawn {
namespace {

using base::Result;
using base::Status;
using base::UniqueFd;

// As the kernel's own limit for one path.
constexpr int kMostLinks = 40;

std::string Join(const std::vector<std::string>& parts) {
  std::string path;
  for (const std::string& part : parts) path += "/" + part;
  return path.empty() ? "/" : path;
}

// Appends the parts of `path` to `todo` in reverse, so that the next one is at the end.
void PushParts(std::string_view path, std::vector<std::string>& todo) {
  const std::vector<std::string_view> parts = base::Split(path, '/');
  for (auto part = parts.rbegin(); part != parts.rend(); ++part) {
    if (!part->empty() && *part != ".") todo.emplace_back(*part);
  }
}

Result<UniqueFd> MakeEntry(int parent, const std::string& name, PathKind kind, Owner owner) {
  bool made = true;
  if (kind == PathKind::kDirectory) {
    made = ::mkdirat(parent, name.c_str(), 0755) == 0;
    if (!made && errno != EEXIST) return base::ErrnoError("make directory " + name);
  } else {
    const UniqueFd file(::openat(parent, name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644));
    made = static_cast<bool>(file);
    if (!made && errno != EEXIST) return base::ErrnoError("make file " + name);
  }
  const bool other = owner.uid != 0 || owner.gid != 0;
  if (made && other && ::fchownat(parent, name.c_str(), owner.uid, owner.gid, AT_SYMLINK_NOFOLLOW) != 0) {
    return base::ErrnoError("give away " + name);
  }
  UniqueFd entry(::openat(parent, name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  if (!entry) return base::ErrnoError("open " + name);
  return entry;
}

// Walks `path` part by part. `done` never holds a symbolic link, so ".." may be taken off by text.
Result<UniqueFd> Walk(int root, const std::string& path, PathKind kind, Owner owner) {
  std::vector<std::string> done;
  std::vector<std::string> todo;
  PushParts(path, todo);
  int links = 0;
  ASSIGN_OR_RETURN(UniqueFd at, base::OpenInRoot(root, "/", O_PATH | O_DIRECTORY));
  while (!todo.empty()) {
    const std::string part = std::move(todo.back());
    todo.pop_back();
    if (part == "..") {
      if (!done.empty()) done.pop_back();
      ASSIGN_OR_RETURN(at, base::OpenInRoot(root, Join(done), O_PATH | O_DIRECTORY));
      continue;
    }
    done.push_back(part);
    Result<UniqueFd> next = base::OpenInRoot(root, Join(done), O_PATH | O_NOFOLLOW);
    if (!next.ok()) {
      if (next.error().number() != ENOENT) return next;
      next = MakeEntry(at.get(), part, todo.empty() ? kind : PathKind::kDirectory, owner);
      if (!next.ok()) return next;
    }
    struct stat info {};
    if (::fstat(next->get(), &info) != 0) return base::ErrnoError("stat " + Join(done));
    if (!S_ISLNK(info.st_mode)) {
      at = *std::move(next);
      continue;
    }
    if (++links > kMostLinks) return base::Error::FromErrno(ELOOP, Join(done));
    char target[PATH_MAX];
    const ssize_t length = ::readlinkat(next->get(), "", target, sizeof target);
    if (length < 0) return base::ErrnoError("read link " + Join(done));
    done.pop_back();
    const std::string_view link(target, static_cast<size_t>(length));
    if (!link.empty() && link.front() == '/') {
      done.clear();
      ASSIGN_OR_RETURN(at, base::OpenInRoot(root, "/", O_PATH | O_DIRECTORY));
    }
    PushParts(link, todo);
  }
  return at;
}

}  // namespace

Result<UniqueFd> OpenOrCreateInRoot(int root, const std::string& path, PathKind kind, Owner owner) {
  Result<UniqueFd> found = base::OpenInRoot(root, path, O_PATH);
  if (found.ok() || found.error().number() != ENOENT) return found;
  return Walk(root, path, kind, owner).Wrap("make " + path + " inside the root filesystem");
}

std::string CleanPath(std::string_view path) {
  std::vector<std::string_view> clean;
  for (const std::string_view part : base::Split(path, '/')) {
    if (part.empty() || part == ".") continue;
    if (part == "..") {
      if (!clean.empty()) clean.pop_back();
    } else {
      clean.push_back(part);
    }
  }
  std::string joined;
  for (const std::string_view part : clean) {
    if (!joined.empty()) joined += '/';
    joined += part;
  }
  return joined;
}

}  // namespace nspawn
