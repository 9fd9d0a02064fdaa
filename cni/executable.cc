#include "cni/executable.h"

#include <sys/stat.h>
#include <unistd.h>

namespace cni {

std::string FindExecutable(const std::vector<std::string>& directories, const std::string& name) {
  for (const std::string& directory : directories) {
    std::string path = directory + "/" + name;
    struct stat info {};
    if (::stat(path.c_str(), &info) == 0 && S_ISREG(info.st_mode) && ::access(path.c_str(), X_OK) == 0) return path;
  }
  return {};
}

}  // namespace cni
