#include "cni/namespaces.h"

#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstring>
#include <system_error>
#include <thread>

#include "base/fault.h"
#include "base/fd.h"
#include "base/files.h"
#include "base/text.h"
#include "base/trace.h"

namespace cni {
namespace {

constexpr size_t kMostNameLength = 200;
constexpr size_t kMostValueLength = 4096;
constexpr int kMostStackedMounts = 16;

bool IsNameCharacter(char c) {
  return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '-' || c == '.';
}

base::Status CheckName(const std::string& name) {
  if (name.empty() || name.size() > kMostNameLength || name[0] == '.' || name[0] == '-' ||
      !std::all_of(name.begin(), name.end(), IsNameCharacter)) {
    return base::InvalidArgument("\"" + base::Printable(name, 64) + "\" is no valid name of a network namespace");
  }
  return base::Ok();
}

// "net.ipv4.ip_forward" to "net/ipv4/ip_forward". As sysctl.d(5) has it, the first separator decides: in a name that
// uses dots a slash stands for a dot ("net.ipv4.conf.eth0/1.forwarding").
base::Result<std::string> SysctlPath(const std::string& name) {
  const auto refuse = [&](std::string_view why) {
    return base::InvalidArgument("the sysctl \"" + base::Printable(name, 128) + "\" " + std::string(why));
  };
  if (!std::all_of(name.begin(), name.end(), [](char c) { return IsNameCharacter(c) || c == '/'; })) {
    return refuse("has other characters than letters, digits, '_', '-', '.' and '/'");
  }
  std::string path = name;
  if (const size_t separator = path.find_first_of("./"); separator != std::string::npos && path[separator] == '.') {
    for (char& c : path) {
      if (c == '.' || c == '/') c = c == '.' ? '/' : '.';
    }
  }
  const auto parts = base::Split(path, '/');
  if (parts.size() < 2 || parts[0] != "net") return refuse("does not belong to the network namespace of a pod");
  for (const std::string_view part : parts) {
    if (part.empty() || part == "." || part.find("..") != std::string_view::npos) return refuse("is malformed");
  }
  return path;
}

struct Sysctl {
  std::string name;
  std::string path;  // below /proc/sys
  std::string value;
};

base::Result<std::vector<Sysctl>> CheckSysctls(const std::vector<std::pair<std::string, std::string>>& sysctls) {
  std::vector<Sysctl> checked;
  for (const auto& [name, value] : sysctls) {
    ASSIGN_OR_RETURN(std::string path, SysctlPath(name));
    if (value.size() > kMostValueLength || value.find('\0') != std::string::npos) {
      return base::InvalidArgument("the value of the sysctl " + name + " is not valid");
    }
    checked.push_back({name, std::move(path), value});
  }
  return checked;
}

base::Status BringUpLoopback() {
  const base::UniqueFd socket(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!socket) return base::ErrnoError("open a socket");
  ifreq request{};
  std::strcpy(request.ifr_name, "lo");
  if (::ioctl(socket.get(), SIOCGIFFLAGS, &request) != 0) return base::ErrnoError("read the flags of lo");
  request.ifr_flags = static_cast<short>(request.ifr_flags | IFF_UP);
  if (::ioctl(socket.get(), SIOCSIFFLAGS, &request) != 0) return base::ErrnoError("bring up lo");
  return base::Ok();
}

// /proc/sys/net shows the network namespace of the thread that opens the file.
base::Status WriteSysctl(const Sysctl& sysctl) {
  const std::string doing = "set the sysctl " + sysctl.name + " to \"" + base::Printable(sysctl.value, 64) + "\"";
  const base::UniqueFd fd(::open(("/proc/sys/" + sysctl.path).c_str(), O_WRONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!fd && errno == ENOENT) {
    return base::InvalidArgument(doing + ": the kernel has no such sysctl for network namespaces");
  }
  if (!fd) return base::ErrnoError(doing);
  // One write: the kernel takes each as a value of its own.
  if (::write(fd.get(), sysctl.value.data(), sysctl.value.size()) != static_cast<ssize_t>(sysctl.value.size())) {
    base::Error error = base::ErrnoError(doing);
    if (error.number() == EINVAL || error.number() == ERANGE)
      return std::move(error).WithCode(base::Code::kInvalidArgument);
    return error;
  }
  return base::Ok();
}

// Runs in a thread of its own, which leaves the host's network namespace for good.
base::Status MakeAndPin(const std::string& path, const std::vector<Sysctl>& sysctls) {
  if (::unshare(CLONE_NEWNET) != 0) return base::ErrnoError("make a network namespace");
  RETURN_IF_ERROR(BringUpLoopback());
  for (const Sysctl& sysctl : sysctls) RETURN_IF_ERROR(WriteSysctl(sysctl));
  if (::mount("/proc/thread-self/ns/net", path.c_str(), nullptr, MS_BIND, nullptr) != 0) {
    return base::ErrnoError("pin the network namespace at " + path);
  }
  return base::Ok();
}

using Clock = std::chrono::steady_clock;

// Moves the calling thread to the network namespace at `path`, which must not be the host's.
base::Status Join(const std::string& path) {
  const base::UniqueFd found(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!found) return base::ErrnoError("open " + path);
  struct stat own {};
  struct stat other {};
  if (::stat("/proc/thread-self/ns/net", &own) != 0 || ::fstat(found.get(), &other) != 0) {
    return base::ErrnoError("look at " + path);
  }
  if (own.st_ino == other.st_ino) return base::Internal(path + " is the host's network");
  if (::setns(found.get(), CLONE_NEWNET) != 0) return base::ErrnoError("join " + path);
  return base::Ok();
}

// As MakeAndPin(), with the namespace of a process.
base::Status JoinAndPin(const std::string& path, int pid, const std::vector<Sysctl>& sysctls) {
  RETURN_IF_ERROR(Join("/proc/" + std::to_string(pid) + "/ns/net"));
  for (const Sysctl& sysctl : sysctls) RETURN_IF_ERROR(WriteSysctl(sysctl));
  if (::mount("/proc/thread-self/ns/net", path.c_str(), nullptr, MS_BIND, nullptr) != 0) {
    return base::ErrnoError("pin the network namespace at " + path);
  }
  return base::Ok();
}

// A listener whose backlog is full makes the kernel repeat the first segment after one and three seconds.
constexpr std::chrono::seconds kConnectTimeout(5);

// Runs `action` in a thread of its own, which may leave the host's network namespace for good.
template <typename Action>
base::Status RunInThread(Action action) {
  base::Status status;
  try {
    std::thread([&] { status = action(); }).join();
  } catch (const std::system_error& error) {
    status = base::Error::FromErrno(error.code().value(), "start a thread");
  }
  return status;
}

// One socket for each address family, of the present network namespace; none where the kernel has no such family.
using Sockets = std::array<base::UniqueFd, 2>;

base::Status MakeSockets(Sockets& sockets) {
  constexpr int kType = SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC;
  sockets[0].reset(::socket(AF_INET, kType, 0));
  if (!sockets[0]) return base::ErrnoError("open a socket");
  sockets[1].reset(::socket(AF_INET6, kType, 0));
  if (!sockets[1] && errno != EAFNOSUPPORT) return base::ErrnoError("open a socket");
  return base::Ok();
}

base::Status Connect(int socket, const sockaddr* address, socklen_t length, Clock::time_point deadline) {
  if (::connect(socket, address, length) == 0) return base::Ok();
  if (errno != EINPROGRESS) return base::ErrnoError("connect");
  pollfd poll_socket{socket, POLLOUT, 0};
  while (true) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
    const int ready = ::poll(&poll_socket, 1, left > 0 ? static_cast<int>(left) : 0);
    if (ready > 0) break;
    if (ready == 0) return base::Error::FromErrno(ETIMEDOUT, "connect");
    if (errno != EINTR) return base::ErrnoError("wait for a connection");
  }
  int number = 0;
  socklen_t size = sizeof number;
  if (::getsockopt(socket, SOL_SOCKET, SO_ERROR, &number, &size) != 0) return base::ErrnoError("connect");
  if (number != 0) return base::Error::FromErrno(number, "connect");
  return base::Ok();
}

base::Status RemovePath(const std::string& path) {
  // After a start that was interrupted and repeated mounts may be stacked.
  for (int i = 0; i < kMostStackedMounts && ::umount2(path.c_str(), MNT_DETACH | UMOUNT_NOFOLLOW) == 0; ++i) {
  }
  FAULT_POINT("network namespace: unmounted");
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) return base::ErrnoError("remove " + path);
  return base::Ok();
}

}  // namespace

