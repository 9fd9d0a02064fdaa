// Keeps the selected configuration in step with the configuration directory.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "base/fd.h"
#include "cni/configuration.h"

namespace cni {

// Owns a thread that sleeps in poll(2) until inotify(7) reports a change of the directory's files or of the path that
// leads to it, so that the directory may be created later, removed or replaced. Where the kernel grants no inotify
// instance or watch (fs.inotify.max_user_instances is often used up on busy nodes) every Current() looks for itself.
// Thread-safe.
class ConfigurationWatcher {
 public:
  explicit ConfigurationWatcher(std::string directory);
  ~ConfigurationWatcher();
  ConfigurationWatcher(const ConfigurationWatcher&) = delete;
  ConfigurationWatcher& operator=(const ConfigurationWatcher&) = delete;

  Selection Current() const;

 private:
  bool Watch();
  bool IsRelevant();
  void Follow();
  void Reload();

  const std::string directory_;
  base::UniqueFd inotify_;
  base::UniqueFd stop_;
  // By watch descriptor the name in that directory that matters; "" where every configuration file does.
  std::map<int, std::string> watches_;
  mutable std::mutex mutex_;
  bool following_ = false;  // guarded by mutex_, as is selection_
  Selection selection_;
  std::thread thread_;
};

}  // namespace cni
