#include "cri/streaming/tls.h"

#include <openssl/ssl.h>
#include <sys/stat.h>

#include "base/log.h"

namespace cri::streaming {
namespace {

namespace ssl = boost::asio::ssl;
using boost::system::error_code;

base::Status ToStatus(const error_code& error, const std::string& doing) {
  if (!error) return base::Ok();
  return base::InvalidArgument(doing + ": " + error.message());
}

base::Result<std::shared_ptr<ssl::context>> MakeContext(const TlsOptions& options) {
  auto context = std::make_shared<ssl::context>(ssl::context::tls_server);
  ::SSL_CTX_set_min_proto_version(context->native_handle(), TLS1_2_VERSION);
  error_code error;
  context->use_certificate_chain_file(options.certificate, error);
  RETURN_IF_ERROR(ToStatus(error, "read the TLS certificate " + options.certificate));
  context->use_private_key_file(options.key, ssl::context::pem, error);
  RETURN_IF_ERROR(ToStatus(error, "read the TLS key " + options.key));
  if (::SSL_CTX_check_private_key(context->native_handle()) != 1) {
    return base::InvalidArgument("the TLS key " + options.key + " is not that of " + options.certificate);
  }
  if (options.client_ca.empty()) return context;
  context->load_verify_file(options.client_ca, error);
  RETURN_IF_ERROR(ToStatus(error, "read the TLS client CA " + options.client_ca));
  context->set_verify_mode(ssl::verify_peer | ssl::verify_fail_if_no_peer_cert, error);
  RETURN_IF_ERROR(ToStatus(error, "ask for client certificates"));
  // Without an id of sessions OpenSSL refuses to resume those of clients with certificates.
  static constexpr unsigned char kSessionId[] = "cri-nspawn";
  ::SSL_CTX_set_session_id_context(context->native_handle(), kSessionId, sizeof kSessionId - 1);
  return context;
}

}  // namespace

std::string Tls::Versions() const {
  std::string versions;
  for (const std::string& path : {options_.certificate, options_.key, options_.client_ca}) {
    struct stat info {};
    if (path.empty() || ::stat(path.c_str(), &info) != 0) continue;
    for (const long number : {static_cast<long>(info.st_ino), static_cast<long>(info.st_mtim.tv_sec),
                              static_cast<long>(info.st_mtim.tv_nsec), static_cast<long>(info.st_size)}) {
      versions += std::to_string(number) + ' ';
    }
  }
  return versions;
}

base::Status Tls::Load() {
  versions_ = Versions();
  ASSIGN_OR_RETURN(context_, MakeContext(options_));
  return base::Ok();
}

std::shared_ptr<ssl::context> Tls::Context() {
  if (Versions() == versions_) return context_;
  if (const base::Status status = Load(); !status.ok()) {
    base::Log(base::LogLevel::kWarning, "the earlier TLS certificate stays in use: " + status.error().message());
  }
  return context_;
}

}  // namespace cri::streaming
