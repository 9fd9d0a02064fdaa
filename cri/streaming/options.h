// How the streaming server is configured.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>

namespace cri::streaming {

struct TlsOptions {
  std::string certificate;  // PEM file: the server's and those that link it to a root; empty: no TLS
  std::string key;          // PEM file
  std::string client_ca;  // PEM file: clients must show a certificate that leads to one of these; empty: none is asked
};

struct ServerOptions {
  std::string address = "127.0.0.1";  // numeric
  uint16_t port = 0;                  // 0: any that is free
  // A session in which nothing is sent or received for this long is ended.
  std::chrono::seconds idle_timeout = std::chrono::hours(4);
  // How long a client may take for its request and to open its streams.
  std::chrono::seconds creation_timeout{30};
  TlsOptions tls;
};

}  // namespace cri::streaming
