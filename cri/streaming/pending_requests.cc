#include "cri/streaming/pending_requests.h"

#include "base/text.h"

namespace cri::streaming {
namespace {

constexpr size_t kTokenBytes = 32;

}  // namespace

std::string_view RequestKind(const Request& request) {
  static constexpr std::string_view kKinds[] = {"exec", "attach", "portforward"};
  return kKinds[request.index()];
}

base::Result<std::string> PendingRequests::Add(Request request) {
  std::string token = base::RandomHex(kTokenBytes);
  const auto now = now_();
  const std::lock_guard lock(mutex_);
  std::erase_if(pending_, [&](const auto& each) { return each.second.expires <= now; });
  if (pending_.size() >= kMost) {
    return base::Error(base::Code::kResourceExhausted,
                       "too many exec, attach and port-forward requests wait for their clients");
  }
  pending_.emplace(token, Pending{std::move(request), now + kLifetime});
  return token;
}

std::optional<Request> PendingRequests::Take(std::string_view kind, std::string_view token) {
  const auto now = now_();
  const std::lock_guard lock(mutex_);
  const auto found = pending_.find(token);
  if (found == pending_.end()) return {};
  Pending pending = std::move(found->second);
  pending_.erase(found);
  if (pending.expires <= now || RequestKind(pending.request) != kind) return {};
  return std::move(pending.request);
}

}  // namespace cri::streaming
