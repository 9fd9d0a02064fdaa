// ExecSync.

#include <algorithm>

#include "cri/rpc.h"
#include "cri/runtime_service.h"

namespace cri {
namespace {

// A kubelet and crictl take messages of 16 MiB, the rest of the answer included.
constexpr size_t kMostOutput = (size_t{16} << 20) - 4096;

// Cuts off what would make the answer too large to be received: each stream is left at least half of the room.
void FitIntoMessage(nspawn::ProcessOutput& output) {
  std::string& out = output.standard_output;
  std::string& error = output.standard_error;
  const size_t beside_output = kMostOutput - std::min(out.size(), kMostOutput / 2);
  error.resize(std::min(error.size(), beside_output));
  out.resize(std::min(out.size(), kMostOutput - error.size()));
}

}  // namespace

grpc::Status RuntimeService::ExecuteSync(const grpc::ServerContext& context, const v1::ExecSyncRequest& in,
                                         v1::ExecSyncResponse& out, std::stop_token cancelled) {
  return Answer(context, RpcKind::kQuery, "ExecSync", [&]() -> base::Status {
    if (in.cmd().empty()) return base::InvalidArgument("the command is empty");
    ASSIGN_OR_RETURN(nspawn::ExecRequest request, runtime_.ExecIn(in.container_id()));
    request.arguments.assign(in.cmd().begin(), in.cmd().end());
    request.timeout = TimeoutOf(in.timeout());
    // Nobody reads the answer after the client's deadline: the process must not outlive it either.
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(DeadlineOf(context) - std::chrono::steady_clock::now());
    if (left <= std::chrono::milliseconds(0)) return {base::Code::kDeadlineExceeded, "the deadline is over"};
    if (request.timeout.count() == 0 || left < request.timeout) request.timeout = left;
    ASSIGN_OR_RETURN(nspawn::ProcessOutput output, runtime_.parts.spawner.Exec(request, std::move(cancelled)));
    FitIntoMessage(output);
    out.set_exit_code(output.exit_code);
    out.set_stdout(std::move(output.standard_output));
    out.set_stderr(std::move(output.standard_error));
    return base::Ok();
  });
}

}  // namespace cri
