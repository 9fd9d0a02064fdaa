#include "nspawn/fd_store.h"

#include <systemd/sd-daemon.h>

#include <cstdlib>
#include <utility>

namespace nspawn {
namespace {

// As fdname_is_valid() of systemd has it.
bool IsValidName(const std::string& name) {
  if (name.empty() || name.size() > 255) return false;
  for (const char c : name) {
    if (c < ' ' || c > '~' || c == ':') return false;
  }
  return true;
}

class SystemdFdStore : public FdStore {
 public:
  base::Status Put(const std::string& name, int fd) override { return Lend(0, name, fd); }
  void Remove(const std::string& name) override { TakeBack(0, name); }

  // systemd takes a message for one of the unit's whose process has sent it, or a privileged process in its name.
  base::Status Lend(pid_t process, const std::string& name, int fd) override {
    if (!IsValidName(name)) return base::InvalidArgument("\"" + name + "\" cannot name a stored descriptor");
    const std::string message = "FDSTORE=1\nFDPOLL=0\nFDNAME=" + name;
    const int result = ::sd_pid_notify_with_fds(process, /*unset_environment=*/0, message.c_str(), &fd, 1);
    if (result < 0) return base::Error::FromErrno(-result, "storing the descriptor " + name + " in systemd");
    return base::Ok();
  }
  void TakeBack(pid_t process, const std::string& name) override {
    // Where the message cannot be sent the descriptor stays stored until the service ends, which harms nothing.
    const std::string message = "FDSTOREREMOVE=1\nFDNAME=" + name;
    if (IsValidName(name)) static_cast<void>(::sd_pid_notify(process, /*unset_environment=*/0, message.c_str()));
  }
};

}  // namespace

std::unique_ptr<FdStore> MakeSystemdFdStore() {
  return std::make_unique<SystemdFdStore>();
}

std::map<std::string, base::UniqueFd> TakeStoredFds() {
  std::map<std::string, base::UniqueFd> result;
  char** names = nullptr;
  // Unsets the variables, so that no child takes descriptors for its own.
  const int count = ::sd_listen_fds_with_names(/*unset_environment=*/1, &names);
  for (int i = 0; i < count; ++i) {
    base::UniqueFd fd(SD_LISTEN_FDS_START + i);
    if (names != nullptr && names[i] != nullptr) result.insert_or_assign(names[i], std::move(fd));
  }
  if (names != nullptr) {
    for (char** name = names; *name != nullptr; ++name) std::free(*name);  // NOLINT(cppcoreguidelines-no-malloc)
    std::free(names);                                                      // NOLINT(cppcoreguidelines-no-malloc)
  }
  return result;
}

}  // namespace nspawn
