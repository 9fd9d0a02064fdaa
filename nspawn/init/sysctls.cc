#include "nspawn/init/sysctls.h"

#include <fcntl.h>

#include <algorithm>

#include "base/fd.h"
#include "base/files.h"
#include "base/text.h"

namespace nspawn {

base::Status WriteSysctls(int proc, const std::vector<std::pair<std::string, std::string>>& sysctls) {
  if (sysctls.empty()) return base::Ok();
  const base::UniqueFd tree(::openat(proc, "sys", O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!tree) return base::ErrnoError("open /proc/sys");
  for (const auto& [name, value] : sysctls) {
    std::string path = name;
    const size_t separator = path.find_first_of("./");
    if (separator != std::string::npos && path[separator] == '.') std::replace(path.begin(), path.end(), '.', '/');
    const std::string doing = "set sysctl " + base::Printable(name, 256);
    // What is resolved with /proc/sys as its root cannot leave it.
    base::Result<base::UniqueFd> file = base::OpenInRoot(tree.get(), path, O_WRONLY | O_NOFOLLOW);
    if (!file.ok()) return std::move(file).error().Wrap(doing);
    RETURN_IF_ERROR(base::WriteAll(file->get(), value).Wrap(doing));
  }
  return base::Ok();
}

}  // namespace nspawn