base::Result<base::UniqueFd> ConnectToLoopback(const std::string& path, uint16_t port) {
  if (port == 0) return base::InvalidArgument("0 is no port");
  Sockets sockets;
  if (path.empty()) {
    RETURN_IF_ERROR(MakeSockets(sockets));
  } else {
    const base::UniqueFd space(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!space) return base::ErrnoError("open the network namespace " + path);
    // A socket stays in the namespace in which it was made.
    RETURN_IF_ERROR(RunInThread([&]() -> base::Status {
      if (::setns(space.get(), CLONE_NEWNET) != 0) return base::ErrnoError("join the network namespace " + path);
      return MakeSockets(sockets);
    }));
  }
  const auto deadline = Clock::now() + kConnectTimeout;
  sockaddr_in v4{};
  v4.sin_family = AF_INET;
  v4.sin_port = htons(port);
  v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  base::Status connected = Connect(sockets[0].get(), reinterpret_cast<const sockaddr*>(&v4), sizeof v4, deadline);
  if (connected.ok()) return std::move(sockets[0]);
  std::string tried = "127.0.0.1: " + connected.error().message();
  if (sockets[1]) {
    sockaddr_in6 v6{};
    v6.sin6_family = AF_INET6;
    v6.sin6_port = htons(port);
    v6.sin6_addr = in6addr_loopback;
    connected = Connect(sockets[1].get(), reinterpret_cast<const sockaddr*>(&v6), sizeof v6, deadline);
    if (connected.ok()) return std::move(sockets[1]);
    tried += ", [::1]: " + connected.error().message();
  }
  return base::Error(base::Code::kUnavailable, "nobody answers on port " + std::to_string(port) + " (" + tried + ")");
}

