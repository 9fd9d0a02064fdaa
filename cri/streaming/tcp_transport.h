// Transports over TCP and TLS, and over WebSockets over either.
#pragma once

#include <boost/asio/write.hpp>
#include <boost/beast/websocket/ssl.hpp>
#include <boost/beast/websocket/stream.hpp>

#include "cri/streaming/tcp_stream.h"
#include "cri/streaming/transport.h"

namespace cri::streaming {

template <typename Stream>
class ByteTransport final : public Transport {
 public:
  explicit ByteTransport(Stream stream) : stream_(std::move(stream)) {}

  void Read(asio::mutable_buffer into, ReadDone done) override {
    stream_.async_read_some(into, [self = shared_from_this(), done = std::move(done)](error_code error, size_t size) {
      done(error, size, /*end_of_message=*/false);
    });
  }
  void Write(const std::vector<asio::const_buffer>& buffers, WriteDone done) override {
    asio::async_write(stream_, buffers,
                      [self = shared_from_this(), done = std::move(done)](error_code error, size_t) { done(error); });
  }
  void Finish() override {
    if constexpr (std::is_same_v<Stream, TlsStream>) {
      stream_.async_shutdown([self = shared_from_this()](error_code) {});
    } else {
      ShutDownSending(stream_);
    }
  }
  void Abort() override { CutOff(TcpOf(stream_)); }
  bool OtherEndClosed() override { return HasFin(TcpOf(stream_)); }

 private:
  Stream stream_;
};

template <typename Stream>
class WebSocketTransport final : public Transport {
 public:
  // The upgrade has been done.
  explicit WebSocketTransport(boost::beast::websocket::stream<Stream> socket) : socket_(std::move(socket)) {}

  void Read(asio::mutable_buffer into, ReadDone done) override {
    socket_.async_read_some(into, [this, self = shared_from_this(), done = std::move(done)](
                                      error_code error, size_t size) { done(error, size, socket_.is_message_done()); });
  }
  void Write(const std::vector<asio::const_buffer>& buffers, WriteDone done) override {
    socket_.async_write(buffers,
                        [self = shared_from_this(), done = std::move(done)](error_code error, size_t) { done(error); });
  }
  void Finish() override {
    socket_.async_close(boost::beast::websocket::close_code::normal, [self = shared_from_this()](error_code) {});
  }
  void Abort() override { CutOff(TcpOf(socket_.next_layer())); }
  bool OtherEndClosed() override { return HasFin(TcpOf(socket_.next_layer())); }
  void KeepAlive() override {
    if (ponging_) return;
    ponging_ = true;
    socket_.async_pong({}, [this, self = shared_from_this()](error_code) { ponging_ = false; });
  }

 private:
  boost::beast::websocket::stream<Stream> socket_;
  bool ponging_ = false;
};

}  // namespace cri::streaming
