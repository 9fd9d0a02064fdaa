#include "cri/selinux.h"

#include <dirent.h>
#include <fcntl.h>
#include <selinux/selinux.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <memory>
#include <vector>

#include "base/fd.h"
#include "base/files.h"
#include "base/text.h"

namespace cri {
namespace {

using base::InvalidArgument;

constexpr char kAttribute[] = "security.selinux";
constexpr size_t kMostContexts = 65536;
constexpr int kDeepest = 256;
constexpr unsigned kCategories = 1024;

// Directories that a volume may lie in, but must not be.
constexpr std::string_view kOfTheSystem[] = {
    "/",     "/bin",  "/boot", "/dev",  "/etc", "/home", "/lib", "/lib32", "/lib64", "/media",   "/mnt",    "/opt",
    "/proc", "/root", "/run",  "/sbin", "/srv", "/sys",  "/tmp", "/usr",   "/var",   "/var/lib", "/var/log"};

// The four parts of "user:role:type:level"; a level has colons of its own.
struct Label {
  std::string user, role, type, level;
  std::string ToString() const { return user + ":" + role + ":" + type + (level.empty() ? "" : ":" + level); }
};

base::Result<Label> ParseLabel(std::string_view text) {
  std::string parts[3];
  for (std::string& part : parts) {
    const size_t colon = text.find(':');
    part = text.substr(0, colon);
    text.remove_prefix(colon == std::string_view::npos ? text.size() : colon + 1);
  }
  if (parts[2].empty()) return base::Internal("the policy's default label for containers is broken");
  return Label{parts[0], parts[1], parts[2], std::string(text)};
}

// The value of a line `key = "value"`.
std::string ContextOf(std::string_view contexts, std::string_view key) {
  for (const std::string_view line : base::Split(contexts, '\n')) {
    const size_t equals = line.find('=');
    if (equals == std::string_view::npos || base::Trim(line.substr(0, equals)) != key) continue;
    std::string_view value = base::Trim(line.substr(equals + 1));
    if (value.size() >= 2 && value.front() == '"' && value.back() == '"') value = value.substr(1, value.size() - 2);
    return std::string(value);
  }
  return {};
}

base::Status Apply(const char* what, const std::string& option, bool level, std::string& part) {
  if (option.empty()) return base::Ok();
  const bool fits =
      option.size() <= 255 && std::all_of(option.begin(), option.end(), [&](unsigned char c) {
        return std::isalnum(c) != 0 || c == '_' || c == '-' || c == '.' || (level && (c == ':' || c == ','));
      });
  if (!fits) {
    return InvalidArgument(std::string("selinux_options: ") + what + " \"" + base::Printable(option, 64) +
                           "\" cannot be part of a label");
  }
  part = option;
  return base::Ok();
}

// Two categories that are always the same for an id (FNV-1a).
std::string CategoriesOf(const std::string& id) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const char c : id) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  const auto first = static_cast<unsigned>(hash % kCategories);
  const auto second = static_cast<unsigned>(hash / kCategories % (kCategories - 1));
  const unsigned other = second >= first ? second + 1 : second;  // never the same one
  return "c" + std::to_string(std::min(first, other)) + ",c" + std::to_string(std::max(first, other));
}

class Relabeler {
 public:
  Relabeler(const std::string& label, dev_t device) : label_(label), device_(device) {}

