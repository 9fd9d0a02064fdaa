#include "cri/streaming/port_forward_session.h"

#include <sys/socket.h>

#include <algorithm>
#include <cstring>

#include "base/log.h"
#include "base/text.h"

namespace cri::streaming {
namespace {

// What the client has sent for all connections and the pod has not read yet. One that reads slowly holds up the others
// only when it is this far behind: SPDY as the clients speak it has no flow control for a single stream.
constexpr size_t kMostQueued = 2 << 20;
constexpr size_t kMostRequestIdBytes = 64;

}  // namespace

PortForwardSession::PortForwardSession(asio::io_context& io, base::CallThreads& calls,
                                       std::shared_ptr<Multiplexer> client, std::chrono::milliseconds creation_timeout,
                                       Connect connect, std::function<void()> on_end)
    : io_(io),
      calls_(calls),
      client_(std::move(client)),
      creation_timeout_(creation_timeout),
      connect_(std::move(connect)),
      on_end_(std::move(on_end)),
      incomplete_timer_(io) {}

void PortForwardSession::Start(std::string received) {
  client_->Start(*this, std::move(received));
}

bool PortForwardSession::OnOpen(StreamId id, const Headers& headers) {
  const auto port = base::ParseUnsigned(HeaderValue(headers, "port"));
  const std::string_view type = HeaderValue(headers, "streamtype");
  const bool is_data = type == "data";
  if (!port || *port == 0 || *port > UINT16_MAX || (!is_data && type != "error")) return false;
  // Clients older than the requestID open the error stream and at once the data stream.
  std::string request(HeaderValue(headers, "requestid"));
  if (request.empty()) request = std::to_string(is_data ? id - 2 : id);
  if (request.size() > kMostRequestIdBytes) return false;

  auto& forward = forwards_[request];
  if (!forward) {
    forward = std::make_shared<Forward>(io_, [this] { ResumeIfRoom(); });
    forward->port = static_cast<uint16_t>(*port);
    forward->opened = std::chrono::steady_clock::now();
    WatchIncomplete();
  }
  auto& stream = is_data ? forward->data : forward->error;
  if (stream || forward->port != *port) return false;
  stream = id;
  if (is_data) requests_[id] = request;
  if (forward->data && forward->error) ConnectTo(request, forward);
  return true;
}

void PortForwardSession::ConnectTo(const std::string& request, const std::shared_ptr<Forward>& forward) {
  // Shared, since a posted function must be copyable.
  using Connection = std::shared_ptr<base::Result<base::UniqueFd>>;
  const std::weak_ptr<Forward> wanted = forward;
  const auto deliver = [request, weak = weak_from_this(), wanted](const Connection& socket) {
    const auto self = std::static_pointer_cast<PortForwardSession>(weak.lock());
    if (!self) return;
    // The client may have given it up, and even used its id again.
    const auto found = self->forwards_.find(request);
    if (found != self->forwards_.end() && found->second == wanted.lock()) self->Connected(request, std::move(*socket));
  };
  const base::Status begun = calls_.Run([connect = connect_, port = forward->port, &io = io_, wanted, deliver] {
    if (wanted.expired()) return;
    asio::post(io, [socket = std::make_shared<Connection::element_type>(connect(port)), deliver] { deliver(socket); });
  });
  if (begun.ok()) return;
  asio::post(io_, [socket = std::make_shared<Connection::element_type>(begun.error()), deliver] { deliver(socket); });
}

void PortForwardSession::Connected(const std::string& request, base::Result<base::UniqueFd> socket) {
  if (!socket.ok()) return Failed(request, socket.error().message());
  Forward& forward = *forwards_.at(request);
  forward.socket = *std::move(socket);
  forward.watched.Watch(forward.socket.get());
  forward.writer.Start(forward.watched);
  forward.reader = std::make_unique<DescriptorReader>(
      forward.watched, *client_, *forward.data, [this, request, &forward](int error) {
        if (error != 0) return Failed(request, std::strerror(error));  // NOLINT(concurrency-mt-unsafe)
        forward.pod_ended = true;
        client_->End(*forward.data);
        // Older clients wait for the end of the error stream before they end the data stream.
        client_->End(*forward.error);
        EndIfDone(request);
      });
  forward.reader->Start();
}

std::shared_ptr<PortForwardSession::Forward> PortForwardSession::FindData(StreamId id, std::string& request) const {
  const auto found = requests_.find(id);
  if (found == requests_.end()) return nullptr;
  request = found->second;
  return forwards_.at(request);
}

void PortForwardSession::OnData(StreamId id, std::string_view bytes) {
  std::string request;
  const auto forward = FindData(id, request);
  if (!forward) return;
  forward->writer.Write(bytes);
  if (Queued() >= kMostQueued) client_->Pause();
}

size_t PortForwardSession::Queued() const {
  size_t queued = 0;
  for (const auto& [request, forward] : forwards_) queued += forward->writer.queued();
  return queued;
}

void PortForwardSession::ResumeIfRoom() {
  if (Queued() <= kMostQueued / 2) client_->Resume();
}

void PortForwardSession::OnEnd(StreamId id) {
  std::string request;
  const auto forward = FindData(id, request);
  if (!forward) return;
  forward->client_ended = true;
  forward->writer.End([this, request, raw = forward.get()] {
    ::shutdown(raw->socket.get(), SHUT_WR);
    EndIfDone(request);
  });
  EndIfDone(request);
}

void PortForwardSession::OnReset(StreamId id) {
  std::string request;
  if (FindData(id, request)) End(request);
}

void PortForwardSession::EndIfDone(const std::string& request) {
  const auto found = forwards_.find(request);
  if (found == forwards_.end()) return;
  const Forward& forward = *found->second;
  if (forward.pod_ended && ((forward.client_ended && forward.writer.queued() == 0) || !client_->CanHalfClose())) {
    End(request);
  }
}

void PortForwardSession::Failed(const std::string& request, const std::string& why) {
  const auto forward = forwards_.at(request);
  const auto text = std::make_shared<std::string>("forwarding port " + std::to_string(forward->port) + ": " + why);
  base::Log(base::LogLevel::kDebug, *text);
  if (forward->error) client_->Write(*forward->error, *text, [text] {});
  if (forward->error) client_->End(*forward->error);
  if (forward->data) client_->Reset(*forward->data);
  End(request);
}

void PortForwardSession::End(const std::string& request) {
  const auto found = forwards_.find(request);
  if (found == forwards_.end()) return;
  const std::shared_ptr<Forward> forward = found->second;
  forward->writer.Stop();
  forward->watched.Forget();
  forward->socket.reset();
  if (forward->data) requests_.erase(*forward->data);
  if (forward->error) client_->End(*forward->error);
  forwards_.erase(found);
  // It may be called from within the connection's own reader or writer.
  asio::post(io_, [forward] {});
  ResumeIfRoom();
  // Over a WebSocket no new connections can be opened.
  if (forwards_.empty() && !client_->CanHalfClose()) {
    client_->Finish();
    on_end_();
  }
}

// A connection of which the client has opened one stream and does not open the other.
void PortForwardSession::WatchIncomplete() {
  if (watching_incomplete_) return;
  watching_incomplete_ = true;
  incomplete_timer_.expires_after(creation_timeout_);
  incomplete_timer_.async_wait([weak = weak_from_this()](error_code error) {
    const auto self = std::static_pointer_cast<PortForwardSession>(weak.lock());
    if (error || !self) return;
    self->watching_incomplete_ = false;
    const auto oldest = std::chrono::steady_clock::now() - self->creation_timeout_;
    std::vector<std::string> late;
    bool incomplete = false;
    for (const auto& [request, forward] : self->forwards_) {
      if (forward->data && forward->error) continue;
      if (forward->opened <= oldest) {
        late.push_back(request);
      } else {
        incomplete = true;
      }
    }
    for (const std::string& request : late) self->Failed(request, "the client did not open both streams in time");
    if (incomplete) self->WatchIncomplete();
  });
}

void PortForwardSession::OnGone(const base::Error& why) {
  const bool protocol = why.code() == base::Code::kInvalidArgument;
  base::Log(protocol ? base::LogLevel::kWarning : base::LogLevel::kDebug, "a port forwarding ended: " + why.message());
  incomplete_timer_.cancel();
  forwards_.clear();
  requests_.clear();
  on_end_();
}

}  // namespace cri::streaming
