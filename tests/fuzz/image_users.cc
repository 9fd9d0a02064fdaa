#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <limits>
#include <string>

#include "base/fd.h"
#include "base/text.h"
#include "nspawn/process/user.h"
#include "tests/fuzz/fuzz.h"

namespace {

// The root filesystem of an image, whose etc/passwd and etc/group each input fills.
class Root {
 public:
  Root() {
    char name[] = "/dev/shm/image_users_fuzz.XXXXXX";
    fuzz::Require(::mkdtemp(name) != nullptr, "a temporary directory can be made");
    path_ = name;
    std::filesystem::create_directory(path_ + "/etc");
    fd_.reset(::open(path_.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  }
  ~Root() {
    std::error_code error;
    std::filesystem::remove_all(path_, error);
  }
  int fd() const { return fd_.get(); }
  void Write(const std::string& name, std::string_view content) const {
    std::ofstream(path_ + "/etc/" + name, std::ios::binary | std::ios::trunc) << content;
  }

 private:
  std::string path_;
  base::UniqueFd fd_;
};

}  // namespace

// User, group, etc/passwd and etc/group, each up to a NUL. A user of digits alone is a number.
int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const Root root;
  auto parts = base::Split(fuzz::Text(data, size), '\0');
  parts.resize(4);
  root.Write("passwd", parts[2]);
  root.Write("group", parts[3]);
  nspawn::User user;
  const auto number = base::ParseUnsigned(parts[0]);
  if (number && *number < std::numeric_limits<uint32_t>::max()) {
    user.uid = static_cast<uint32_t>(*number);
  } else {
    user.name = parts[0];
  }
  user.group = parts[1];
  user.supplementary_groups = {5, 5, 0};
  const auto identity = nspawn::ResolveUser(root.fd(), user);
  if (!identity.ok()) {
    fuzz::Require(identity.error().code() == base::Code::kInvalidArgument, "what is wrong is a name");
    return 0;
  }
  const auto& groups = identity->groups;
  fuzz::Require(!groups.empty() && groups.front() == identity->gid, "the group comes first");
  auto sorted = groups;
  std::sort(sorted.begin(), sorted.end());
  fuzz::Require(std::adjacent_find(sorted.begin(), sorted.end()) == sorted.end(), "no group comes twice");
  fuzz::Require(
      sorted.back() != std::numeric_limits<uint32_t>::max() && identity->uid != std::numeric_limits<uint32_t>::max(),
      "no id means \"no change\" to the kernel");
  if (user.uid) fuzz::Require(identity->uid == *user.uid, "a number is taken as it is");
  // To the daemon it comes as a line of text.
  const auto again = nspawn::ParseIdentity(nspawn::FormatIdentity(*identity));
  fuzz::Require(again && again->uid == identity->uid && again->gid == identity->gid && again->groups == groups,
                "the line says it all");
  return 0;
}
