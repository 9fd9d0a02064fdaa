// The streams that clients are served over: TCP, and TLS over it.
#pragma once

#include <boost/asio/compose.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/role.hpp>
#include <boost/beast/ssl/ssl_stream.hpp>
#include <chrono>
#include <memory>
#include <type_traits>
#include <vector>

#include "cri/streaming/transport.h"

namespace cri::streaming {

// asio's socket as a type of ours, so that WebSockets over it end as async_teardown() below has it.
class TcpStream : public asio::ip::tcp::socket {
 public:
  explicit TcpStream(asio::ip::tcp::socket socket) : asio::ip::tcp::socket(std::move(socket)) {}
};
using TlsStream = boost::beast::ssl_stream<TcpStream>;

inline TcpStream& TcpOf(TcpStream& stream) {
  return stream;
}
inline TcpStream& TcpOf(TlsStream& stream) {
  return stream.next_layer();
}

// Whether the other end has sent FIN or RST, even though bytes before that are unread.
bool HasFin(TcpStream& socket);
// Closes it: what is pending ends with an error.
void CutOff(TcpStream& socket);
// Sends FIN.
void ShutDownSending(TcpStream& socket);

// Ends our side of the connection, reads until the client ends its own, a second at most, and closes it. To close it at
// once would make a client that still sends lose what it has not read: a reset overtakes it.
template <typename Stream>
class Teardown {
 public:
  static constexpr std::chrono::seconds kLongest{1};

  explicit Teardown(Stream& stream)
      : stream_(stream), deadline_(std::make_shared<asio::steady_timer>(stream.get_executor(), kLongest)) {}

  template <typename Self>
  void operator()(Self& self, error_code error = {}, size_t = 0) {
    switch (step_) {
      case Step::kBegin:
        deadline_->async_wait(
            [&tcp = TcpOf(stream_), running = std::weak_ptr<asio::steady_timer>(deadline_)](error_code cancelled) {
              if (!cancelled && !running.expired()) CutOff(tcp);
            });
        step_ = Step::kShutDown;
        if constexpr (std::is_same_v<Stream, TlsStream>) {
          stream_.async_shutdown(std::move(self));
          return;
        }
        [[fallthrough]];
      case Step::kShutDown:  // for the client there is nothing more to come, whether it has agreed or not
        ShutDownSending(TcpOf(stream_));
        error = {};
        step_ = Step::kDrain;
        [[fallthrough]];
      case Step::kDrain:
        if (error) break;
        const asio::mutable_buffer unwanted = asio::buffer(unwanted_);
        TcpOf(stream_).async_read_some(unwanted, std::move(self));
        return;
    }
    deadline_.reset();
    CutOff(TcpOf(stream_));
    self.complete({});
  }

 private:
  enum class Step { kBegin, kShutDown, kDrain };

  Stream& stream_;
  std::shared_ptr<asio::steady_timer> deadline_;  // cancelled by its end
  std::vector<char> unwanted_ = std::vector<char>(4096);
  Step step_ = Step::kBegin;
};

// Beast finds these by the stream's type and calls them after the close frame. Its own have no deadline: a client that
// breaks the protocol and stays would keep its command.
template <typename Handler>
void async_teardown(boost::beast::role_type, TcpStream& stream, Handler&& handler) {
  asio::async_compose<Handler, void(error_code)>(Teardown<TcpStream>(stream), handler, stream);
}
template <typename Handler>
void async_teardown(boost::beast::role_type, TlsStream& stream, Handler&& handler) {
  asio::async_compose<Handler, void(error_code)>(Teardown<TlsStream>(stream), handler, stream);
}

}  // namespace cri::streaming
