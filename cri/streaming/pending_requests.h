// Requests that have been answered with a URL and wait for their client to come.
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <variant>

#include "base/result.h"
#include "proto/runtime.pb.h"

namespace cri::streaming {

using Request = std::variant<runtime::v1::ExecRequest, runtime::v1::AttachRequest, runtime::v1::PortForwardRequest>;

// "exec", "attach" or "portforward": the first part of the URL's path.
std::string_view RequestKind(const Request& request);

// Thread-safe.
class PendingRequests {
 public:
  static constexpr size_t kMost = 1000;
  static constexpr std::chrono::minutes kLifetime{1};

  using Clock = std::function<std::chrono::steady_clock::time_point()>;
  explicit PendingRequests(Clock now = std::chrono::steady_clock::now) : now_(std::move(now)) {}

  // Gives the token under which the request can be taken, once. kResourceExhausted when too many wait.
  base::Result<std::string> Add(Request request);
  // Nothing for a token that is not known, was used, has expired, or belongs to a request of another kind: it is void
  // in each case.
  std::optional<Request> Take(std::string_view kind, std::string_view token);

 private:
  struct Pending {
    Request request;
    std::chrono::steady_clock::time_point expires;
  };

  const Clock now_;
  std::mutex mutex_;
  std::map<std::string, Pending, std::less<>> pending_;
};

}  // namespace cri::streaming
