#include "image/registry.h"

#include <curl/curl.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>

#include "base/log.h"
#include "base/text.h"
#include "image/challenge.h"
#include "image/credentials.h"
#include "image/digest.h"
#include "image/json.h"

namespace image {
namespace {

using base::Code;
using base::Error;
using base::Status;

constexpr int kMostTries = 4;
constexpr int kMostRedirects = 5;
constexpr const char* kReferrersType = "application/vnd.oci.image.index.v1+json";
constexpr size_t kMostTokenBytes = size_t{64} << 10;
constexpr std::chrono::milliseconds kFirstPause{200};
constexpr std::chrono::milliseconds kLongestPause{10'000};
// Manifests and tokens are small: a registry that drips them is not waited for any longer.
constexpr std::chrono::seconds kDocumentTimeout{120};
// A try that brought less of a blob than this counts as one that brought nothing, so that a server which drips does not
// get another try for each drop.
constexpr uint64_t kWorthwhileBytes = uint64_t{256} << 10;

std::string Escape(const std::string& text) {
  char* escaped = curl_easy_escape(nullptr, text.c_str(), static_cast<int>(text.size()));
  std::string out = escaped == nullptr ? "" : escaped;
  curl_free(escaped);
  return out;
}

bool WorthRetrying(long status) {
  return status == 429 || status == 408 || status / 100 == 5;
}

// Sleeps, but not through a cancellation.
Status Pause(std::chrono::milliseconds time, const std::stop_token& stop) {
  std::mutex mutex;
  std::condition_variable_any never;
  std::unique_lock lock(mutex);
  never.wait_for(lock, stop, time, [] { return false; });
  if (stop.stop_requested()) return Error(Code::kCancelled, "cancelled");
  return base::Ok();
}

// Counts the failures of one operation and makes the pauses between its tries.
class Retries {
 public:
  // Whether there is to be one more try, after a pause of which `response` may state the length.
  base::Result<bool> Again(const HttpResponse* response, const std::stop_token& stop) {
    if (++failures_ >= kMostTries) return false;
    auto pause = kFirstPause * (1 << (failures_ - 1));
    if (response != nullptr) {
      if (const auto seconds = base::ParseUnsigned(response->Header("retry-after")); seconds.has_value()) {
        pause = std::max<std::chrono::milliseconds>(pause, std::chrono::seconds(std::min<uint64_t>(*seconds, 3600)));
      }
    }
    RETURN_IF_ERROR(Pause(std::min<std::chrono::milliseconds>(pause, kLongestPause), stop));
    return true;
  }
  void Progressed() { failures_ = 0; }

 private:
  int failures_ = 0;
};

// What a registry says about its refusal: {"errors":[{"code":…,"message":…}]}.
std::string Detail(const HttpResponse& response) {
  const auto document = ParseObject(response.error_body, "the error");
  if (!document.ok()) return "";
  const Json* errors = ArrayAt(*document, "errors");
  if (errors == nullptr || errors->empty()) return "";
  const std::string code = StringAt(errors->front(), "code");
  const std::string message = StringAt(errors->front(), "message");
  if (code.empty() && message.empty()) return "";
  return " (" + base::Printable(code + (code.empty() || message.empty() ? "" : ": ") + message, 200) + ")";
}

Error StatusError(const HttpResponse& response) {
  const std::string detail = Detail(response);
  switch (response.status) {
    case 404:
      return {Code::kNotFound, "not found" + detail};
    case 401:
      return {Code::kUnauthenticated,
              "authentication required: the repository does not exist or needs other credentials" + detail};
    case 403:
      return {Code::kPermissionDenied, "access denied" + detail};
    case 429:
      return {Code::kUnavailable, "too many requests (HTTP 429)" + detail};
    default:
      break;
  }
  const std::string what = "the registry answered with HTTP status " + std::to_string(response.status) + detail;
  return {WorthRetrying(response.status) ? Code::kUnavailable : Code::kUnknown, what};
}

// A stalled connection is to the caller the same as none.
Error AsUnavailable(Error error) {
  return error.code() == Code::kDeadlineExceeded ? std::move(error).WithCode(Code::kUnavailable) : std::move(error);
}

bool HasHeader(const std::vector<std::string>& headers, std::string_view name) {
  return std::any_of(headers.begin(), headers.end(), [&](const std::string& header) {
    return header.size() > name.size() && header[name.size()] == ':' &&
           std::equal(name.begin(), name.end(), header.begin(),
                      [](char a, char b) { return a == std::tolower(static_cast<unsigned char>(b)); });
  });
}

// The first byte that a 206 answer holds.
std::optional<uint64_t> RangeStart(const HttpResponse& response) {
  const std::string range = response.Header("content-range");
  constexpr std::string_view kUnit = "bytes ";
  if (!range.starts_with(kUnit)) return std::nullopt;
  return base::ParseUnsigned(std::string_view(range).substr(kUnit.size(), range.find('-') - kUnit.size()));
}

}  // namespace

struct Registry::Host {
  RegistryHost config;
  HostCredentials credentials;
  std::mutex mutex;
  std::string authorization;  // of the next request; guarded by mutex
  std::atomic<bool> distrusted{false};

