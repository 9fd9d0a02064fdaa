#include "cri/streaming/server.h"

#include <pthread.h>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <set>
#include <thread>

#include "base/call_threads.h"
#include "base/log.h"
#include "cri/streaming/channel_multiplexer.h"
#include "cri/streaming/command_session.h"
#include "cri/streaming/http_connection.h"
#include "cri/streaming/pending_requests.h"
#include "cri/streaming/port_forward_session.h"
#include "cri/streaming/spdy_multiplexer.h"
#include "cri/streaming/tls.h"

namespace cri::streaming {
namespace {

using asio::ip::tcp;
using base::LogLevel;

// Connections that have not been upgraded yet: anybody who reaches the port can make them.
constexpr int kMostUnauthenticated = 1024;
// Of calls to the backend.
constexpr size_t kMostThreads = 64;
// After accepting failed for want of descriptors or memory: others must end first.
constexpr std::chrono::milliseconds kAcceptRetry{200};

// What the comments of the published CRI demand of ExecRequest and AttachRequest.
template <typename StreamRequest>
base::Status Check(const StreamRequest& request) {
  if (request.container_id().empty()) return base::InvalidArgument("container_id is missing");
  if (request.tty() && request.stderr()) {
    return base::InvalidArgument("tty and stderr exclude each other: a terminal has one output");
  }
  if (!request.stdin() && !request.stdout() && !request.stderr()) {
    return base::InvalidArgument("one of stdin, stdout and stderr must be set");
  }
  return base::Ok();
}

template <typename StreamRequest>
CommandOptions OptionsOf(const StreamRequest& request, const Upgrade& upgrade) {
  CommandOptions options;
  options.input = request.stdin();
  options.output = request.stdout();
  options.error = request.stderr();
  options.terminal = request.tty();
  options.resize = upgrade.has_resize;
  options.status_json = upgrade.status_json;
  options.exit_code = std::is_same_v<StreamRequest, runtime::v1::ExecRequest>;
  return options;
}

// The channels of exec and attach have the numbers of the descriptors; then come the error stream and the terminal's
// size.
std::vector<Channel> CommandChannels(const CommandOptions& options) {
  std::vector<Channel> channels;
  for (const char* const type : {"stdin", "stdout", "stderr", "error", "resize"}) {
    channels.push_back({{{"streamtype", type}}, std::nullopt});
  }
  channels[options.output ? 1 : options.error ? 2 : 3].greeting = "";
  return channels;
}

// Two for each port, its data and its errors; the first message on each is the port, low byte first.
std::vector<Channel> PortChannels(const std::vector<uint16_t>& ports) {
  std::vector<Channel> channels;
  for (size_t i = 0; i < ports.size(); ++i) {
    for (const char* const type : {"data", "error"}) {
      Channel channel;
      channel.headers = {{"streamtype", type}, {"port", std::to_string(ports[i])}, {"requestid", std::to_string(i)}};
      channel.greeting = {static_cast<char>(ports[i] & 0xff), static_cast<char>(ports[i] >> 8)};
      channels.push_back(std::move(channel));
    }
  }
  return channels;
}

class AsioServer final : public Server, private UpgradeHandler {
 public:
  AsioServer(const ServerOptions& options, Backend& backend)
      : options_(options), backend_(backend), tls_(options.tls), acceptor_(io_), accept_timer_(io_) {}

  ~AsioServer() override {
    io_.stop();
    if (thread_.joinable()) thread_.join();
  }

  base::Status Listen() {
    if (!options_.tls.certificate.empty()) RETURN_IF_ERROR(tls_.Load());
    error_code error;
    const auto address = asio::ip::make_address(options_.address, error);
    if (error) return base::InvalidArgument("\"" + options_.address + "\" is no IP address");
    const tcp::endpoint wanted(address, options_.port);
    acceptor_.open(wanted.protocol(), error);
    if (!error) acceptor_.set_option(tcp::acceptor::reuse_address(true), error);
    if (!error) acceptor_.bind(wanted, error);
    if (!error) acceptor_.listen(asio::socket_base::max_listen_connections, error);
    if (error) {
      return base::Error::FromErrno(error.value(),
                                    "listen on " + options_.address + " port " + std::to_string(options_.port));
    }
    const tcp::endpoint bound = acceptor_.local_endpoint(error);
    if (error) return base::Error::FromErrno(error.value(), "ask for the port");
    base_url_ = BaseUrl(address, bound.port());
    Accept();
    thread_ = std::thread([this] { Run(); });
    ::pthread_setname_np(thread_.native_handle(), "streaming");
    return base::Ok();
  }

