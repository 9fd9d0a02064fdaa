#include "cri/streaming/http_connection.h"

#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <boost/beast/http/write.hpp>

#include "base/log.h"
#include "cri/streaming/tcp_transport.h"

namespace cri::streaming {
namespace {

namespace beast = boost::beast;
namespace websocket = beast::websocket;

// The kubelet passes on all headers of its client's request, credentials for an API server among them.
constexpr size_t kMostHeaderBytes = 64 * 1024;
// As other servers of these protocols have it. Messages are never held as a whole.
constexpr size_t kMostMessageBytes = 32 << 20;
// For the answers to the two handshakes of a WebSocket, the opening and the closing one.
constexpr std::chrono::seconds kHandshakeTime{2};
constexpr std::chrono::seconds kRefusalTimeout{2};

template <typename Stream>
class HttpConnection final : public std::enable_shared_from_this<HttpConnection<Stream>> {
 public:
  HttpConnection(Stream stream, std::shared_ptr<asio::ssl::context> tls, UpgradeHandler& handler,
                 std::shared_ptr<void> open)
      : tls_(std::move(tls)),
        stream_(std::move(stream)),
        handler_(handler),
        open_(std::move(open)),
        deadline_(stream_.get_executor()) {
    parser_.header_limit(kMostHeaderBytes);
  }

  void Start(std::chrono::milliseconds timeout) {
    SetDeadline(timeout);
    if constexpr (std::is_same_v<Stream, TlsStream>) {
      stream_.async_handshake(
          asio::ssl::stream_base::server, [this, self = this->shared_from_this()](error_code error) {
            if (!error) return ReadRequest();
            base::Log(base::LogLevel::kInfo, "a streaming client failed the TLS handshake: " + error.message());
            deadline_.cancel();
          });
    } else {
      ReadRequest();
    }
  }

 private:
  void SetDeadline(std::chrono::milliseconds timeout) {
    deadline_.expires_after(timeout);
    deadline_.async_wait([weak = this->weak_from_this()](error_code error) {
      const auto self = weak.lock();
      if (!error && self) CutOff(self->web_socket_ ? TcpOf(self->web_socket_->next_layer()) : TcpOf(self->stream_));
    });
  }

  void ReadRequest() {
    http::async_read_header(
        stream_, buffer_, parser_, [this, self = this->shared_from_this()](error_code error, size_t) {
          if (error == http::error::header_limit || error == http::error::buffer_overflow) {
            return Refuse({http::status::request_header_fields_too_large, "the header is larger than 64 KiB", {}});
          }
          if (error && error.category() == make_error_code(http::error::bad_method).category() &&
              error != http::error::end_of_stream && error != http::error::partial_message) {
            return Refuse({http::status::bad_request, "malformed HTTP: " + error.message(), {}});
          }
          if (error) return deadline_.cancel(), void();
          const auto length = parser_.content_length();
          if (parser_.chunked() || (length && *length > 0)) {
            return Refuse({http::status::bad_request, "the request must not have a body", {}});
          }
          Decide();
        });
  }

  void Decide() {
    auto decision = handler_.OnRequest(parser_.get());
    if (const auto* refusal = std::get_if<HttpError>(&decision)) return Refuse(*refusal);
    accepted_ = std::get<UpgradeHandler::Accepted>(std::move(decision));
    if (accepted_.upgrade.kind == Upgrade::Kind::kSpdy) {
      UpgradeToSpdy();
    } else if (buffer_.size() > 0) {
      Refuse({http::status::bad_request, "bytes were sent before the upgrade", {}});
    } else {
      UpgradeToWebSocket();
    }
  }

