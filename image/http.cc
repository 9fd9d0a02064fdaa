#include "image/http.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>

#include "base/text.h"

namespace image {
namespace {

using base::Code;
using base::Error;
using Clock = std::chrono::steady_clock;

constexpr size_t kMostHeaderBytes = size_t{256} << 10;
constexpr size_t kMostErrorBody = size_t{16} << 10;
constexpr long kReceiveBuffer = 512L << 10;

using CurlUrl = std::unique_ptr<CURLU, decltype(&curl_url_cleanup)>;

std::string Lower(std::string_view text) {
  std::string out(text);
  std::transform(out.begin(), out.end(), out.begin(),
                 [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c; });
  return out;
}

std::optional<std::string> UrlPart(CURLU* url, CURLUPart part, unsigned flags = 0) {
  char* text = nullptr;
  if (curl_url_get(url, part, &text, flags) != CURLUE_OK) return std::nullopt;
  std::string out(text);
  curl_free(text);
  return out;
}

// Without the port; an IPv6 address in brackets.
std::string HostOf(const Url& url) {
  const size_t bracket = url.authority.find_last_of(']');
  return url.authority.substr(0, bracket == std::string::npos ? url.authority.find(':') : bracket + 1);
}

// Go's rule, which users of registries know: a proxy of the environment is not for this machine itself.
bool IsLoopback(const Url& url) {
  const std::string host = HostOf(url);
  return host == "localhost" || host.starts_with("127.") || host == "[::1]";
}

// libcurl takes the variables of a proxy (https_proxy, no_proxy …) in either case, but this one only in lower case: a
// CGI program gets HTTP_PROXY from its client.
const char* HttpProxy() {
  const char* lower = std::getenv("http_proxy");  // NOLINT(concurrency-mt-unsafe): nothing changes the environment
  if (lower != nullptr && *lower != '\0') return lower;
  return std::getenv("HTTP_PROXY");  // NOLINT(concurrency-mt-unsafe)
}

// What the callbacks of one transfer share. They run in the thread that performs it.
struct Transfer {
  HttpResponse response;
  const HttpClient::BodySink* sink = nullptr;
  base::Status sink_status;
  size_t header_bytes = 0;
  bool header_overflow = false;
  bool link_local = false;  // such an address was refused
  Clock::time_point last_progress = Clock::now();
  // The time over which the rate is being measured, and what came in it.
  Clock::time_point measured_since = last_progress;
  uint64_t measured_bytes = 0;
};

size_t OnHeader(char* data, size_t, size_t size, void* context) {
  auto& transfer = *static_cast<Transfer*>(context);
  transfer.header_bytes += size;
  if (transfer.header_bytes > kMostHeaderBytes) {
    transfer.header_overflow = true;
    return 0;
  }
  const std::string_view line = base::Trim(std::string_view(data, size));
  if (line.starts_with("HTTP/")) {
    // A new head follows an interim one, such as 100 or that of a proxy.
    transfer.response = {};
    const auto fields = base::Split(line, ' ');
    if (fields.size() > 1) transfer.response.status = static_cast<long>(base::ParseUnsigned(fields[1]).value_or(0));
  } else if (const size_t colon = line.find(':'); colon != std::string_view::npos) {
    transfer.response.headers.emplace(Lower(line.substr(0, colon)), base::Trim(line.substr(colon + 1)));
  }
  transfer.last_progress = Clock::now();
  return size;
}

size_t OnBody(char* data, size_t, size_t size, void* context) {
  auto& transfer = *static_cast<Transfer*>(context);
  HttpResponse& response = transfer.response;
  transfer.measured_bytes += size;
  if (response.status / 100 == 2) {
    const Clock::time_point before = Clock::now();
    transfer.sink_status = (*transfer.sink)(response, std::string_view(data, size));
    if (!transfer.sink_status.ok()) return 0;
    transfer.measured_since += Clock::now() - before;
  } else {
    const size_t room = kMostErrorBody - std::min(kMostErrorBody, response.error_body.size());
    if (room == 0) return 0;  // seen enough of it
    response.error_body.append(data, std::min(size, room));
  }
  transfer.last_progress = Clock::now();
  return size;
}

bool IsLinkLocal(const sockaddr& address) {
  if (address.sa_family == AF_INET) {
    return ntohl(reinterpret_cast<const sockaddr_in&>(address).sin_addr.s_addr) >> 16 == 0xA9FE;
  }
  if (address.sa_family != AF_INET6) return false;
  const in6_addr& ip = reinterpret_cast<const sockaddr_in6&>(address).sin6_addr;
  return IN6_IS_ADDR_LINKLOCAL(&ip) || (IN6_IS_ADDR_V4MAPPED(&ip) && ip.s6_addr[12] == 0xA9 && ip.s6_addr[13] == 0xFE);
}

// By its own words; a proxy would be asked to connect there.
bool NamesLinkLocal(const Url& url) {
  std::string host = HostOf(url);
  sockaddr_in v4{AF_INET, 0, {}, {}};
  if (::inet_pton(AF_INET, host.c_str(), &v4.sin_addr) == 1) return IsLinkLocal(reinterpret_cast<sockaddr&>(v4));
  if (host.size() < 2 || host.front() != '[') return false;
  host = host.substr(1, host.size() - 2);
  sockaddr_in6 v6{};
  v6.sin6_family = AF_INET6;
  return ::inet_pton(AF_INET6, host.c_str(), &v6.sin6_addr) == 1 && IsLinkLocal(reinterpret_cast<sockaddr&>(v6));
}

Error LinkLocalError() {
  return {Code::kPermissionDenied, "it leads to a link-local address, which a registry may not send us to"};
}

// Sees the address that is connected to, whatever name led to it.
curl_socket_t OpenUnlessLinkLocal(void* context, curlsocktype, curl_sockaddr* address) {
  if (IsLinkLocal(address->addr)) {
    static_cast<Transfer*>(context)->link_local = true;
    return CURL_SOCKET_BAD;
  }
  return ::socket(address->family, address->socktype | SOCK_CLOEXEC, address->protocol);
}

}  // namespace

std::string Url::ToPrintable() const {
  return base::Printable(scheme + "://" + authority + path.substr(0, path.find('?')), 500);
}

base::Result<Url> ParseUrl(const std::string& text, const Url* base) {
  const CurlUrl handle(curl_url(), &curl_url_cleanup);
  if (!handle) return Error(Code::kResourceExhausted, "out of memory");
  const auto invalid = [&](std::string_view why) {
    return base::InvalidArgument("URL \"" + base::Printable(text.substr(0, text.find('?')), 300) + "\" " +
                                 std::string(why));
  };
  if (text.size() > 16384) return invalid("is too long");
  if (base != nullptr && curl_url_set(handle.get(), CURLUPART_URL, base->ToString().c_str(), 0) != CURLUE_OK) {
    return invalid("cannot be resolved");
  }
  if (text.find('\0') != std::string::npos || curl_url_set(handle.get(), CURLUPART_URL, text.c_str(), 0) != CURLUE_OK) {
    return invalid("is not a valid http or https URL");
  }
  if (UrlPart(handle.get(), CURLUPART_USER).has_value() || UrlPart(handle.get(), CURLUPART_PASSWORD).has_value()) {
    // Not repeated in the message: it holds a password.
    return base::InvalidArgument("a URL with a user name or password in it is not accepted");
  }
  Url out;
  out.scheme = Lower(UrlPart(handle.get(), CURLUPART_SCHEME).value_or(""));
  if (out.scheme != "http" && out.scheme != "https") return invalid("is neither http nor https");
  out.authority = Lower(UrlPart(handle.get(), CURLUPART_HOST).value_or(""));
  if (out.authority.empty()) return invalid("has no host");
  if (const auto port = UrlPart(handle.get(), CURLUPART_PORT, CURLU_NO_DEFAULT_PORT); port.has_value()) {
    out.authority += ":" + *port;
  }
  out.path = UrlPart(handle.get(), CURLUPART_PATH).value_or("/");
  if (const auto query = UrlPart(handle.get(), CURLUPART_QUERY); query.has_value()) out.path += "?" + *query;
  return out;
}

std::string HttpResponse::Header(const std::string& name) const {
  const auto found = headers.find(name);
  return found == headers.end() ? std::string() : found->second;
}

// A connection cache with one easy handle, used by one thread at a time.
class HttpClient::Session {
 public:
  Session() : multi_(curl_multi_init(), &curl_multi_cleanup), easy_(curl_easy_init(), &curl_easy_cleanup) {}

