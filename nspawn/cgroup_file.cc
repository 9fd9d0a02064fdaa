#include "nspawn/cgroup_file.h"

#include <fcntl.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/text.h"

namespace nspawn {

base::Status WriteCgroupFile(const std::string& directory, const std::string& file, const std::string& value) {
  const std::string path = directory + "/" + file;
  const base::UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CLOEXEC));
  if (!fd) return base::ErrnoError("opening " + path);
  if (::write(fd.get(), value.data(), value.size()) < 0) {
    return base::ErrnoError("writing \"" + base::Printable(value, 64) + "\" to " + path);
  }
  return {};
}

}  // namespace nspawn