  void UpgradeToSpdy() {
    response_.result(http::status::switching_protocols);
    response_.set(http::field::connection, "Upgrade");
    response_.set(http::field::upgrade, "SPDY/3.1");
    response_.set("X-Stream-Protocol-Version", accepted_.upgrade.protocol);
    http::async_write(stream_, response_, [this, self = this->shared_from_this()](error_code error, size_t) {
      deadline_.cancel();
      if (error) return;
      std::string received(static_cast<const char*>(buffer_.data().data()), buffer_.size());
      handler_.OnUpgraded(std::move(accepted_), std::make_shared<ByteTransport<Stream>>(std::move(stream_)),
                          std::move(received));
    });
  }

  void UpgradeToWebSocket() {
    web_socket_ = std::make_unique<websocket::stream<Stream>>(std::move(stream_));
    web_socket_->set_option(
        websocket::stream_base::decorator([protocol = accepted_.upgrade.protocol](websocket::response_type& response) {
          if (!protocol.empty()) response.set(http::field::sec_websocket_protocol, protocol);
        }));
    // No idle timeout: sessions have their own.
    web_socket_->set_option(websocket::stream_base::timeout{kHandshakeTime, websocket::stream_base::none(), false});
    web_socket_->read_message_max(kMostMessageBytes);
    web_socket_->auto_fragment(false);
    web_socket_->binary(accepted_.upgrade.encoding == ChannelEncoding::kBinary);
    // It answers what it finds wrong with the request by itself.
    web_socket_->async_accept(parser_.get(), [this, self = this->shared_from_this()](error_code error) {
      deadline_.cancel();
      if (error) return;
      handler_.OnUpgraded(std::move(accepted_), std::make_shared<WebSocketTransport<Stream>>(std::move(*web_socket_)),
                          {});
    });
  }

  void Refuse(const HttpError& refusal) {
    base::Log(base::LogLevel::kInfo, "a streaming request was refused: " + refusal.message);
    SetDeadline(kRefusalTimeout);
    response_.result(refusal.status);
    response_.set(http::field::content_type, "text/plain; charset=utf-8");
    response_.set(http::field::connection, "close");
    if (refusal.status == http::status::method_not_allowed) response_.set(http::field::allow, "GET, POST");
    for (const std::string& protocol : refusal.accepted_protocols) {
      response_.insert("X-Accepted-Stream-Protocol-Versions", protocol);
    }
    response_.body() = refusal.message + "\n";
    response_.prepare_payload();
    http::async_write(stream_, response_, [this, self = this->shared_from_this()](error_code error, size_t) {
      if (error) return;
      ShutDownSending(TcpOf(stream_));
      Drain();
    });
  }

  // Closing while the client still sends would make it lose the answer.
  void Drain() {
    buffer_.clear();
    stream_.async_read_some(buffer_.prepare(4096), [this, self = this->shared_from_this()](error_code error, size_t) {
      if (!error) Drain();
    });
  }

  const std::shared_ptr<asio::ssl::context> tls_;  // outlives the stream
  Stream stream_;
  UpgradeHandler& handler_;
  const std::shared_ptr<void> open_;
  asio::steady_timer deadline_;
  beast::flat_buffer buffer_{kMostHeaderBytes + 4096};
  http::request_parser<http::empty_body> parser_;
  http::response<http::string_body> response_;
  UpgradeHandler::Accepted accepted_;
  std::unique_ptr<websocket::stream<Stream>> web_socket_;
};

}  // namespace

void ServeHttp(asio::ip::tcp::socket socket, std::shared_ptr<asio::ssl::context> tls, std::chrono::milliseconds timeout,
               UpgradeHandler& handler, std::shared_ptr<void> open) {
  if (tls) {
    TlsStream stream(TcpStream(std::move(socket)), *tls);
    std::make_shared<HttpConnection<TlsStream>>(std::move(stream), std::move(tls), handler, std::move(open))
        ->Start(timeout);
  } else {
    std::make_shared<HttpConnection<TcpStream>>(TcpStream(std::move(socket)), nullptr, handler, std::move(open))
        ->Start(timeout);
  }
}

}  // namespace cri::streaming
