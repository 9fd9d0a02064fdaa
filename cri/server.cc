#include "cri/server.h"

#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <grpcpp/server_posix.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <thread>
#include <vector>

#include "base/fd.h"
#include "base/log.h"
#include "cri/cancellable_calls.h"

namespace cri {
namespace {

// The kubelet takes and sends at most this much in one message.
constexpr int kMostMessageBytes = 16 << 20;

base::Result<base::UniqueFd> Listen(const ServerOptions& options) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (options.socket.empty() || options.socket.size() >= sizeof address.sun_path) {
    return base::InvalidArgument("socket path \"" + options.socket + "\" is empty or longer than 107 characters");
  }
  options.socket.copy(address.sun_path, options.socket.size());
  base::UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) return base::ErrnoError("make a socket");
  // Left over by a daemon that was killed. That no other daemon lives was made sure by the image store's lock.
  if (::unlink(options.socket.c_str()) != 0 && errno != ENOENT) return base::ErrnoError("remove " + options.socket);
  // The file of a bound socket takes over the socket's own mode, so that it is never open to others.
  if (::fchmod(fd.get(), 0600) != 0) return base::ErrnoError("set the mode of " + options.socket);
  if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    return base::ErrnoError("bind " + options.socket);
  }
  if (options.group &&
      (::chown(options.socket.c_str(), 0, *options.group) != 0 || ::chmod(options.socket.c_str(), 0660) != 0)) {
    return base::ErrnoError("give " + options.socket + " to its group");
  }
  if (::listen(fd.get(), SOMAXCONN) != 0) return base::ErrnoError("listen on " + options.socket);
  return fd;
}

class GrpcServer final : public Server {
 public:
  GrpcServer(const ServerOptions& options, base::UniqueFd listener, base::UniqueFd stopping,
             std::unique_ptr<CancellableCalls> calls, std::unique_ptr<grpc::Server> server, RuntimeService& runtime)
      : options_(options),
        runtime_(runtime),
        listener_(std::move(listener)),
        stopping_(std::move(stopping)),
        calls_(std::move(calls)),
        server_(std::move(server)),
        acceptor_([this] { Accept(); }) {}

  ~GrpcServer() override { Stop(std::chrono::milliseconds(0)); }

  void Stop(std::chrono::milliseconds grace) override {
    if (!acceptor_.joinable()) return;
    ::eventfd_write(stopping_.get(), 1);
    acceptor_.join();
    ::unlink(options_.socket.c_str());
    runtime_.CloseEvents();
    server_->Shutdown(std::chrono::system_clock::now() + grace);
    calls_->Shutdown();
    server_->Wait();
  }

 private:
  void Accept() {
    pollfd polled[] = {{listener_.get(), POLLIN, 0}, {stopping_.get(), POLLIN, 0}};
    while (true) {
      if (::poll(polled, 2, -1) < 0) continue;
      if (polled[1].revents != 0) return;
      base::UniqueFd peer(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
      if (!peer) {
        // Out of descriptors: those of other connections must end first; accepting at once again would only spin.
        if (errno == EMFILE || errno == ENFILE) std::this_thread::sleep_for(std::chrono::milliseconds(100));
        continue;
      }
      if (MayConnect(peer.get())) grpc::AddInsecureChannelFromFd(server_.get(), peer.release());
    }
  }

  bool MayConnect(int fd) const {
    ucred credentials{};
    socklen_t length = sizeof credentials;
    if (::getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &length) != 0) return false;
    if (credentials.uid == 0 || (options_.group && IsMember(fd, credentials.gid))) return true;
    base::Log(base::LogLevel::kWarning, "refused a connection of user " + std::to_string(credentials.uid) +
                                            ", process " + std::to_string(credentials.pid));
    return false;
  }