  bool good() const { return multi_ && easy_; }

  base::Result<HttpResponse> Perform(const HttpRequest& request, const BodySink& sink,
                                     std::chrono::seconds idle_timeout, const std::stop_token& stop) {
    Transfer transfer;
    transfer.sink = &sink;
    char detail[CURL_ERROR_SIZE] = "";
    curl_slist* list = nullptr;
    for (const std::string& header : request.headers) list = curl_slist_append(list, header.c_str());
    const std::unique_ptr<curl_slist, decltype(&curl_slist_free_all)> headers(list, &curl_slist_free_all);
    SetOptions(request, idle_timeout, headers.get(), &transfer, detail);

    CURLM* multi = multi_.get();
    if (curl_multi_add_handle(multi, easy_.get()) != CURLM_OK) return base::Internal("libcurl refused the request");
    const base::Status driven = Drive(transfer, idle_timeout, stop);
    int left = 0;
    CURLcode outcome = CURLE_OK;
    while (const CURLMsg* message = curl_multi_info_read(multi, &left)) {
      if (message->msg == CURLMSG_DONE) outcome = message->data.result;
    }
    curl_multi_remove_handle(multi, easy_.get());
    if (!driven.ok()) return driven.error();
    return Judge(outcome, detail, std::move(transfer));
  }

