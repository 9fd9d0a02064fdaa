// Connections to ports in a pod, each over two streams of a client's connection: its data, and a text when it failed.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>

#include "base/call_threads.h"
#include "base/fd.h"
#include "base/result.h"
#include "cri/streaming/descriptor.h"
#include "cri/streaming/session.h"

namespace cri::streaming {

class PortForwardSession final : public Session, private StreamHandler {
 public:
  // Gives a socket that is connected to a port in the pod; runs in a thread that may block.
  using Connect = std::function<base::Result<base::UniqueFd>(uint16_t port)>;

  PortForwardSession(asio::io_context& io, base::CallThreads& calls, std::shared_ptr<Multiplexer> client,
                     std::chrono::milliseconds creation_timeout, Connect connect, std::function<void()> on_end);

  void Start(std::string received) override;

 private:
  // One connection. Its streams belong together by the client's requestID.
  struct Forward {
    Forward(asio::io_context& io, std::function<void()> on_room) : watched(io), writer(std::move(on_room)) {}
    uint16_t port = 0;
    std::optional<StreamId> data, error;
    std::chrono::steady_clock::time_point opened;
    bool client_ended = false, pod_ended = false;
    base::UniqueFd socket;
    Watched watched;
    DescriptorWriter writer;
    std::unique_ptr<DescriptorReader> reader;
  };
  using Forwards = std::map<std::string, std::shared_ptr<Forward>, std::less<>>;  // by requestID

  bool OnOpen(StreamId id, const Headers& headers) override;
  void OnData(StreamId id, std::string_view bytes) override;
  void OnEnd(StreamId id) override;
  void OnReset(StreamId id) override;
  void OnGone(const base::Error& why) override;

  void ConnectTo(const std::string& request, const std::shared_ptr<Forward>& forward);
  void Connected(const std::string& request, base::Result<base::UniqueFd> socket);
  void Failed(const std::string& request, const std::string& why);
  void EndIfDone(const std::string& request);
  void End(const std::string& request);
  size_t Queued() const;
  void ResumeIfRoom();
  void WatchIncomplete();
  std::shared_ptr<Forward> FindData(StreamId id, std::string& request) const;

  asio::io_context& io_;
  base::CallThreads& calls_;
  const std::shared_ptr<Multiplexer> client_;
  const std::chrono::milliseconds creation_timeout_;
  const Connect connect_;
  const std::function<void()> on_end_;
  Forwards forwards_;
  std::map<StreamId, std::string> requests_;  // of the data streams
  bool watching_incomplete_ = false;
  asio::steady_timer incomplete_timer_;
};

}  // namespace cri::streaming
