// A client of the distribution API (https://github.com/opencontainers/distribution-spec) for one repository.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "image/hosts.h"
#include "image/http.h"
#include "image/reference.h"
#include "image/source.h"
#include "image/store.h"

namespace image {

// Tries the registry's hosts in their order: mirrors first, and what one does not have or does not answer, the next is
// asked for. An answer of 429 or 5xx and a broken connection are tried again a few times with growing pauses, a blob
// from where it broke off. Credentials go to the registry itself, or to the host that they name, and to the token
// service that this host names; a redirect to another host gets none. Thread-safe.
class Registry : public Source {
 public:
  Registry(const Reference& reference, std::vector<RegistryHost> hosts, const Credentials& credentials,
           std::chrono::seconds idle_timeout);
  ~Registry() override;

  base::Result<ManifestBlob> FetchManifest(const std::string& digest_or_tag, std::stop_token stop) override;
  base::Status FetchBlob(const Descriptor& blob, const ByteSink& sink, std::stop_token stop) override;
  // What refers to the manifest with this digest: by the referrers API or, where the registry does not have that, by
  // the tag that stands in for it. Of a long list the first page. Nobody vouches for what it says.
  base::Result<Index> FetchReferrers(const std::string& digest, const std::stop_token& stop);

 private:
  struct Host;
  struct BlobProgress;

  base::Result<HttpResponse> Request(Host& host, const std::string& path, std::vector<std::string> headers,
                                     bool content_is_verified, const HttpClient::BodySink& sink,
                                     const std::stop_token& stop);
  base::Result<HttpResponse> Follow(HttpRequest request, const RegistryHost& host, bool content_is_verified,
                                    const HttpClient::BodySink& sink, const std::stop_token& stop);
  base::Status Authenticate(Host& host, const HttpResponse& refusal, const std::string& used,
                            const std::stop_token& stop);
  base::Result<std::string> FetchToken(const Host& host, const std::map<std::string, std::string>& challenge,
                                       const std::stop_token& stop);
  base::Result<HttpResponse> FetchDocumentFrom(Host& host, const std::string& path, const char* types, bool is_verified,
                                               std::string& content, const std::stop_token& stop);
  base::Result<ManifestBlob> FetchManifestFrom(Host& host, const std::string& digest_or_tag,
                                               const std::stop_token& stop);
  base::Status FetchBlobFrom(Host& host, const Descriptor& blob, BlobProgress& progress, const ByteSink& sink,
                             const std::stop_token& stop);
  base::Status FetchForeign(const Descriptor& blob, const ByteSink& sink, const std::stop_token& stop);

  const Reference reference_;
  HttpClient http_;
  std::vector<std::unique_ptr<Host>> hosts_;
};

}  // namespace image
