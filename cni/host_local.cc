#include "cni/host_local.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <cerrno>
#include <chrono>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <thread>

#include "base/fd.h"
#include "base/log.h"
#include "base/text.h"
#include "cni/plugin_result.h"

namespace cni {
namespace {

constexpr char kDefaultDirectory[] = "/var/lib/cni/networks";
// The plugin holds the lock for the time of a few small files. flock(2) itself knows no time-out, and whoever was
// stopped with the lock must not keep a pod's removal.
constexpr std::chrono::milliseconds kMostForLock{2'000};
constexpr std::chrono::milliseconds kBetweenTries{10};

// The value of "dataDir" of each plugin's "ipam", as the plugin takes it.
std::set<std::string> DataDirectories(const Configuration& configuration) {
  std::set<std::string> directories;
  for (const Plugin& plugin : configuration.plugins) {
    const auto ipam = plugin.object.find("ipam");
    if (ipam == plugin.object.end() || !ipam->is_object()) continue;
    const auto type = base::StringMember(*ipam, "type");
    auto directory = base::StringMember(*ipam, "dataDir");
    if (!type.ok() || *type != "host-local" || !directory.ok()) continue;
    if (directory->empty()) *directory = kDefaultDirectory;
    // What is not absolute depends on where the plugin ran.
    if (directory->front() == '/' && directory->find('\0') == std::string::npos) {
      directories.insert(*std::move(directory));
    }
  }
  return directories;
}

base::Status TakeLock(int fd) {
  const auto deadline = std::chrono::steady_clock::now() + kMostForLock;
  while (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK && errno != EINTR) return base::ErrnoError("lock it");
    if (std::chrono::steady_clock::now() >= deadline) {
      return base::Error(base::Code::kDeadlineExceeded, "somebody else holds its lock");
    }
    std::this_thread::sleep_for(kBetweenTries);
  }
  return base::Ok();
}

base::Status RemoveIn(const std::string& data_directory, const std::string& network) {
  const auto missing_is_fine = [](std::string_view doing) {
    return errno == ENOENT ? base::Ok() : base::Status(base::ErrnoError(doing));
  };
  const base::UniqueFd above(::open(data_directory.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!above) return missing_is_fine("open the directory above");
  // The name of a network holds no slash.
  base::UniqueFd directory(::openat(above.get(), network.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!directory) return missing_is_fine("open it");
  // Made before the first lease. Closing it gives the lock back.
  const base::UniqueFd lock(::openat(directory.get(), "lock", O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC));
  if (!lock) return missing_is_fine("open its lock");
  RETURN_IF_ERROR(TakeLock(lock.get()));

  const std::unique_ptr<DIR, int (*)(DIR*)> stream(::fdopendir(directory.get()), &::closedir);
  if (!stream) return base::ErrnoError("read it");
  const int fd = directory.release();
  while (true) {
    errno = 0;
    const dirent* entry = ::readdir(stream.get());
    if (entry == nullptr) return errno == 0 ? base::Ok() : base::Status(base::ErrnoError("read it"));
    const std::string name = entry->d_name;
    struct stat info {};
    if (!IsAddress(name) || ::fstatat(fd, entry->d_name, &info, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(info.st_mode) ||
        info.st_size != 0) {
      continue;
    }
    if (::unlinkat(fd, entry->d_name, 0) != 0 && errno != ENOENT) return base::ErrnoError("remove " + name);
    base::Log(base::LogLevel::kNotice, "released the address " + name + " of network " + network +
                                           ": host-local was cut off before it wrote whose it is");
  }
}

}  // namespace

base::Status RemoveUnownedLeases(const Configuration& configuration) {
  base::Status first;
  for (const std::string& directory : DataDirectories(configuration)) {
    base::Status removed =
        RemoveIn(directory, configuration.name)
            .Wrap("leases without an owner in " + base::Printable(directory + "/" + configuration.name, 256));
    if (first.ok()) first = std::move(removed);
  }
  return first;
}

}  // namespace cni
