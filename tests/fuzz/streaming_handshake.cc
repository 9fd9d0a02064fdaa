#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <set>
#include <string>

#include "base/fd.h"
#include "base/log.h"
#include "base/text.h"
#include "cri/streaming/http_connection.h"
#include "tests/fuzz/fuzz.h"

namespace {

namespace beast = boost::beast;
namespace http = beast::http;
using namespace cri::streaming;

// Whoever knows the kind has the token: what is negotiated is meant here.
class Handler final : public UpgradeHandler {
 public:
  std::variant<Accepted, HttpError> OnRequest(const HttpRequest& request) override {
    const auto target = ParseTarget({request.target().data(), request.target().size()});
    if (!target) return HttpError{http::status::not_found, "there is nothing here", {}};
    fuzz::Require(!target->token.empty() && target->token.find('/') == std::string_view::npos, "a token is one part");
    Request asked;
    if (target->kind == "exec") asked = runtime::v1::ExecRequest();
    if (target->kind == "attach") asked = runtime::v1::AttachRequest();
    if (target->kind == "portforward") {
      runtime::v1::PortForwardRequest forward;
      if (target->token == "80") forward.add_port(80);
      asked = forward;
    }
    auto negotiated = Negotiate(request, asked);
    if (const auto* error = std::get_if<HttpError>(&negotiated)) {
      fuzz::Require(http::to_status_class(error->status) == http::status_class::client_error, "the client is at fault");
      return *error;
    }
    auto& upgrade = std::get<Upgrade>(negotiated);
    fuzz::Require(upgrade.ports.size() <= 100, "ports are bounded");
    return Accepted{std::move(upgrade), std::move(asked)};
  }
  void OnUpgraded(Accepted accepted, std::shared_ptr<Transport>, std::string) override {
    upgraded = true;
    protocol = accepted.upgrade.protocol;
  }

  bool upgraded = false;
  std::string protocol;
};

std::string ReadAll(int fd) {
  std::string text;
  char buffer[4096];
  for (ssize_t got = 0; (got = ::read(fd, buffer, sizeof buffer)) > 0;) text.append(buffer, static_cast<size_t>(got));
  return text;
}

}  // namespace

// The bytes of a client that has sent all it has, and the answer.
int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  base::SetLogLevel(base::LogLevel::kError);
  int ends[2];
  fuzz::Require(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) == 0, "there is a pair of sockets");
  base::UniqueFd client(ends[0]);
  // The buffer of a socket has room for it.
  fuzz::Require(
      ::send(client.get(), data, size, MSG_NOSIGNAL | MSG_DONTWAIT) == static_cast<ssize_t>(size) || size == 0,
      "all is sent");
  ::shutdown(client.get(), SHUT_WR);
  boost::asio::io_context io;
  Handler handler;
  {
    boost::asio::ip::tcp::socket socket(io);
    socket.assign(boost::asio::ip::tcp::v4(), ends[1]);
    ServeHttp(std::move(socket), nullptr, std::chrono::seconds(20), handler, nullptr);
  }
  io.run_for(std::chrono::seconds(20));
  fuzz::Require(io.stopped(), "the connection ends with its client");

  const std::string answer = ReadAll(client.get());
  if (answer.empty()) {
    fuzz::Require(!handler.upgraded, "who is upgraded is told");
    return 0;
  }
  http::response_parser<http::string_body> parser;
  beast::error_code error;
  parser.eager(true);
  size_t used = parser.put(boost::asio::buffer(answer), error);
  if (!error && !parser.is_done()) parser.put_eof(error);
  fuzz::Require(!error && parser.is_done() && used == answer.size(), "the answer is one response");
  const auto& response = parser.get();
  fuzz::Require((response.result() == http::status::switching_protocols) == handler.upgraded, "the status is the deed");
  static const std::set<std::string> known = {"v5.channel.k8s.io",
                                              "v4.channel.k8s.io",
                                              "v3.channel.k8s.io",
                                              "v2.channel.k8s.io",
                                              "channel.k8s.io",
                                              "v4.base64.channel.k8s.io",
                                              "base64.channel.k8s.io",
                                              "portforward.k8s.io",
                                              "SPDY/3.1+portforward.k8s.io",
                                              ""};
  for (const char* name : {"Sec-WebSocket-Protocol", "X-Stream-Protocol-Version"}) {
    fuzz::Require(known.count(std::string(response[name])) == 1, "only protocols that there are are confirmed");
  }
  if (handler.upgraded) fuzz::Require(known.count(handler.protocol) == 1, "only protocols that there are are spoken");
  return 0;
}
