// TLS of the streaming server.
#pragma once

#include <boost/asio/ssl/context.hpp>
#include <memory>
#include <string>

#include "base/result.h"
#include "cri/streaming/options.h"

namespace cri::streaming {

// Reads the files when they have changed, as kubelets rotate certificates without a word.
class Tls {
 public:
  explicit Tls(TlsOptions options) : options_(std::move(options)) {}
  // Must succeed once before Context().
  base::Status Load();
  // What a new connection is to use: the newest that could be loaded.
  std::shared_ptr<boost::asio::ssl::context> Context();

 private:
  // Tells a file from its next version.
  std::string Versions() const;

  const TlsOptions options_;
  std::string versions_;
  std::shared_ptr<boost::asio::ssl::context> context_;
};

}  // namespace cri::streaming
