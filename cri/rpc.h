// What every RPC shares: its log line, its deadline, and the answer made of a base::Status.
#pragma once

#include <grpcpp/server_context.h>
#include <grpcpp/support/status.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <string_view>

#include "base/result.h"

namespace cri {

// The gRPC status of `status`: the same code, the message with anything unprintable escaped.
grpc::Status ToGrpc(const base::Status& status);

// How loudly a successful call is logged. Those that a kubelet repeats every second are kQuery.
enum class RpcKind { kChange, kQuery };

// Serves one call: runs `handler` in a span below the client's, and logs its name, duration and error; turns exceptions
// that no layer should have let through into INTERNAL.
grpc::Status Answer(const grpc::ServerContext& context, RpcKind kind, std::string_view rpc,
                    const std::function<base::Status()>& handler);

// What a request says in seconds, but never negative and at most a year: more is a mistake of somebody's arithmetic,
// and what is counted with it would overflow.
std::chrono::seconds TimeoutOf(int64_t seconds);

// When the client stops waiting; far in the future for a call without a deadline.
std::chrono::steady_clock::time_point DeadlineOf(const grpc::ServerContextBase& context);

}  // namespace cri
