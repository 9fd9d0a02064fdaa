#include "cni/stand_in.h"

#include <arpa/inet.h>
#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <cstring>

#include "base/log.h"
#include "cni/namespaces.h"

namespace cni {
namespace {

constexpr char kPeer[] = "cri-nspawn-peer";
static_assert(sizeof kPeer <= IFNAMSIZ);

// A request of rtnetlink(7), in the order of its parts.
class Message {
 public:
  Message(uint16_t type, uint16_t flags) {
    nlmsghdr header{};
    header.nlmsg_type = type;
    header.nlmsg_flags = static_cast<uint16_t>(NLM_F_REQUEST | NLM_F_ACK | flags);
    Append(&header, sizeof header);
  }

  void Append(const void* data, size_t size) {
    bytes_.append(static_cast<const char*>(data), size);
    bytes_.resize(NLMSG_ALIGN(bytes_.size()));
  }
  void Attribute(uint16_t type, const void* data, size_t size) {
    const size_t at = Open(type);
    bytes_.append(static_cast<const char*>(data), size);
    Close(at);
  }
  void Attribute(uint16_t type, const std::string& text) { Attribute(type, text.c_str(), text.size() + 1); }

  // An attribute that holds what is appended until it is closed.
  size_t Open(uint16_t type) {
    const size_t at = bytes_.size();
    rtattr header{};
    header.rta_type = type;
    Append(&header, sizeof header);
    return at;
  }
  void Close(size_t at) {
    const auto length = static_cast<uint16_t>(bytes_.size() - at);
    std::memcpy(bytes_.data() + at, &length, sizeof length);
    bytes_.resize(NLMSG_ALIGN(bytes_.size()));
  }

  // Sends it and waits for the kernel's answer, which comes at once.
  base::Status Send(const std::string& doing) {
    const auto length = static_cast<uint32_t>(bytes_.size());
    std::memcpy(bytes_.data(), &length, sizeof length);
    const base::UniqueFd socket(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE));
    const timeval most{5, 0};
    if (!socket || ::setsockopt(socket.get(), SOL_SOCKET, SO_RCVTIMEO, &most, sizeof most) != 0 ||
        ::send(socket.get(), bytes_.data(), bytes_.size(), 0) < 0) {
      return base::ErrnoError(doing);
    }
    alignas(nlmsghdr) char answer[4096];
    const ssize_t received = ::recv(socket.get(), answer, sizeof answer, 0);
    if (received < 0) return base::ErrnoError(doing);
    const auto* header = reinterpret_cast<const nlmsghdr*>(answer);
    if (static_cast<size_t>(received) < NLMSG_LENGTH(sizeof(nlmsgerr)) || header->nlmsg_type != NLMSG_ERROR) {
      return base::Internal(doing + ": the kernel's answer makes no sense");
    }
    const auto* result = static_cast<const nlmsgerr*>(NLMSG_DATA(header));
    return result->error == 0 ? base::Ok() : base::Status(base::Error::FromErrno(-result->error, doing));
  }

 private:
  std::string bytes_;
};

base::Status MakePair(const std::string& name) {
  Message message(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL);
  const ifinfomsg link{};
  message.Append(&link, sizeof link);
  message.Attribute(IFLA_IFNAME, name);
  const size_t info = message.Open(IFLA_LINKINFO);
  message.Attribute(IFLA_INFO_KIND, "veth");
  const size_t data = message.Open(IFLA_INFO_DATA);
  const size_t peer = message.Open(VETH_INFO_PEER);
  message.Append(&link, sizeof link);
  message.Attribute(IFLA_IFNAME, kPeer);
  message.Close(peer);
  message.Close(data);
  message.Close(info);
  return message.Send("make the interface " + name);
}

base::Status AddAddress(unsigned index, const std::string& text) {
  in6_addr address{};
  ifaddrmsg header{};
  header.ifa_index = index;
  header.ifa_family = text.find(':') == std::string::npos ? AF_INET : AF_INET6;
  header.ifa_prefixlen = header.ifa_family == AF_INET ? 32 : 128;
  header.ifa_flags = IFA_F_NODAD;
  const std::string doing = "give it the address " + text;
  if (::inet_pton(header.ifa_family, text.c_str(), &address) != 1) return base::InvalidArgument(doing + ": it is none");
  Message message(RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL);
  message.Append(&header, sizeof header);
  const size_t size = header.ifa_prefixlen / 8;
  message.Attribute(IFA_LOCAL, &address, size);
  message.Attribute(IFA_ADDRESS, &address, size);
  return message.Send(doing);
}

base::Status DeletePair() {
  Message message(RTM_DELLINK, 0);
  ifinfomsg link{};
  link.ifi_index = static_cast<int>(::if_nametoindex(kPeer));
  if (link.ifi_index == 0) return base::Ok();
  message.Append(&link, sizeof link);
  return message.Send("delete the interface " + std::string(kPeer));
}

void Tell(const base::Status& status, const std::string& path) {
  if (status.ok()) return;
  base::Log(base::LogLevel::kWarning,
            "an interface in place of a deleted one in " + path + ": " + status.error().message());
}

}  // namespace

StandIn::~StandIn() {
  Remove();
}

void StandIn::Make() {
  if (path_.empty() || addresses_.empty()) return;
  Tell(RunInNamespace(path_,
                      [&]() -> base::Status {
                        // One of an earlier process that was killed.
                        made_ = ::if_nametoindex(kPeer) != 0;
                        if (::if_nametoindex(interface_.c_str()) != 0) return base::Ok();
                        RETURN_IF_ERROR(DeletePair());
                        RETURN_IF_ERROR(MakePair(interface_));
                        made_ = true;
                        const unsigned index = ::if_nametoindex(interface_.c_str());
                        base::Status first;
                        for (const std::string& address : addresses_) {
                          base::Status added = AddAddress(index, address);
                          if (first.ok()) first = std::move(added);
                        }
                        return first;
                      }),
       path_);
}

void StandIn::Remove() {
  if (!made_) return;
  made_ = false;
  Tell(RunInNamespace(path_, DeletePair), path_);
}

}  // namespace cni