  std::string Name() const { return "registry " + config.url.scheme + "://" + config.url.authority; }
};

// How far a blob has come, over all tries and hosts.
struct Registry::BlobProgress {
  explicit BlobProgress(const Descriptor& blob) : verifier(blob.digest, blob.size) {}
  BlobVerifier verifier;
  Status sink_status;
};

Registry::Registry(const Reference& reference, std::vector<RegistryHost> hosts, const Credentials& credentials,
                   std::chrono::seconds idle_timeout)
    : reference_(reference), http_(idle_timeout) {
  for (RegistryHost& config : hosts) {
    auto host = std::make_unique<Host>();
    host->credentials = CredentialsFor(credentials, reference.domain, config.url.authority, config.upstream);
    host->config = std::move(config);
    hosts_.push_back(std::move(host));
  }
}

Registry::~Registry() = default;

base::Result<HttpResponse> Registry::Follow(HttpRequest request, const RegistryHost& host, bool content_is_verified,
                                            const HttpClient::BodySink& sink, const std::stop_token& stop) {
  const Url origin = request.url;
  for (int redirects = 0;; ++redirects) {
    ASSIGN_OR_RETURN(HttpResponse response, http_.Perform(request, sink, stop));
    const bool redirected = response.status == 301 || response.status == 302 || response.status == 303 ||
                            response.status == 307 || response.status == 308;
    if (!redirected || request.form.has_value()) return response;
    if (redirects >= kMostRedirects) return Error(Code::kUnknown, "too many redirects");
    auto target = ParseUrl(response.Header("location"), &request.url);
    if (!target.ok()) return std::move(target).error().Wrap("redirect").WithCode(Code::kUnknown);
    if (request.url.scheme == "https" && target->scheme == "http" && !content_is_verified) {
      return Error(Code::kUnknown, "redirected from https to http, to " + target->ToPrintable());
    }
    request.url = *std::move(target);
    if (!request.url.SameOrigin(origin)) {
      std::erase_if(request.headers, [&](const std::string& header) {
        return header.starts_with("Authorization:") ||
               std::find(host.headers.begin(), host.headers.end(), header) != host.headers.end();
      });
      request.tls.client_certificate.clear();
      request.tls.client_key.clear();
      request.refuse_link_local = true;
    }
  }
}

base::Result<HttpResponse> Registry::Request(Host& host, const std::string& path, std::vector<std::string> headers,
                                             bool content_is_verified, const HttpClient::BodySink& sink,
                                             const std::stop_token& stop) {
  const bool own_authorization = HasHeader(host.config.headers, "authorization");
  headers.insert(headers.end(), host.config.headers.begin(), host.config.headers.end());
  for (int tries = 0;; ++tries) {
    HttpRequest request;
    request.url = host.config.url;
    request.url.path += "/" + reference_.repository + path;
    // Tells a mirror of several registries which one is meant, as containerd does.
    if (!host.config.upstream) request.url.path += "?ns=" + Escape(reference_.domain);
    request.headers = headers;
    request.tls = host.config.tls;
    if (!path.starts_with("/blobs/")) request.total_timeout = kDocumentTimeout;
    std::string authorization;
    {
      const std::lock_guard lock(host.mutex);
      authorization = host.authorization;
    }
    if (!authorization.empty()) request.headers.push_back("Authorization: " + authorization);
    ASSIGN_OR_RETURN(HttpResponse response, Follow(std::move(request), host.config, content_is_verified, sink, stop));
    // Twice: the first answer asks for a token, and a token may have run out during a long pull.
    if (response.status != 401 || own_authorization || tries >= 2) return response;
    auto authenticated = Authenticate(host, response, authorization, stop);
    if (!authenticated.ok()) return std::move(authenticated).error();
  }
}

Status Registry::Authenticate(Host& host, const HttpResponse& refusal, const std::string& used,
                              const std::stop_token& stop) {
  const std::lock_guard lock(host.mutex);
  if (host.authorization != used) return base::Ok();  // another thread just did
  std::optional<Challenge> bearer;
  bool basic = false;
  const auto [begin, end] = refusal.headers.equal_range("www-authenticate");
  for (auto header = begin; header != end; ++header) {
    for (Challenge& challenge : ParseChallenges(header->second)) {
      if (challenge.scheme == "basic") {
        basic = true;
      } else if (challenge.scheme == "bearer" && challenge.parameters.contains("realm")) {
        bearer = std::move(challenge);
      }
    }
  }
  const HostCredentials& credentials = host.credentials;
  if (bearer.has_value()) {
    const bool given = !credentials.registry_token.empty() && used.empty();
    std::string token = credentials.registry_token;
    if (!given) {
      ASSIGN_OR_RETURN(token, FetchToken(host, bearer->parameters, stop));
    }
    host.authorization = "Bearer " + token;
    return base::Ok();
  }
  if (basic && !credentials.basic.empty() && used.empty()) {
    host.authorization = "Basic " + credentials.basic;
    return base::Ok();
  }
  return StatusError(refusal);
}

base::Result<std::string> Registry::FetchToken(const Host& host, const std::map<std::string, std::string>& challenge,
                                               const std::stop_token& stop) {
  const auto parameter = [&](const char* name) {
    const auto found = challenge.find(name);
    return found == challenge.end() ? std::string() : found->second;
  };
  const auto failed = [](std::string why, Code code) { return Error(code, "get a token: " + std::move(why)); };
  auto realm = ParseUrl(parameter("realm"));
  if (!realm.ok()) return failed(realm.error().message(), Code::kUnavailable);
  if (host.config.url.scheme == "https" && realm->scheme != "https") {
    return failed("the token service " + realm->ToPrintable() + " is not on https", Code::kUnavailable);
  }
  std::string scope = parameter("scope");
  if (scope.empty()) scope = "repository:" + reference_.repository + ":pull";

  HttpRequest request;
  request.url = *realm;
  request.tls = host.config.tls;
  if (!realm->SameOrigin(host.config.url)) {
    request.tls.client_certificate.clear();
    request.tls.client_key.clear();
    request.refuse_link_local = true;
  }
  request.total_timeout = kDocumentTimeout;
  if (!host.credentials.identity_token.empty()) {
    request.form = "grant_type=refresh_token&client_id=cri-nspawn&service=" + Escape(parameter("service")) +
                   "&scope=" + Escape(scope) + "&refresh_token=" + Escape(host.credentials.identity_token);
  } else {
    std::string& path = request.url.path;
    path += (path.find('?') == std::string::npos ? "?" : "&");
    path += "service=" + Escape(parameter("service"));
    for (const std::string_view one : base::Split(scope, ' ')) path += "&scope=" + Escape(std::string(one));
    if (!host.credentials.basic.empty()) request.headers.push_back("Authorization: Basic " + host.credentials.basic);
  }

  std::string body;
  const auto sink = [&](const HttpResponse&, std::string_view bytes) -> Status {
    if (body.size() + bytes.size() > kMostTokenBytes) return Error(Code::kDataLoss, "the answer is too long");
    body += bytes;
    return base::Ok();
  };
  Retries retries;
  while (true) {
    body.clear();
    auto response = Follow(request, host.config, false, sink, stop);
    const bool transient =
        response.ok() ? WorthRetrying(response->status) : response.error().code() == Code::kUnavailable;
    if (transient) {
      ASSIGN_OR_RETURN(const bool again, retries.Again(response.ok() ? &*response : nullptr, stop));
      if (again) continue;
    }
    if (!response.ok())
      return AsUnavailable(std::move(response).error()).Wrap("get a token from " + realm->ToPrintable());
    if (response->status == 200) break;
    const bool refused = response->status == 400 || response->status == 401;
    Error error = StatusError(*response);
    if (refused) error = Error(Code::kUnauthenticated, "the credentials are refused" + Detail(*response));
    return std::move(error).Wrap("get a token from " + realm->ToPrintable());
  }
  const auto document = ParseObject(body, "the answer of the token service");
  if (!document.ok()) return failed(document.error().message(), Code::kDataLoss);
  std::string token = StringAt(*document, "token");
  if (token.empty()) token = StringAt(*document, "access_token");
  const bool printable = std::all_of(token.begin(), token.end(), [](char c) { return c > ' ' && c < 0x7F; });
  if (token.empty() || !printable) return failed("the answer of the token service holds none", Code::kDataLoss);
  return token;
}

base::Result<HttpResponse> Registry::FetchDocumentFrom(Host& host, const std::string& path, const char* types,
                                                       bool is_verified, std::string& content,
                                                       const std::stop_token& stop) {
  const auto sink = [&](const HttpResponse&, std::string_view bytes) -> Status {
    if (content.size() + bytes.size() > kMostDocumentBytes) {
      return Error(Code::kResourceExhausted,
                   "the manifest is longer than the " + std::to_string(kMostDocumentBytes) + " bytes allowed");
    }
    content += bytes;
    return base::Ok();
  };
  Retries retries;
  while (true) {
    content.clear();
    auto response = Request(host, path, {"Accept: " + std::string(types)}, is_verified, sink, stop);
    const bool transient =
        response.ok() ? WorthRetrying(response->status) : response.error().code() == Code::kUnavailable;
    if (transient) {
      ASSIGN_OR_RETURN(const bool again, retries.Again(response.ok() ? &*response : nullptr, stop));
      if (again) continue;
    }
    if (!response.ok()) return AsUnavailable(std::move(response).error());
    if (response->status != 200) return StatusError(*response);
    return response;
  }
}

base::Result<ManifestBlob> Registry::FetchManifestFrom(Host& host, const std::string& digest_or_tag,
                                                       const std::stop_token& stop) {
  const bool by_digest = IsDigest(digest_or_tag);
  ManifestBlob manifest;
  ASSIGN_OR_RETURN(const HttpResponse response, FetchDocumentFrom(host, "/manifests/" + digest_or_tag, kManifestTypes,
                                                                  by_digest, manifest.content, stop));
  manifest.content_type = response.Header("content-type");
  const std::string stated = response.Header("docker-content-digest");
  const std::string expected = by_digest ? digest_or_tag : IsDigest(stated) ? stated : Sha256(manifest.content);
  BlobVerifier verifier(expected, manifest.content.size());
  RETURN_IF_ERROR(verifier.Update(manifest.content));
  RETURN_IF_ERROR(verifier.Finish().Wrap("the manifest"));
  manifest.digest = expected;
  return manifest;
}

base::Result<ManifestBlob> Registry::FetchManifest(const std::string& digest_or_tag, std::stop_token stop) {
  const bool by_digest = IsDigest(digest_or_tag);
  std::optional<Error> failure;
  for (const auto& host : hosts_) {
    if (!(by_digest ? host->config.pulls : host->config.resolves)) continue;
    auto manifest = FetchManifestFrom(*host, digest_or_tag, stop).Wrap(host->Name());
    if (manifest.ok() || manifest.error().code() == Code::kCancelled) return manifest;
    base::Log(base::LogLevel::kDebug, manifest.error().message());
    // The registry itself has the last word on the kind of failure, and the mirrors' words come before.
    std::string before = failure.has_value() ? failure->message() + "; " : "";
    failure = Error(manifest.error().code(), before + manifest.error().message());
  }
  if (failure.has_value()) return *std::move(failure);
  return Error(Code::kFailedPrecondition,
               "hosts.toml names no host for " + reference_.domain + " with the capability this needs");
}

base::Result<Index> Registry::FetchReferrers(const std::string& digest, const std::stop_token& stop) {
  for (const auto& host : hosts_) {
    if (!host->config.resolves) continue;
    std::string content;
    const auto response = FetchDocumentFrom(*host, "/referrers/" + digest, kReferrersType, false, content, stop);
    if (response.ok()) {
      auto index = ParseReferrers(content);
      if (index.ok() && !index->manifests.empty()) return index;
    } else if (response.error().code() == Code::kCancelled) {
      return response.error();
    }
    // A registry without this API may answer anything.
  }
  std::string tag = digest;
  std::replace(tag.begin(), tag.end(), ':', '-');
  auto index = FetchManifest(tag, stop);
  if (index.ok()) return ParseReferrers(index->content);
  if (index.error().code() == Code::kNotFound) return Index();
  return std::move(index).error();
}

Status Registry::FetchBlobFrom(Host& host, const Descriptor& blob, BlobProgress& progress, const ByteSink& sink,
                               const std::stop_token& stop) {
  Retries retries;
  uint64_t skip = 0;
  bool started = false;
  // Bytes that came already are not given to the sink again, whatever part of the blob the registry chooses to send.
  const auto body = [&](const HttpResponse& response, std::string_view bytes) -> Status {
    if (!started) {
      started = true;
      const uint64_t have = progress.verifier.received();
      uint64_t from = 0;
      if (response.status == 206) {
        const auto start = RangeStart(response);
        if (!start.has_value() || *start > have) {
          return progress.sink_status = Error(Code::kDataLoss, "the registry sent another range than was asked for");
        }
        from = *start;
      }
      skip = have - from;
      const auto length = base::ParseUnsigned(response.Header("content-length"));
      if (length.has_value() && *length != blob.size - from) {
        return progress.sink_status =
                   Error(Code::kDataLoss, "the registry has " + std::to_string(*length + from) +
                                              " bytes of it, but the manifest states " + std::to_string(blob.size));
      }
    }
    const size_t known = std::min<uint64_t>(skip, bytes.size());
    skip -= known;
    bytes.remove_prefix(known);
    if (bytes.empty()) return base::Ok();
    progress.sink_status = progress.verifier.Update(bytes);
    if (progress.sink_status.ok()) progress.sink_status = sink(bytes);
    return progress.sink_status;
  };
  while (true) {
    const uint64_t before = progress.verifier.received();
    std::vector<std::string> headers;
    if (before > 0) headers.push_back("Range: bytes=" + std::to_string(before) + "-");
    started = false;
    auto response = Request(host, "/blobs/" + blob.digest, std::move(headers), true, body, stop);
    if (!progress.sink_status.ok()) return progress.sink_status;
    const bool progressed = progress.verifier.received() >= before + kWorthwhileBytes;
    if (progressed) retries.Progressed();
    if (response.ok() && response->status / 100 == 2) return progress.verifier.Finish();
    const bool transient = response.ok() ? WorthRetrying(response->status)
                                         : response.error().code() == Code::kUnavailable ||
                                               (response.error().code() == Code::kDeadlineExceeded && progressed);
    if (transient) {
      ASSIGN_OR_RETURN(const bool again, retries.Again(response.ok() ? &*response : nullptr, stop));
      if (again) continue;
    }
    if (!response.ok()) {
      const std::string got =
          std::to_string(progress.verifier.received()) + " of " + std::to_string(blob.size) + " bytes received";
      return AsUnavailable(std::move(response).error()).Wrap(got);
    }
    return StatusError(*response);
  }
}

Status Registry::FetchForeign(const Descriptor& blob, const ByteSink& sink, const std::stop_token& stop) {
  Status status = base::NotFound("not found");
  for (const std::string& text : blob.urls) {
    auto url = ParseUrl(text);
    if (!url.ok()) {
      status = std::move(url).error().WithCode(Code::kDataLoss);
      continue;
    }
    HttpRequest request;
    request.url = *std::move(url);
    request.refuse_link_local = true;
    BlobVerifier verifier(blob.digest, blob.size);
    const auto body = [&](const HttpResponse&, std::string_view bytes) -> Status {
      RETURN_IF_ERROR(verifier.Update(bytes));
      return sink(bytes);
    };
    const std::string name = request.url.ToPrintable();
    auto response = Follow(std::move(request), {}, true, body, stop);
    if (response.ok() && response->status == 200) return verifier.Finish().Wrap(name);
    status = response.ok() ? StatusError(*response).Wrap(name) : AsUnavailable(std::move(response).error()).Wrap(name);
    // What the sink has taken cannot be taken back.
    if (verifier.received() > 0) return status;
  }
  return status;
}

Status Registry::FetchBlob(const Descriptor& blob, const ByteSink& sink, std::stop_token stop) {
  BlobProgress progress(blob);
  std::optional<Error> failure;
  for (size_t i = 0; i < hosts_.size(); ++i) {
    Host& host = *hosts_[i];
    if (!host.config.pulls || host.distrusted) continue;
    Status status = FetchBlobFrom(host, blob, progress, sink, stop).Wrap(host.Name());
    if (status.ok() || status.error().code() == Code::kCancelled) return status;
    base::Log(base::LogLevel::kDebug, "blob " + blob.digest + ": " + status.error().message());
    const bool more = std::any_of(hosts_.begin() + static_cast<ptrdiff_t>(i) + 1, hosts_.end(),
                                  [](const auto& next) { return next->config.pulls && !next->distrusted; });
    const bool bad_content = status.error().code() == Code::kDataLoss;
    if (bad_content && more) {
      host.distrusted = true;
      if (progress.verifier.received() > 0) return std::move(status).error().WithCode(Code::kAborted);
    } else if (!progress.sink_status.ok()) {
      return status;
    }
    progress.sink_status = {};
    std::string before = failure.has_value() ? failure->message() + "; " : "";
    failure = Error(status.error().code(), before + status.error().message());
  }
  if (!failure.has_value()) {
    failure = Error(Code::kFailedPrecondition, "hosts.toml names no host for " + reference_.domain + " to pull from");
  }
  if (failure->code() == Code::kNotFound && !blob.urls.empty() && progress.verifier.received() == 0) {
    return FetchForeign(blob, sink, stop);
  }
  return *std::move(failure);
}

}  // namespace image
