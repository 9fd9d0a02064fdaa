#include "image/hosts.h"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <optional>

#include "base/files.h"
#include "base/text.h"
#include "base/toml.h"

namespace image {
namespace {

using base::Code;
using base::Error;

constexpr size_t kMostFileBytes = size_t{1} << 20;

// Docker's registry is not at the host that its references name.
std::string ApiHost(const std::string& domain) {
  return domain == "docker.io" ? "registry-1.docker.io" : domain;
}

base::Result<RegistryHost> HostAt(std::string text, bool override_path) {
  if (text.find("://") == std::string::npos) text.insert(0, "https://");
  RegistryHost host;
  ASSIGN_OR_RETURN(host.url, ParseUrl(text));
  if (host.url.path.find('?') != std::string::npos)
    return base::InvalidArgument("a registry's URL cannot have a query");
  while (host.url.path.ends_with('/')) host.url.path.pop_back();
  if (!override_path && !host.url.path.ends_with("/v2")) host.url.path += "/v2";
  return host;
}

// Values that may be given alone or in an array.
std::optional<std::vector<std::string>> StringOrStrings(const toml::node& node) {
  std::vector<std::string> out;
  if (const auto* text = node.as_string(); text != nullptr) {
    out.push_back(text->get());
    return out;
  }
  const toml::array* array = node.as_array();
  if (array == nullptr) return std::nullopt;
  for (const toml::node& element : *array) {
    const auto* text = element.as_string();
    if (text == nullptr) return std::nullopt;
    out.push_back(text->get());
  }
  return out;
}

class HostsFile {
 public:
  HostsFile(std::string folder, const std::string& domain)
      : folder_(std::move(folder)), path_(folder_ + "/hosts.toml"), domain_(domain) {}

  base::Result<std::vector<RegistryHost>> Load(const std::string& content) {
    toml::parse_result parsed = toml::parse(content, path_);
    if (!parsed) {
      return Error(Code::kFailedPrecondition, path_ + ":" + std::to_string(parsed.error().source().begin.line) + ": " +
                                                  std::string(parsed.error().description()));
    }
    std::vector<RegistryHost> hosts;
    const toml::table& root = parsed.table();
    if (const toml::node* tables = root.get("host"); tables != nullptr) {
      if (!tables->is_table()) return Wrong(*tables, "\"host\" must be a table of hosts");
      // toml++ sorts keys; the order in which mirrors are tried is that of the file.
      std::vector<std::pair<std::string, const toml::node*>> in_order;
      for (const auto& [name, node] : *tables->as_table()) in_order.emplace_back(name.str(), &node);
      std::sort(in_order.begin(), in_order.end(),
                [](const auto& a, const auto& b) { return a.second->source().begin < b.second->source().begin; });
      for (const auto& [name, node] : in_order) {
        const toml::table* table = node->as_table();
        if (table == nullptr) return Wrong(*node, "a host must be a table");
        ASSIGN_OR_RETURN(RegistryHost host, ReadHost(name, *table));
        hosts.push_back(std::move(host));
      }
    }
    // The registry's own address may be listed as a host, as is usual for plain http; it is not asked again over https.
    bool listed = false;
    for (RegistryHost& host : hosts) {
      host.upstream = host.url.authority == ApiHost(domain_);
      listed = listed || host.upstream;
    }
    const std::string server = root["server"].value_or(std::string());
    if (server.empty() && listed) return hosts;
    ASSIGN_OR_RETURN(RegistryHost upstream, ReadHost(server.empty() ? ApiHost(domain_) : server, root));
    upstream.upstream = true;
    // Nor is it when "server" names it as well: what has failed there once is not tried a second time.
    for (RegistryHost& host : hosts) {
      if (host.url.ToString() != upstream.url.ToString()) continue;
      host.upstream = true;
      upstream.resolves = upstream.resolves && !host.resolves;
      upstream.pulls = upstream.pulls && !host.pulls;
    }
    if (upstream.resolves || upstream.pulls) hosts.push_back(std::move(upstream));
    return hosts;
  }

 private:
  Error Wrong(const toml::node& node, const std::string& why) const {
    return {Code::kFailedPrecondition, path_ + ":" + std::to_string(node.source().begin.line) + ": " + why};
  }

  std::string Absolute(const std::string& path) const { return path.starts_with('/') ? path : folder_ + "/" + path; }