  // What a container does to the tree meanwhile leads nowhere else: everything is reached from its parent's descriptor.
  base::Status Tree(const base::UniqueFd& entry, const std::string& path, int depth) {
    struct stat info {};
    if (::fstat(entry.get(), &info) != 0) return base::ErrnoError("stat " + path);
    if (info.st_dev != device_) return base::Ok();
    // The name of a descriptor, since extended attributes of a link or a device cannot be set by the descriptor itself.
    const std::string name = "/proc/self/fd/" + std::to_string(entry.get());
    if (::setxattr(name.c_str(), kAttribute, label_.c_str(), label_.size() + 1, 0) != 0 && errno != ENOTSUP) {
      return base::ErrnoError("label " + path);
    }
    if (!S_ISDIR(info.st_mode)) return base::Ok();
    if (depth > kDeepest) return base::Error(base::Code::kResourceExhausted, path + " is nested too deeply");
    base::UniqueFd directory(::openat(entry.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!directory) return base::ErrnoError("open " + path);
    const std::unique_ptr<DIR, int (*)(DIR*)> stream(::fdopendir(directory.get()), &::closedir);
    if (!stream) return base::ErrnoError("read " + path);
    (void)directory.release();
    while (const dirent* next = ::readdir(stream.get())) {
      const std::string child = next->d_name;
      if (child == "." || child == "..") continue;
      const base::UniqueFd fd(::openat(::dirfd(stream.get()), child.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
      if (!fd && errno == ENOENT) continue;  // removed meanwhile
      if (!fd) return base::ErrnoError("open " + path + "/" + child);
      RETURN_IF_ERROR(Tree(fd, path + "/" + child, depth + 1));
    }
    return base::Ok();
  }

 private:
  const std::string& label_;
  const dev_t device_;
};

}  // namespace

base::Result<SelinuxLabels> MakeSelinuxLabels(std::string_view contexts, const v1::SELinuxOption& options,
                                              const std::string& sandbox_id) {
  ASSIGN_OR_RETURN(Label process, ParseLabel(ContextOf(contexts, "process")));
  ASSIGN_OR_RETURN(Label file, ParseLabel(ContextOf(contexts, "file")));
  if (!process.level.empty()) process.level = "s0:" + CategoriesOf(sandbox_id);
  RETURN_IF_ERROR(Apply("user", options.user(), false, process.user));
  RETURN_IF_ERROR(Apply("role", options.role(), false, process.role));
  RETURN_IF_ERROR(Apply("type", options.type(), false, process.type));
  RETURN_IF_ERROR(Apply("level", options.level(), true, process.level));
  // What it writes it may read, and nobody of another level.
  file.user = process.user;
  file.level = process.level;
  return SelinuxLabels{process.ToString(), file.ToString()};
}

base::Status Relabel(const std::string& path, const std::string& label) {
  std::string clean = std::filesystem::path(path).lexically_normal();
  if (clean.size() > 1 && clean.back() == '/') clean.pop_back();
  if (std::find(std::begin(kOfTheSystem), std::end(kOfTheSystem), clean) != std::end(kOfTheSystem)) {
    return InvalidArgument("\"" + path +
                           "\" is a directory of the system and is not given a container's SELinux label");
  }
  const base::UniqueFd top(::open(path.c_str(), O_PATH | O_CLOEXEC));
  struct stat info {};
  if (!top || ::fstat(top.get(), &info) != 0) return base::ErrnoError("open " + path);
  return Relabeler(label, info.st_dev).Tree(top, path, 0);
}

base::Status AddSelinux(const ContainerSources& sources, nspawn::ContainerSpec& spec) {
  if (::is_selinux_enabled() != 1) return base::Ok();
  const v1::ContainerConfig& config = sources.record.config();
  const v1::LinuxContainerSecurityContext& security = config.linux().security_context();
  // As peers have it: who may do everything, or sees the node's processes, is not confined by a label.
  const v1::NamespaceOption& namespaces = security.namespace_options();
  const bool confined = !security.privileged() && namespaces.pid() != v1::NODE && namespaces.ipc() != v1::NODE;
  const bool asked = security.has_selinux_options();
  const char* path = ::selinux_lxc_contexts_path();
  const auto contexts = path == nullptr ? base::Result<std::string>(base::NotFound("the policy has no lxc_contexts"))
                                        : base::ReadFile(path, kMostContexts);
  if (!contexts.ok()) {
    // A policy that knows no containers.
    if (!asked) return base::Ok();
    return base::Error(base::Code::kFailedPrecondition, "selinux_options: " + contexts.error().message());
  }
  const v1::SELinuxOption& options =
      asked ? security.selinux_options() : sources.sandbox.config().linux().security_context().selinux_options();
  ASSIGN_OR_RETURN(const SelinuxLabels labels, MakeSelinuxLabels(*contexts, options, sources.sandbox.id()));
  for (const std::string& label : {labels.process, labels.mount}) {
    if (::security_check_context(label.c_str()) != 0) {
      return InvalidArgument("selinux_options: the policy does not know the label \"" + label + "\"");
    }
  }
  if (confined || asked) {
    if (!security.privileged()) spec.process.selinux_process_label = labels.process;
    spec.process.selinux_mount_label = labels.mount;
    RETURN_IF_ERROR(Relabel(sources.sandbox_files, labels.mount));
  }
  for (const v1::Mount& mount : config.mounts()) {
    if (!mount.selinux_relabel() || mount.has_image()) continue;
    RETURN_IF_ERROR(Relabel(mount.host_path(), labels.mount).Wrap("mount at \"" + mount.container_path() + "\""));
  }
  return base::Ok();
}

}  // namespace cri
