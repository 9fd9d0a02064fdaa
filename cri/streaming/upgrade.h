// What an HTTP request to the streaming server asks for.
#pragma once

#include <boost/beast/http/empty_body.hpp>
#include <boost/beast/http/message.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "cri/streaming/channel_parser.h"
#include "cri/streaming/pending_requests.h"

namespace cri::streaming {

namespace http = boost::beast::http;
using HttpRequest = http::request<http::empty_body>;

// The request is refused with this.
struct HttpError {
  http::status status;
  std::string message;
  std::vector<std::string> accepted_protocols;  // where no common one was found
};

// The connection is to become SPDY, or a WebSocket with channels, or one with SPDY inside.
struct Upgrade {
  enum class Kind { kSpdy, kChannels, kSpdyInWebSocket } kind = Kind::kSpdy;
  // The subprotocol to confirm; empty when the client named none.
  std::string protocol;

  // For exec and attach, by the version of the subprotocol.
  bool has_resize = false, status_json = false;
  // For channels.
  ChannelEncoding encoding = ChannelEncoding::kBinary;
  bool has_close_signal = false;
  // For port-forward over channels; not empty then.
  std::vector<uint16_t> ports;
};

// What the path names: kind of request and token. Nothing for any other path.
struct Target {
  std::string_view kind;
  std::string_view token;
};
std::optional<Target> ParseTarget(std::string_view target);

std::variant<Upgrade, HttpError> Negotiate(const HttpRequest& http, const Request& request);

}  // namespace cri::streaming
