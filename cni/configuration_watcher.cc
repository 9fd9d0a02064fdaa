#include "cni/configuration_watcher.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <system_error>

#include "base/log.h"
#include "base/text.h"

namespace cni {
namespace {

constexpr uint32_t kPathEvents =
    IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR;
// IN_ATTRIB: a file that could not be opened may have become readable.
constexpr uint32_t kDirectoryEvents = kPathEvents | IN_CLOSE_WRITE | IN_ATTRIB;

// A file just created is empty as yet; IN_CLOSE_WRITE follows. A link is complete at once and nothing follows.
bool IsStillEmpty(const std::string& path) {
  struct stat info {};
  return ::lstat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode) && info.st_nlink == 1 && info.st_size == 0;
}

}  // namespace

ConfigurationWatcher::ConfigurationWatcher(std::string directory)
    : directory_(std::move(directory)),
      inotify_(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK)),
      stop_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  following_ = inotify_ && stop_ && Watch();
  Reload();
  if (following_) {
    try {
      thread_ = std::thread([this] { Follow(); });
    } catch (const std::system_error&) {
      following_ = false;
    }
  }
  if (!following_) {
    base::Log(base::LogLevel::kWarning,
              "changes of " + directory_ + " cannot be followed by inotify; it is read at every request instead");
  }
}

ConfigurationWatcher::~ConfigurationWatcher() {
  if (!thread_.joinable()) return;
  const uint64_t one = 1;
  (void)!::write(stop_.get(), &one, sizeof one);
  thread_.join();
}

Selection ConfigurationWatcher::Current() const {
  {
    const std::lock_guard lock(mutex_);
    if (following_) return selection_;
  }
  return SelectConfiguration(directory_);
}

// Watches the directory and every directory above it, as far as they exist, and drops the watches of what is no longer
// on that path. False when the kernel refuses.
bool ConfigurationWatcher::Watch() {
  struct Part {
    std::string path;
    std::string next;
  };
  std::vector<Part> parts;
  std::string path = directory_.starts_with('/') ? "/" : ".";
  for (const std::string_view name : base::Split(directory_, '/')) {
    if (name.empty()) continue;
    parts.push_back({path, std::string(name)});
    path += "/" + std::string(name);
  }
  parts.push_back({path, ""});

  std::map<int, std::string> watches;
  for (const Part& part : parts) {
    const uint32_t events = part.next.empty() ? kDirectoryEvents : kPathEvents;
    const int watch = ::inotify_add_watch(inotify_.get(), part.path.c_str(), events);
    if (watch < 0) {
      if (errno == ENOSPC || errno == ENOMEM) return false;
      break;  // What is below comes into being later, if ever.
    }
    // Two parts of the path that are one directory share a watch; then every configuration file matters.
    if (const auto [entry, added] = watches.emplace(watch, part.next); !added) entry->second.clear();
  }
  for (const auto& [watch, name] : watches_) {
    if (!watches.contains(watch)) ::inotify_rm_watch(inotify_.get(), watch);
  }
  watches_ = std::move(watches);
  return true;
}

// Takes the events there are; whether one of them may change the selection.
bool ConfigurationWatcher::IsRelevant() {
  bool relevant = false;
  alignas(inotify_event) std::array<char, 16384> buffer{};
  while (true) {
    const ssize_t got = ::read(inotify_.get(), buffer.data(), buffer.size());
    if (got <= 0) return relevant;
    for (ssize_t at = 0; at < got;) {
      const auto* event = reinterpret_cast<const inotify_event*>(buffer.data() + at);
      at += static_cast<ssize_t>(sizeof *event + event->len);
      if ((event->mask & IN_Q_OVERFLOW) != 0) relevant = true;
      const auto watch = watches_.find(event->wd);
      if (watch == watches_.end()) continue;
      const std::string_view name = event->len > 0 ? std::string_view(event->name) : std::string_view();
      if (name.empty()) {
        // The directory itself: gone or moved. IN_ATTRIB of it says nothing about its files.
        relevant |= (event->mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_IGNORED | IN_UNMOUNT)) != 0;
      } else if (!watch->second.empty()) {
        relevant |= name == watch->second;
      } else if (IsConfigurationName(name)) {
        relevant |= (event->mask & IN_CREATE) == 0 || !IsStillEmpty(directory_ + "/" + std::string(name));
      }
    }
  }
}

void ConfigurationWatcher::Follow() {
  while (true) {
    std::array<pollfd, 2> fds = {pollfd{inotify_.get(), POLLIN, 0}, pollfd{stop_.get(), POLLIN, 0}};
    if (::poll(fds.data(), fds.size(), -1) < 0) continue;
    if (fds[1].revents != 0) return;
    if (!IsRelevant()) continue;
    // First the watches, then the files: a change in between is seen twice rather than never.
    if (!Watch()) {
      base::Log(base::LogLevel::kWarning,
                "the kernel grants no more inotify watches; " + directory_ + " is read at every request instead");
      const std::lock_guard lock(mutex_);
      following_ = false;
      return;
    }
    Reload();
  }
}

void ConfigurationWatcher::Reload() {
  Selection selection = SelectConfiguration(directory_);
  // Only this thread writes selection_.
  for (const std::string& complaint : selection.complaints) {
    const auto& known = selection_.complaints;
    if (std::find(known.begin(), known.end(), complaint) != known.end()) continue;
    base::Log(base::LogLevel::kWarning, "CNI configuration " + complaint);
  }
  const auto document = [](const Selection& of) {
    return of.configuration ? of.configuration->document : base::Json();
  };
  if (selection.file != selection_.file || document(selection) != document(selection_)) {
    base::Log(base::LogLevel::kInfo, selection.configuration
                                         ? "CNI configuration in force: " + base::Printable(selection.file, 128) +
                                               ", network " + selection.configuration->name
                                         : "no CNI configuration in force");
  }
  const std::lock_guard lock(mutex_);
  selection_ = std::move(selection);
}

}  // namespace cni
