// HTTP requests over libcurl that a std::stop_token ends at once.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace image {

// An absolute http or https URL in its parts.
struct Url {
  std::string scheme;     // "http" or "https"
  std::string authority;  // host in lower case, with the port unless it is the scheme's default
  std::string path;       // with its query

  std::string ToString() const { return scheme + "://" + authority + path; }
  // For messages: without the query, which may hold a signature.
  std::string ToPrintable() const;
  bool SameOrigin(const Url& other) const { return scheme == other.scheme && authority == other.authority; }
};

// Parses `text`, relative to `base` where that is given. kInvalidArgument for anything but http(s), and for user names
// in the URL.
base::Result<Url> ParseUrl(const std::string& text, const Url* base = nullptr);

struct TlsOptions {
  std::string certificate_authorities;  // PEM, trusted beside the system's own
  // Paths of PEM files, tried by OpenSSL as one pair; empty for none.
  std::string client_certificate;
  std::string client_key;
  bool skip_verify = false;
};

struct HttpRequest {
  Url url;
  std::vector<std::string> headers;  // "Name: value"
  // Form data; a request with it is a POST.
  std::optional<std::string> form;
  TlsOptions tls;
  // The whole exchange takes at most this long; zero for no limit but the idle timeout.
  std::chrono::seconds total_timeout{0};
  // Whether to connect to no link-local address (RFC 3927, RFC 4291): there, cloud machines find secrets of their own.
  bool refuse_link_local = false;
};

struct HttpResponse {
  long status = 0;
  // Names in lower case. A repeated header appears repeatedly.
  std::multimap<std::string, std::string> headers;
  // The beginning of the body of an answer that is not a success (the sink never sees it).
  std::string error_body;

  // The first header of this name, empty if there is none.
  std::string Header(const std::string& name) const;
};

// A server that sends less than this keeps a transfer open for ever, rather than serving it.
inline constexpr uint64_t kLeastBytesPerSecond = 1024;

// Connects through the proxies that HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY of the environment name, in upper
// or lower case, but to this machine itself without one.
class HttpClient {
 public:
  // A transfer that receives nothing for `idle_timeout` fails, and so does one that goes on for longer with less than
  // kLeastBytesPerSecond over such a time. What the sink takes does not count.
  explicit HttpClient(std::chrono::seconds idle_timeout);
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  // The body of a 2xx answer goes to `sink` in pieces, with the answer's head. An error of the sink ends the transfer
  // and is given back unchanged. Redirects are given back, not followed. Other errors: kUnavailable (no connection, cut
  // off), kDeadlineExceeded (idle or total timeout), kCancelled, kPermissionDenied (link-local address). No error text
  // holds a header or the query of the URL. Thread-safe; connections are kept for the next request.
  using BodySink = std::function<base::Status(const HttpResponse& head, std::string_view bytes)>;
  base::Result<HttpResponse> Perform(const HttpRequest& request, const BodySink& sink, const std::stop_token& stop);

 private:
  class Session;

  std::unique_ptr<Session> TakeSession();

  const std::chrono::seconds idle_timeout_;
  std::mutex mutex_;
  std::vector<std::unique_ptr<Session>> idle_sessions_;
};

}  // namespace image