 private:
  void SetOptions(const HttpRequest& request, std::chrono::seconds idle_timeout, curl_slist* headers,
                  Transfer* transfer, char* detail) {
    CURL* easy = easy_.get();
    curl_easy_reset(easy);
    curl_easy_setopt(easy, CURLOPT_URL, request.url.ToString().c_str());
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    // A name lookup that hangs must not keep a cancelled pull waiting.
    curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, detail);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "cri-nspawn/" CRI_NSPAWN_VERSION);
    curl_easy_setopt(easy, CURLOPT_BUFFERSIZE, kReceiveBuffer);
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, &OnHeader);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, transfer);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, &OnBody);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer);
    if (request.refuse_link_local) {
      curl_easy_setopt(easy, CURLOPT_OPENSOCKETFUNCTION, &OpenUnlessLinkLocal);
      curl_easy_setopt(easy, CURLOPT_OPENSOCKETDATA, transfer);
    }
    const auto connect = std::min<std::chrono::milliseconds>(idle_timeout, std::chrono::seconds(30));
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(connect.count()));
    curl_easy_setopt(easy, CURLOPT_TIMEOUT, static_cast<long>(request.total_timeout.count()));
    if (IsLoopback(request.url)) {
      curl_easy_setopt(easy, CURLOPT_PROXY, "");
    } else if (request.url.scheme == "http") {
      if (const char* proxy = HttpProxy(); proxy != nullptr) curl_easy_setopt(easy, CURLOPT_PROXY, proxy);
    }
    if (request.form.has_value()) {
      curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE, static_cast<long>(request.form->size()));
      curl_easy_setopt(easy, CURLOPT_COPYPOSTFIELDS, request.form->c_str());
    }
    const TlsOptions& tls = request.tls;
    if (!tls.certificate_authorities.empty()) {
      curl_blob blob{const_cast<char*>(tls.certificate_authorities.data()), tls.certificate_authorities.size(),
                     CURL_BLOB_COPY};
      curl_easy_setopt(easy, CURLOPT_CAINFO_BLOB, &blob);
    }
    if (!tls.client_certificate.empty()) {
      curl_easy_setopt(easy, CURLOPT_SSLCERT, tls.client_certificate.c_str());
      if (!tls.client_key.empty()) curl_easy_setopt(easy, CURLOPT_SSLKEY, tls.client_key.c_str());
    }
    if (tls.skip_verify) {
      curl_easy_setopt(easy, CURLOPT_SSL_VERIFYPEER, 0L);
      curl_easy_setopt(easy, CURLOPT_SSL_VERIFYHOST, 0L);
    }
  }

  // Runs the transfer to its end. The stop token wakes the poll from whichever thread stops.
  base::Status Drive(Transfer& transfer, std::chrono::seconds idle_timeout, const std::stop_token& stop) {
    CURLM* multi = multi_.get();
    const std::stop_callback wake(stop, [multi] { curl_multi_wakeup(multi); });
    for (int running = 1;;) {
      if (stop.stop_requested()) return Error(Code::kCancelled, "cancelled");
      if (curl_multi_perform(multi, &running) != CURLM_OK) return base::Internal("libcurl failed");
      if (running == 0) return base::Ok();
      const auto left =
          std::chrono::duration_cast<std::chrono::milliseconds>(transfer.last_progress + idle_timeout - Clock::now());
      if (left.count() <= 0) {
        return Error(Code::kDeadlineExceeded,
                     "nothing received for " + std::to_string(idle_timeout.count()) + " seconds");
      }
      if (Clock::now() - transfer.measured_since >= idle_timeout) {
        if (transfer.measured_bytes < kLeastBytesPerSecond * static_cast<uint64_t>(idle_timeout.count())) {
          return Error(Code::kDeadlineExceeded, "too slow: " + std::to_string(transfer.measured_bytes) +
                                                    " bytes received in " + std::to_string(idle_timeout.count()) +
                                                    " seconds");
        }
        transfer.measured_since = Clock::now();
        transfer.measured_bytes = 0;
      }
      curl_multi_poll(multi, nullptr, 0, static_cast<int>(std::min<long long>(left.count() + 1, 60000)), nullptr);
    }
  }

  static base::Result<HttpResponse> Judge(CURLcode outcome, const char* detail, Transfer transfer) {
    if (!transfer.sink_status.ok()) return std::move(transfer.sink_status).error();
    if (transfer.header_overflow) return Error(Code::kDataLoss, "the answer's headers are too long");
    // The end of a long error page was left out on purpose.
    if (outcome == CURLE_WRITE_ERROR && transfer.response.status / 100 != 2) return std::move(transfer.response);
    if (outcome == CURLE_OK) return std::move(transfer.response);
    if (transfer.link_local) return LinkLocalError();
    if (outcome == CURLE_OPERATION_TIMEDOUT) {
      return Error(Code::kDeadlineExceeded,
                   base::Printable(*detail != '\0' ? detail : curl_easy_strerror(outcome), 300));
    }
    return Error(Code::kUnavailable, base::Printable(*detail != '\0' ? detail : curl_easy_strerror(outcome), 300));
  }

  // The easy handle must go first: it is declared last.
  std::unique_ptr<CURLM, decltype(&curl_multi_cleanup)> multi_;
  std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> easy_;
};

HttpClient::HttpClient(std::chrono::seconds idle_timeout) : idle_timeout_(idle_timeout) {
  static const CURLcode initialized = curl_global_init(CURL_GLOBAL_DEFAULT);
  if (initialized != CURLE_OK) std::abort();
}

HttpClient::~HttpClient() = default;

std::unique_ptr<HttpClient::Session> HttpClient::TakeSession() {
  const std::lock_guard lock(mutex_);
  if (idle_sessions_.empty()) return std::make_unique<Session>();
  auto session = std::move(idle_sessions_.back());
  idle_sessions_.pop_back();
  return session;
}

base::Result<HttpResponse> HttpClient::Perform(const HttpRequest& request, const BodySink& sink,
                                               const std::stop_token& stop) {
  if (request.refuse_link_local && NamesLinkLocal(request.url)) return LinkLocalError();
  auto session = TakeSession();
  if (!session->good()) return Error(Code::kResourceExhausted, "out of memory");
  auto result = session->Perform(request, sink, idle_timeout_, stop);
  const std::lock_guard lock(mutex_);
  idle_sessions_.push_back(std::move(session));
  return result;
}

}  // namespace image
