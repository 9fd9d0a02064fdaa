// Exec and attach: a process's streams, its terminal's size and how it ended, over the streams of a client's
// connection.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>

#include "base/call_threads.h"
#include "base/result.h"
#include "cri/streaming/descriptor.h"
#include "cri/streaming/session.h"
#include "nspawn/stream.h"

namespace cri::streaming {

struct CommandOptions {
  bool input = false, output = false, error = false, terminal = false;
  // Whether the client's protocol has a stream for the terminal's size (v3 and later).
  bool resize = false;
  // Whether how it ended is told as a JSON object (v4 and later) or as a text, empty for success.
  bool status_json = false;
  // Whether that tells the exit code: an attached client only hears that its connection has ended well.
  bool exit_code = false;
  std::chrono::milliseconds creation_timeout{0};
};

class CommandSession final : public Session, private StreamHandler {
 public:
  // Connects to the process; runs in a thread that may block.
  using Open = std::function<base::Result<std::unique_ptr<nspawn::Stream>>()>;

  CommandSession(asio::io_context& io, base::CallThreads& calls, std::shared_ptr<Multiplexer> client,
                 const CommandOptions& options, Open open, std::function<void()> on_end);
  ~CommandSession() override;

  void Start(std::string received) override;

 private:
  bool OnOpen(StreamId id, const Headers& headers) override;
  void OnData(StreamId id, std::string_view bytes) override;
  void OnEnd(StreamId id) override;
  void OnReset(StreamId id) override;
  void OnGone(const base::Error& why) override;

  void OpenProcess();
  void Opened(base::Result<std::unique_ptr<nspawn::Stream>> stream);
  void StartOutput(std::unique_ptr<DescriptorReader>& reader, Watched& watched, int fd, std::string_view type);
  void HandleResize(std::string_view bytes);
  void HandleEnd();
  void FinishIfDone();
  void Finish(const base::Result<int>& exit_code);
  void DropStream();
  std::string StatusText(const base::Result<int>& exit_code) const;
  std::optional<StreamId> Find(std::string_view type) const;

  asio::io_context& io_;
  base::CallThreads& calls_;
  const std::shared_ptr<Multiplexer> client_;
  const CommandOptions options_;
  const Open open_;
  const std::function<void()> on_end_;

  std::map<std::string, StreamId, std::less<>> streams_;  // by type
  std::set<StreamId> reset_;                              // of these, by the client
  asio::steady_timer timer_;                              // for the client's streams, then for the last output
  bool opening_ = false;
  bool over_ = false;
  std::string resize_text_;
  std::optional<std::pair<uint16_t, uint16_t>> size_;  // asked for before there was a process

  std::unique_ptr<nspawn::Stream> stream_;
  Watched input_fd_, output_fd_, error_fd_, ended_fd_;
  DescriptorWriter input_;
  std::unique_ptr<DescriptorReader> output_, error_;
  std::optional<base::Result<int>> exit_code_;
};

}  // namespace cri::streaming
