#include "cri/sandbox_files.h"

#include <unistd.h>

#include <algorithm>

#include "base/files.h"
#include "base/text.h"

namespace cri {
namespace {

constexpr size_t kMostFileBytes = size_t{1} << 20;
constexpr int kMostEntries = 64;

base::Status AddLine(std::string& text, const std::string& keyword,
                     const google::protobuf::RepeatedPtrField<std::string>& values) {
  if (values.empty()) return base::Ok();
  if (values.size() > kMostEntries) return base::InvalidArgument("dns_config: more than 64 values for " + keyword);
  text += keyword;
  for (const std::string& value : values) {
    const bool fits = !value.empty() && value.size() <= 255 &&
                      std::all_of(value.begin(), value.end(), [](unsigned char c) { return c > 0x20 && c < 0x7F; });
    if (!fits) return base::InvalidArgument("dns_config: \"" + value + "\" is no value for " + keyword);
    text += " " + value;
  }
  text += "\n";
  return base::Ok();
}

}  // namespace

base::Result<std::string> ResolvConf(const runtime::v1::DNSConfig& dns) {
  std::string text;
  RETURN_IF_ERROR(AddLine(text, "search", dns.searches()));
  for (const std::string& server : dns.servers()) {
    google::protobuf::RepeatedPtrField<std::string> one;
    *one.Add() = server;
    RETURN_IF_ERROR(AddLine(text, "nameserver", one));
  }
  RETURN_IF_ERROR(AddLine(text, "options", dns.options()));
  return text;
}

base::Status WriteSandboxFiles(const std::string& directory, const runtime::v1::PodSandboxConfig& config,
                               const std::string& hostname, bool host_network,
                               const std::vector<std::string>& addresses, uint32_t owner) {
  const auto write = [&](const char* name, const std::string& content) -> base::Status {
    const std::string path = directory + "/" + name;
    RETURN_IF_ERROR(base::WriteFileAtomic(path, content, 0644));
    if (owner != 0 && ::chown(path.c_str(), owner, owner) != 0) return base::ErrnoError("give away " + path);
    return base::Ok();
  };
  RETURN_IF_ERROR(base::MakeDirectories(directory, 0700));

  std::string resolv;
  const bool has_dns =
      config.has_dns_config() && (!config.dns_config().servers().empty() || !config.dns_config().searches().empty() ||
                                  !config.dns_config().options().empty());
  if (has_dns) {
    ASSIGN_OR_RETURN(resolv, ResolvConf(config.dns_config()));
  } else if (auto host = base::ReadFile("/etc/resolv.conf", kMostFileBytes); host.ok()) {
    resolv = *std::move(host);
  }
  RETURN_IF_ERROR(write("resolv.conf", resolv));
  RETURN_IF_ERROR(write("hostname", hostname + "\n"));

  std::string hosts;
  if (host_network) {
    if (auto host = base::ReadFile("/etc/hosts", kMostFileBytes); host.ok()) hosts = *std::move(host);
  } else {
    hosts =
        "127.0.0.1\tlocalhost\n"
        "::1\tlocalhost ip6-localhost ip6-loopback\n"
        "fe00::0\tip6-localnet\n"
        "ff02::1\tip6-allnodes\n"
        "ff02::2\tip6-allrouters\n";
    for (const std::string& address : addresses) hosts += address + "\t" + hostname + "\n";
  }
  return write("hosts", hosts);
}

}  // namespace cri
