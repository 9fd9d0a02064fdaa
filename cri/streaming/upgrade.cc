#include "cri/streaming/upgrade.h"

#include <algorithm>
#include <boost/beast/http/rfc7230.hpp>
#include <boost/beast/websocket/rfc6455.hpp>

#include "base/text.h"

namespace cri::streaming {
namespace {

namespace beast = boost::beast;

constexpr size_t kMostPorts = 100;
constexpr std::string_view kPortForward = "portforward.k8s.io";
constexpr std::string_view kPortForwardInWebSocket = "SPDY/3.1+portforward.k8s.io";

// Subprotocols of exec and attach. v5 exists over WebSocket only: there the client can say that its input ends.
struct Protocol {
  std::string_view name;
  int version;
  bool base64;
};
constexpr Protocol kChannelProtocols[] = {
    {"v5.channel.k8s.io", 5, false},    {"v4.channel.k8s.io", 4, false}, {"v3.channel.k8s.io", 3, false},
    {"v2.channel.k8s.io", 2, false},    {"channel.k8s.io", 1, false},    {"v4.base64.channel.k8s.io", 4, true},
    {"base64.channel.k8s.io", 1, true},
};

std::string_view View(beast::string_view text) {
  return {text.data(), text.size()};
}

// The values of all header lines `name`, which hold one or more each.
std::vector<std::string_view> Values(const HttpRequest& http, std::string_view name) {
  std::vector<std::string_view> values;
  const auto [begin, end] = http.equal_range(beast::string_view(name.data(), name.size()));
  for (auto each = begin; each != end; ++each) {
    for (const std::string_view value : base::Split(View(each->value()), ',')) {
      if (!base::Trim(value).empty()) values.push_back(base::Trim(value));
    }
  }
  return values;
}

HttpError BadRequest(std::string message) {
  return {http::status::bad_request, std::move(message), {}};
}

HttpError NoCommonProtocol(const std::vector<std::string_view>& wanted, std::vector<std::string> accepted) {
  std::string message = "none of the requested protocols is supported:";
  for (const std::string_view each : wanted) message += " " + base::Printable(each, 100);
  return {http::status::forbidden, message, std::move(accepted)};
}

// The first that the client wants and `is_supported` accepts.
template <typename IsSupported>
std::optional<std::string_view> Choose(const std::vector<std::string_view>& wanted, IsSupported is_supported) {
  const auto found = std::find_if(wanted.begin(), wanted.end(), is_supported);
  if (found == wanted.end()) return {};
  return *found;
}

const Protocol* FindProtocol(std::string_view name) {
  const auto* found = std::find_if(std::begin(kChannelProtocols), std::end(kChannelProtocols),
                                   [&](const Protocol& each) { return each.name == name; });
  return found == std::end(kChannelProtocols) ? nullptr : found;
}

void SetVersion(int version, Upgrade& upgrade) {
  upgrade.has_resize = version >= 3;
  upgrade.status_json = version >= 4;
}

std::variant<Upgrade, HttpError> NegotiateSpdy(const HttpRequest& http, bool is_port_forward) {
  if (http.method() != http::verb::get && http.method() != http::verb::post) {
    return HttpError{http::status::method_not_allowed, "only GET and POST are served", {}};
  }
  const auto wanted = Values(http, "X-Stream-Protocol-Version");
  if (wanted.empty()) return BadRequest("the header X-Stream-Protocol-Version is missing");
  const auto is_supported = [&](std::string_view name) {
    if (is_port_forward) return name == kPortForward;
    const Protocol* protocol = FindProtocol(name);
    return protocol != nullptr && !protocol->base64 && protocol->version <= 4;
  };
  const auto chosen = Choose(wanted, is_supported);
  if (!chosen) {
    std::vector<std::string> accepted;
    if (is_port_forward) accepted.emplace_back(kPortForward);
    for (const Protocol& each : kChannelProtocols) {
      if (is_supported(each.name)) accepted.emplace_back(each.name);
    }
    return NoCommonProtocol(wanted, std::move(accepted));
  }
  Upgrade upgrade;
  upgrade.kind = Upgrade::Kind::kSpdy;
  upgrade.protocol = *chosen;
  if (!is_port_forward) SetVersion(FindProtocol(*chosen)->version, upgrade);
  return upgrade;
}

// From the CRI request, or from the query "port=80&port=81,82" as the kubelet's own API has it.
std::variant<std::vector<uint16_t>, HttpError> Ports(const HttpRequest& http,
                                                     const runtime::v1::PortForwardRequest& request) {
  std::vector<uint16_t> ports;
  for (const int32_t port : request.port()) ports.push_back(static_cast<uint16_t>(port));
  if (!ports.empty()) return ports;
  const std::string_view target = View(http.target());
  const std::string_view query = target.substr(std::min(target.find('?'), target.size() - 1) + 1);
  for (const std::string_view parameter : base::Split(query, '&')) {
    if (parameter.substr(0, 5) != "port=") continue;
    for (const std::string_view text : base::Split(parameter.substr(5), ',')) {
      const auto port = base::ParseUnsigned(text);
      if (!port || *port == 0 || *port > UINT16_MAX) {
        return BadRequest("\"" + base::Printable(text, 20) + "\" is no port");
      }
      ports.push_back(static_cast<uint16_t>(*port));
    }
  }
  if (ports.empty()) return BadRequest("the parameter port is missing");
  if (ports.size() > kMostPorts) return BadRequest("more than 100 ports");
  return ports;
}

std::variant<Upgrade, HttpError> NegotiateWebSocket(const HttpRequest& http, const Request& request) {
  const auto wanted = Values(http, "Sec-WebSocket-Protocol");
  Upgrade upgrade;
  upgrade.kind = Upgrade::Kind::kChannels;
  const auto* port_forward = std::get_if<runtime::v1::PortForwardRequest>(&request);
  const auto is_supported = [&](std::string_view name) {
    if (port_forward != nullptr && name == kPortForwardInWebSocket) return true;
    const Protocol* protocol = FindProtocol(name);
    return protocol != nullptr && (port_forward == nullptr || protocol->version == 4);
  };
  if (!wanted.empty()) {
    const auto chosen = Choose(wanted, is_supported);
    if (!chosen) return NoCommonProtocol(wanted, {});
    upgrade.protocol = *chosen;
    if (*chosen == kPortForwardInWebSocket) {
      upgrade.kind = Upgrade::Kind::kSpdyInWebSocket;
      return upgrade;
    }
    const Protocol& protocol = *FindProtocol(*chosen);
    SetVersion(protocol.version, upgrade);
    upgrade.encoding = protocol.base64 ? ChannelEncoding::kBase64 : ChannelEncoding::kBinary;
    upgrade.has_close_signal = protocol.version >= 5;
  }
  if (port_forward != nullptr) {
    auto ports = Ports(http, *port_forward);
    if (auto* error = std::get_if<HttpError>(&ports)) return std::move(*error);
    upgrade.ports = std::get<std::vector<uint16_t>>(std::move(ports));
  }
  return upgrade;
}

}  // namespace

std::optional<Target> ParseTarget(std::string_view target) {
  const std::string_view path = target.substr(0, target.find('?'));
  const auto parts = base::Split(path, '/');
  if (parts.size() != 3 || !parts[0].empty() || parts[2].empty()) return {};
  if (parts[1] != "exec" && parts[1] != "attach" && parts[1] != "portforward") return {};
  return Target{parts[1], parts[2]};
}

std::variant<Upgrade, HttpError> Negotiate(const HttpRequest& http, const Request& request) {
  if (beast::websocket::is_upgrade(http)) return NegotiateWebSocket(http, request);
  const bool wants_upgrade = http::token_list(http[http::field::connection]).exists("upgrade");
  const auto protocols = Values(http, "Upgrade");
  const bool wants_spdy = std::any_of(protocols.begin(), protocols.end(), [](std::string_view each) {
    return beast::iequals({each.data(), each.size()}, "SPDY/3.1");
  });
  if (!wants_upgrade || !wants_spdy) {
    return BadRequest("this URL is for clients that upgrade the connection to SPDY/3.1 or a WebSocket");
  }
  return NegotiateSpdy(http, std::holds_alternative<runtime::v1::PortForwardRequest>(request));
}

}  // namespace cri::streaming