base::Status RunInNamespace(const std::string& path, const std::function<base::Status()>& action) {
  return RunInThread([&]() -> base::Status {
    RETURN_IF_ERROR(Join(path));
    return action();
  });
}

base::Result<std::string> Namespaces::Create(const std::string& name,
                                             const std::vector<std::pair<std::string, std::string>>& sysctls) {
  ASSIGN_OR_RETURN(const std::vector<Sysctl> checked, CheckSysctls(sysctls));
  return PinIn(name, [&](const std::string& path) { return MakeAndPin(path, checked); });
}

base::Result<std::string> Namespaces::Pin(const std::string& name, int pid,
                                          const std::vector<std::pair<std::string, std::string>>& sysctls) {
  ASSIGN_OR_RETURN(const std::vector<Sysctl> checked, CheckSysctls(sysctls));
  return PinIn(name, [&](const std::string& path) { return JoinAndPin(path, pid, checked); });
}

// Runs `pin` in a thread of its own, which may go to another network namespace.
base::Result<std::string> Namespaces::PinIn(const std::string& name,
                                            const std::function<base::Status(const std::string&)>& pin) {
  const base::TraceSpan span("cni", "network namespace", name);
  RETURN_IF_ERROR(CheckName(name));
  RETURN_IF_ERROR(base::MakeDirectories(directory_, 0755));
  const std::string path = directory_ + "/" + name;
  if (!base::UniqueFd(::open(path.c_str(), O_RDONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0444))) {
    return base::ErrnoError("create " + path);
  }
  FAULT_POINT("network namespace: file made");
  base::Status status = RunInThread([&] { return pin(path); });
  FAULT_POINT("network namespace: mounted");
  if (!status.ok()) {
    (void)RemovePath(path);
    return std::move(status).error();
  }
  return path;
}

base::Status Namespaces::Remove(const std::string& name) {
  const base::TraceSpan span("cni", "remove network namespace", name);
  RETURN_IF_ERROR(CheckName(name));
  return RemovePath(directory_ + "/" + name);
}

base::Result<std::vector<std::string>> Namespaces::List(const std::string& prefix) const {
  auto names = base::ListDirectory(directory_);
  if (!names.ok()) {
    if (names.error().code() == base::Code::kNotFound) return std::vector<std::string>();
    return std::move(names).error();
  }
  std::erase_if(*names, [&](const std::string& name) { return !name.starts_with(prefix); });
  return names;
}

}  // namespace cni
