#include "cri/rpc.h"

#include <algorithm>
#include <exception>
#include <string>

#include "base/log.h"
#include "base/text.h"
#include "base/trace.h"

namespace cri {

using base::LogLevel;

grpc::Status ToGrpc(const base::Status& status) {
  if (status.ok()) return grpc::Status::OK;
  return {static_cast<grpc::StatusCode>(status.error().code()), base::Printable(status.error().message(), 8192)};
}

namespace {

// The client's span, which a kubelet that traces sends along.
base::TraceContext CallerOf(const grpc::ServerContext& context) {
  const auto header = context.client_metadata().find("traceparent");
  if (header == context.client_metadata().end()) return {};
  return base::ParseTraceParent({header->second.data(), header->second.size()}).value_or(base::TraceContext());
}

}  // namespace

grpc::Status Answer(const grpc::ServerContext& context, RpcKind kind, std::string_view rpc,
                    const std::function<base::Status()>& handler) {
  const base::LogScope scope;
  const base::TraceParent caller(base::Tracing() ? CallerOf(context) : base::TraceContext());
  base::TraceSpan span("rpc", rpc);
  base::AddLogField("CRI_RPC", rpc);
  const auto begin = std::chrono::steady_clock::now();
  base::Status status;
  try {
    status = handler();
  } catch (const std::exception& exception) {
    status = base::Internal(std::string("BUG: unexpected exception: ") + exception.what());
  }
  const auto took = std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() - begin);
  const std::string duration = std::to_string(took.count());
  if (!status.ok()) {
    span.Fail(status.error().message());
    // Asking for what is gone is everyday business of a kubelet.
    const bool gone = status.error().code() == base::Code::kNotFound && kind == RpcKind::kQuery;
    base::Log(gone ? LogLevel::kDebug : LogLevel::kWarning, std::string(rpc) + " failed: " + status.error().message(),
              {{"DURATION_USEC", duration}});
  } else {
    base::Log(kind == RpcKind::kChange ? LogLevel::kInfo : LogLevel::kDebug, std::string(rpc) + " done",
              {{"DURATION_USEC", duration}});
  }
  return ToGrpc(status);
}

std::chrono::seconds TimeoutOf(int64_t seconds) {
  return std::clamp<std::chrono::seconds>(std::chrono::seconds(seconds), std::chrono::seconds(0),
                                          std::chrono::hours(24 * 365));
}

std::chrono::steady_clock::time_point DeadlineOf(const grpc::ServerContextBase& context) {
  using std::chrono::system_clock;
  const auto never = std::chrono::steady_clock::now() + std::chrono::hours(24 * 365);
  const auto deadline = context.deadline();
  if (deadline == system_clock::time_point::max()) return never;
  return std::min(never,
                  std::chrono::steady_clock::now() +
                      std::chrono::duration_cast<std::chrono::steady_clock::duration>(deadline - system_clock::now()));
}

}  // namespace cri