  base::Result<RegistryHost> ReadHost(const std::string& url, const toml::table& table) const {
    auto host = HostAt(url, table["override_path"].value_or(false));
    if (!host.ok()) return std::move(host).error().Wrap(path_).WithCode(Code::kFailedPrecondition);
    RETURN_IF_ERROR(ReadCapabilities(table, *host));
    RETURN_IF_ERROR(ReadTls(table, *host));
    RETURN_IF_ERROR(ReadHeaders(table, *host));
    return host;
  }

  base::Status ReadCapabilities(const toml::table& table, RegistryHost& host) const {
    const toml::node* node = table.get("capabilities");
    if (node == nullptr) return base::Ok();
    const auto names = StringOrStrings(*node);
    if (!names.has_value()) return Wrong(*node, "\"capabilities\" must be an array of strings");
    const auto has = [&](std::string_view name) {
      return std::find(names->begin(), names->end(), name) != names->end();
    };
    host.resolves = has("resolve");
    host.pulls = has("pull");
    return base::Ok();
  }

  base::Status ReadTls(const toml::table& table, RegistryHost& host) const {
    host.tls.skip_verify = table["skip_verify"].value_or(false);
    if (const toml::node* node = table.get("ca"); node != nullptr) {
      const auto files = StringOrStrings(*node);
      if (!files.has_value()) return Wrong(*node, "\"ca\" must be a file name or an array of them");
      for (const std::string& file : *files) {
        auto pem = base::ReadFile(Absolute(file), kMostFileBytes);
        if (!pem.ok()) return std::move(pem).error().Wrap(path_).WithCode(Code::kFailedPrecondition);
        host.tls.certificate_authorities += *pem + "\n";
      }
    }
    if (const toml::node* node = table.get("client"); node != nullptr) {
      // A file, or pairs of certificate and key of which the first is used.
      const toml::node* first = node;
      if (const toml::array* pairs = node->as_array(); pairs != nullptr && !pairs->empty()) first = pairs->get(0);
      const auto files = StringOrStrings(*first);
      if (!files.has_value() || files->empty() || files->size() > 2) {
        return Wrong(*node, "\"client\" must be a file name or an array of [certificate, key]");
      }
      host.tls.client_certificate = Absolute(files->front());
      if (files->size() == 2 && !files->back().empty()) host.tls.client_key = Absolute(files->back());
    }
    return base::Ok();
  }

  base::Status ReadHeaders(const toml::table& table, RegistryHost& host) const {
    const toml::node* node = table.get("header");
    if (node == nullptr) return base::Ok();
    if (!node->is_table()) return Wrong(*node, "\"header\" must be a table");
    for (const auto& [name, value] : *node->as_table()) {
      const auto values = StringOrStrings(value);
      if (!values.has_value()) return Wrong(value, "a header must be a string or an array of strings");
      for (const std::string& text : *values) {
        const std::string line = std::string(name.str()) + ": " + text;
        if (line.find_first_of("\r\n") != std::string::npos) return Wrong(value, "a header cannot hold a line break");
        host.headers.push_back(line);
      }
    }
    return base::Ok();
  }

  const std::string folder_;
  const std::string path_;
  const std::string& domain_;
};

}  // namespace

base::Result<std::vector<RegistryHost>> LoadRegistryHosts(const std::string& directory, const std::string& domain) {
  if (!directory.empty()) {
    std::vector<std::string> names = {domain, "_default"};
    // A colon cannot be in file names everywhere; containerd takes "host_port_" as well.
    if (const size_t colon = domain.rfind(':');
        colon != std::string::npos && domain.find(']', colon) == std::string::npos) {
      names.insert(names.begin(), domain.substr(0, colon) + "_" + domain.substr(colon + 1) + "_");
    }
    for (const std::string& name : names) {
      std::string folder = directory;
      folder.append("/").append(name);
      auto content = base::ReadFile(folder + "/hosts.toml", kMostFileBytes);
      if (content.ok()) return HostsFile(folder, domain).Load(*content);
      if (content.error().code() != Code::kNotFound) {
        return std::move(content).error().WithCode(Code::kFailedPrecondition);
      }
    }
  }
  ASSIGN_OR_RETURN(RegistryHost upstream, HostAt(ApiHost(domain), false));
  upstream.upstream = true;
  return std::vector<RegistryHost>{std::move(upstream)};
}

}  // namespace image
