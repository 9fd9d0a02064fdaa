// ExecSync.

#include "cri/rpc.h"
#include "cri/runtime_service.h"

namespace cri {

grpc::Status RuntimeService::ExecuteSync(const grpc::ServerContext& context, const v1::ExecSyncRequest& in,
                                         v1::ExecSyncResponse& out, std::stop_token cancelled) {
  return Answer(RpcKind::kQuery, "ExecSync", [&]() -> base::Status {
    if (in.cmd().empty()) return base::InvalidArgument("the command is empty");
    ASSIGN_OR_RETURN(nspawn::ExecRequest request, runtime_.ExecIn(in.container_id()));
    request.arguments.assign(in.cmd().begin(), in.cmd().end());
    if (in.timeout() > 0) request.timeout = std::chrono::seconds(in.timeout());
    // Nobody reads the answer after the client's deadline: the process must not outlive it either.
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(DeadlineOf(context) - std::chrono::steady_clock::now());
    if (left <= std::chrono::milliseconds(0)) return {base::Code::kDeadlineExceeded, "the deadline is over"};
    if (request.timeout.count() == 0 || left < request.timeout) request.timeout = left;
    ASSIGN_OR_RETURN(nspawn::ProcessOutput output, runtime_.parts.spawner.Exec(request, std::move(cancelled)));
    out.set_exit_code(output.exit_code);
    out.set_stdout(std::move(output.standard_output));
    out.set_stderr(std::move(output.standard_error));
    return base::Ok();
  });
}

}  // namespace cri