  base::Result<std::string> Exec(const runtime::v1::ExecRequest& request) override {
    if (request.cmd().empty()) return base::InvalidArgument("the command is empty");
    RETURN_IF_ERROR(Check(request));
    return UrlFor(request);
  }
  base::Result<std::string> Attach(const runtime::v1::AttachRequest& request) override {
    RETURN_IF_ERROR(Check(request));
    return UrlFor(request);
  }
  base::Result<std::string> PortForward(const runtime::v1::PortForwardRequest& request) override {
    if (request.pod_sandbox_id().empty()) return base::InvalidArgument("pod_sandbox_id is missing");
    for (const int32_t port : request.port()) {
      if (port < 1 || port > UINT16_MAX) return base::InvalidArgument(std::to_string(port) + " is no port");
    }
    return UrlFor(request);
  }

 private:
  std::string BaseUrl(asio::ip::address address, uint16_t port) const {
    // Whoever listens everywhere is reached on this host at its loopback address.
    if (address.is_unspecified()) {
      address = address.is_v6() ? asio::ip::address(asio::ip::address_v6::loopback())
                                : asio::ip::address(asio::ip::address_v4::loopback());
    }
    const std::string host = address.is_v6() ? "[" + address.to_string() + "]" : address.to_string();
    return (options_.tls.certificate.empty() ? "http://" : "https://") + host + ":" + std::to_string(port) + "/";
  }

  base::Result<std::string> UrlFor(Request request) {
    const std::string_view kind = RequestKind(request);
    ASSIGN_OR_RETURN(const std::string token, requests_.Add(std::move(request)));
    return base_url_ + std::string(kind) + "/" + token;
  }

  void Run() {
    while (!io_.stopped()) {
      try {
        io_.run();
      } catch (const std::exception& exception) {
        base::Log(LogLevel::kError, std::string("a streaming session failed: ") + exception.what());
      }
    }
  }

  void Accept() {
    acceptor_.async_accept([this](error_code error, tcp::socket socket) {
      if (error == asio::error::operation_aborted) return;
      if (error) {
        accept_timer_.expires_after(kAcceptRetry);
        accept_timer_.async_wait([this](error_code cancelled) {
          if (!cancelled) Accept();
        });
        return;
      }
      Serve(std::move(socket));
      Accept();
    });
  }

  void Serve(tcp::socket socket) {
    if (unauthenticated_ >= kMostUnauthenticated) return;
    error_code ignored;
    socket.set_option(tcp::no_delay(true), ignored);
    // Clients behind a host that has gone are noticed even when nobody sends anything.
    socket.set_option(asio::socket_base::keep_alive(true), ignored);
    ++unauthenticated_;
    std::shared_ptr<void> open(nullptr, [this](void*) { --unauthenticated_; });
    ServeHttp(std::move(socket), options_.tls.certificate.empty() ? nullptr : tls_.Context(), options_.creation_timeout,
              *this, std::move(open));
  }

  std::variant<Accepted, HttpError> OnRequest(const HttpRequest& http) override {
    const auto target = ParseTarget({http.target().data(), http.target().size()});
    if (!target) return HttpError{http::status::not_found, "there is nothing here", {}};
    if (http.method() != http::verb::get && http.method() != http::verb::post) {
      return HttpError{http::status::method_not_allowed, "only GET and POST are served", {}};
    }
    std::optional<Request> request = requests_.Take(target->kind, target->token);
    if (!request) return HttpError{http::status::not_found, "this URL is unknown, expired or has been used", {}};
    auto negotiated = Negotiate(http, *request);
    if (auto* error = std::get_if<HttpError>(&negotiated)) return std::move(*error);
    return Accepted{std::get<Upgrade>(std::move(negotiated)), *std::move(request)};
  }

