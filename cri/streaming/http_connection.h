// An accepted connection until it has been upgraded or refused.
#pragma once

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <chrono>
#include <memory>
#include <string>
#include <variant>

#include "cri/streaming/transport.h"
#include "cri/streaming/upgrade.h"

namespace cri::streaming {

// Who decides about requests. Called in the I/O thread.
class UpgradeHandler {
 public:
  virtual ~UpgradeHandler() = default;
  struct Accepted {
    Upgrade upgrade;
    Request request;
  };
  virtual std::variant<Accepted, HttpError> OnRequest(const HttpRequest& http) = 0;
  // The client has been told. `received` are bytes that came after the request's header.
  virtual void OnUpgraded(Accepted accepted, std::shared_ptr<Transport> transport, std::string received) = 0;
};

// Reads one request from the connection, over TLS when there is a context, within `timeout`; `open` is held meanwhile.
void ServeHttp(boost::asio::ip::tcp::socket socket, std::shared_ptr<boost::asio::ssl::context> tls,
               std::chrono::milliseconds timeout, UpgradeHandler& handler, std::shared_ptr<void> open);

}  // namespace cri::streaming