  bool IsMember(int fd, gid_t primary) const {
    std::vector<gid_t> groups(NGROUPS_MAX);
    socklen_t length = groups.size() * sizeof(gid_t);
    if (::getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups.data(), &length) != 0) length = 0;
    groups.resize(length / sizeof(gid_t));
    groups.push_back(primary);
    return std::find(groups.begin(), groups.end(), *options_.group) != groups.end();
  }

  const ServerOptions options_;
  RuntimeService& runtime_;
  const base::UniqueFd listener_;
  const base::UniqueFd stopping_;
  const std::unique_ptr<CancellableCalls> calls_;
  const std::unique_ptr<grpc::Server> server_;
  std::thread acceptor_;
};

}  // namespace

base::Result<std::unique_ptr<Server>> Server::Start(const ServerOptions& options, RuntimeService& runtime,
                                                    ImageService& images, ImageStoreService& store) {
  grpc::ServerBuilder builder;
  builder.SetMaxReceiveMessageSize(kMostMessageBytes);
  // Idle threads cost memory and wake-ups: one waits, others come and go with the calls.
  builder.SetSyncServerOption(grpc::ServerBuilder::NUM_CQS, 1);
  builder.SetSyncServerOption(grpc::ServerBuilder::MIN_POLLERS, 1);
  builder.SetSyncServerOption(grpc::ServerBuilder::MAX_POLLERS, 4);
  builder.SetSyncServerOption(grpc::ServerBuilder::CQ_TIMEOUT_MSEC, 3'600'000);
  builder.RegisterService(&runtime);
  builder.RegisterService(&images);
  builder.RegisterService(&store);
  auto calls = std::make_unique<CancellableCalls>(builder);
  std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (!server) return base::Internal("start the gRPC server");
  calls->Serve(
      runtime, &RuntimeService::RequestExecSync,
      [&runtime](const grpc::ServerContext& context, const v1::ExecSyncRequest& in, v1::ExecSyncResponse& out,
                 const std::stop_token& cancelled) { return runtime.ExecuteSync(context, in, out, cancelled); });
  calls->Serve(
      runtime, &RuntimeService::RequestGetContainerEvents,
      [&runtime](const grpc::ServerContext& context, const v1::GetEventsRequest&,
                 const CancellableCalls::Write<v1::ContainerEventResponse>& write,
                 const std::stop_token& cancelled) { return runtime.FollowEvents(context, write, cancelled); });
  calls->Serve(images, &ImageService::RequestPullImage,
               [&images](const grpc::ServerContext& context, const v1::PullImageRequest& in, v1::PullImageResponse& out,
                         const std::stop_token& cancelled) { return images.Pull(context, in, out, cancelled); });
  calls->Serve(store, &ImageStoreService::RequestPull,
               [&store](const grpc::ServerContext& context, const store_v1::PullRequest& in,
                        const CancellableCalls::Write<store_v1::PullEvent>& write,
                        const std::stop_token& cancelled) { return store.PullImage(context, in, write, cancelled); });
  calls->Serve(store, &ImageStoreService::RequestCheck,
               [&store](const grpc::ServerContext& context, const store_v1::CheckRequest& in,
                        const CancellableCalls::Write<store_v1::CheckedLayer>& write,
                        const std::stop_token& cancelled) { return store.CheckStore(context, in, write, cancelled); });
  calls->Serve(
      store, &ImageStoreService::RequestImport,
      [&store](const grpc::ServerContext& context, const store_v1::ImportRequest& in, store_v1::ImportResponse& out,
               const std::stop_token& cancelled) { return store.ImportImage(context, in, out, cancelled); });
  calls->Serve(
      store, &ImageStoreService::RequestExport,
      [&store](const grpc::ServerContext& context, const store_v1::ExportRequest& in, store_v1::ExportResponse& out,
               const std::stop_token& cancelled) { return store.ExportImage(context, in, out, cancelled); });
  calls->Run();
  ASSIGN_OR_RETURN(base::UniqueFd listener, Listen(options));
  base::UniqueFd stopping(::eventfd(0, EFD_CLOEXEC));
  if (!stopping) return base::ErrnoError("make an eventfd");
  return std::unique_ptr<Server>(std::make_unique<GrpcServer>(options, std::move(listener), std::move(stopping),
                                                              std::move(calls), std::move(server), runtime));
}

}  // namespace cri