  void OnUpgraded(Accepted accepted, std::shared_ptr<Transport> transport, std::string received) override {
    // The session is known here until it ends, which it may do in the middle of one of its own functions.
    const auto self = std::make_shared<std::weak_ptr<Session>>();
    std::function<void()> on_end = [this, self] {
      asio::post(io_, [this, self] {
        if (const auto session = self->lock()) sessions_.erase(session);
      });
    };
    const std::shared_ptr<Session> session = std::visit(
        [&](auto& request) { return MakeSession(accepted.upgrade, std::move(transport), request, std::move(on_end)); },
        accepted.request);
    *self = session;
    sessions_.insert(session);
    session->Start(std::move(received));
  }

  std::shared_ptr<Multiplexer> MakeMultiplexer(const Upgrade& upgrade, std::shared_ptr<Transport> transport,
                                               std::vector<Channel> channels) {
    if (upgrade.kind == Upgrade::Kind::kChannels) {
      return std::make_shared<ChannelMultiplexer>(io_, std::move(transport), options_.idle_timeout, upgrade.encoding,
                                                  upgrade.has_close_signal, std::move(channels));
    }
    return std::make_shared<SpdyMultiplexer>(io_, std::move(transport), options_.idle_timeout);
  }

  std::shared_ptr<Session> MakeSession(const Upgrade& upgrade, std::shared_ptr<Transport> transport,
                                       runtime::v1::ExecRequest& request, std::function<void()> on_end) {
    return MakeCommandSession(
        upgrade, std::move(transport), OptionsOf(request, upgrade), [this, request] { return backend_.Exec(request); },
        std::move(on_end));
  }
  std::shared_ptr<Session> MakeSession(const Upgrade& upgrade, std::shared_ptr<Transport> transport,
                                       runtime::v1::AttachRequest& request, std::function<void()> on_end) {
    return MakeCommandSession(
        upgrade, std::move(transport), OptionsOf(request, upgrade),
        [this, request] { return backend_.Attach(request); }, std::move(on_end));
  }
  std::shared_ptr<Session> MakeCommandSession(const Upgrade& upgrade, std::shared_ptr<Transport> transport,
                                              CommandOptions options, CommandSession::Open open,
                                              std::function<void()> on_end) {
    options.creation_timeout = options_.creation_timeout;
    auto client = MakeMultiplexer(upgrade, std::move(transport), CommandChannels(options));
    return std::make_shared<CommandSession>(io_, calls_, std::move(client), options, std::move(open),
                                            std::move(on_end));
  }
  std::shared_ptr<Session> MakeSession(const Upgrade& upgrade, std::shared_ptr<Transport> transport,
                                       runtime::v1::PortForwardRequest& request, std::function<void()> on_end) {
    auto client = MakeMultiplexer(upgrade, std::move(transport), PortChannels(upgrade.ports));
    return std::make_shared<PortForwardSession>(
        io_, calls_, std::move(client), options_.creation_timeout,
        [this, pod = request.pod_sandbox_id()](uint16_t port) { return backend_.Connect(pod, port); },
        std::move(on_end));
  }

  const ServerOptions options_;
  Backend& backend_;
  std::string base_url_;
  PendingRequests requests_;
  int unauthenticated_ = 0;
  asio::io_context io_{1};  // its end destroys what waits in it: connections that count in the line above
  base::CallThreads calls_{kMostThreads, kMostThreads};  // so that the I/O thread never blocks
  Tls tls_;
  std::set<std::shared_ptr<Session>> sessions_;
  tcp::acceptor acceptor_;
  asio::steady_timer accept_timer_;
  std::thread thread_;
};

}  // namespace

base::Result<std::unique_ptr<Server>> Server::Start(const ServerOptions& options, Backend& backend) {
  auto server = std::make_unique<AsioServer>(options, backend);
  RETURN_IF_ERROR(server->Listen());
  return std::unique_ptr<Server>(std::move(server));
}

}  // namespace cri::streaming
