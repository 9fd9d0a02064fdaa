#include "cri/streaming/command_session.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/log.h"

namespace cri::streaming {
namespace {

// What a client has sent and the process has not read yet. More stays in the connection, and the client waits.
constexpr size_t kMostQueuedInput = 64 * 1024;
// After its end a process's output may be held open by children of it that go on: what comes later than this is lost.
constexpr std::chrono::milliseconds kDrainTime{300};
constexpr size_t kMostResizeBytes = 1024;

using Json = nlohmann::ordered_json;

std::string Dump(const Json& json) {
  return json.dump(-1, ' ', false, Json::error_handler_t::replace);
}

// {"Width":80,"Height":24}. Go, which the other implementations are in, takes names in any case.
std::optional<std::pair<uint16_t, uint16_t>> ParseSize(std::string_view text) {
  const Json json = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return {};
  std::pair<uint16_t, uint16_t> size{0, 0};
  for (const auto& [key, value] : json.items()) {
    std::string name = key;
    std::transform(name.begin(), name.end(), name.begin(), [](char c) { return c >= 'A' && c <= 'Z' ? c + 32 : c; });
    if (!value.is_number_unsigned() || value.get<uint64_t>() > UINT16_MAX) continue;
    if (name == "width") size.first = value.get<uint16_t>();
    if (name == "height") size.second = value.get<uint16_t>();
  }
  if (size.first == 0 || size.second == 0) return {};
  return size;
}

}  // namespace

CommandSession::CommandSession(asio::io_context& io, base::CallThreads& calls, std::shared_ptr<Multiplexer> client,
                               const CommandOptions& options, Open open, std::function<void()> on_end)
    : io_(io),
      calls_(calls),
      client_(std::move(client)),
      options_(options),
      open_(std::move(open)),
      on_end_(std::move(on_end)),
      timer_(io),
      input_fd_(io),
      output_fd_(io),
      error_fd_(io),
      ended_fd_(io),
      input_([this] {
        if (input_.queued() <= kMostQueuedInput / 2) client_->Resume();
      }) {}

CommandSession::~CommandSession() {
  DropStream();
}

void CommandSession::Start(std::string received) {
  timer_.expires_after(options_.creation_timeout);
  timer_.async_wait([weak = weak_from_this()](error_code error) {
    const auto self = std::static_pointer_cast<CommandSession>(weak.lock());
    if (error || !self || self->opening_) return;
    self->Finish(base::Error(base::Code::kDeadlineExceeded, "the client did not open its streams in time"));
  });
  client_->Start(*this, std::move(received));
}

std::optional<StreamId> CommandSession::Find(std::string_view type) const {
  const auto found = streams_.find(type);
  if (found == streams_.end()) return {};
  return found->second;
}

bool CommandSession::OnOpen(StreamId id, const Headers& headers) {
  static constexpr std::string_view kTypes[] = {"error", "stdin", "stdout", "stderr", "resize"};
  const std::string_view type = HeaderValue(headers, "streamtype");
  if (std::find(std::begin(kTypes), std::end(kTypes), type) == std::end(kTypes)) return false;
  if (!streams_.emplace(type, id).second) return false;
  const bool complete = Find("error") && (!options_.input || Find("stdin")) && (!options_.output || Find("stdout")) &&
                        (!options_.error || Find("stderr")) &&
                        (!options_.terminal || !options_.resize || Find("resize"));
  if (complete && !opening_) OpenProcess();
  return true;
}

void CommandSession::OpenProcess() {
  opening_ = true;
  timer_.cancel();
  // Shared, since a posted function must be copyable. Where nobody waits for the process any more it ends in another
  // thread than the I/O thread, since that may take a while.
  using Opening = std::shared_ptr<base::Result<std::unique_ptr<nspawn::Stream>>>;
  const auto deliver = [&calls = calls_, weak = weak_from_this()](Opening& opened) {
    if (const auto self = std::static_pointer_cast<CommandSession>(weak.lock())) {
      self->Opened(std::move(*opened));
    } else {
      (void)calls.Run([opened = std::move(opened)] {});
    }
  };
  const base::Status begun = calls_.Run([open = open_, &io = io_, weak = weak_from_this(), deliver] {
    auto opened = std::make_shared<Opening::element_type>(open());
    if (weak.expired()) return;
    asio::post(io, [opened = std::move(opened), deliver]() mutable { deliver(opened); });
  });
  if (begun.ok()) return;
  asio::post(io_,
             [opened = std::make_shared<Opening::element_type>(begun.error()), deliver]() mutable { deliver(opened); });
}

void CommandSession::Opened(base::Result<std::unique_ptr<nspawn::Stream>> stream) {
  if (over_) {
    // The client went while the process was being started.
    if (stream.ok()) (void)calls_.Run([late = std::shared_ptr<nspawn::Stream>(*std::move(stream))] {});
    return;
  }
  if (!stream.ok()) return Finish(std::move(stream).error());
  stream_ = *std::move(stream);
  if (size_) HandleResize({});
  const int input = options_.input ? stream_->Input() : -1;
  if (input >= 0) {
    input_fd_.Watch(input);
    input_.Start(input_fd_);
  } else {
    input_.Stop();
    client_->Resume();
  }
  if (options_.output) StartOutput(output_, output_fd_, stream_->Output(), "stdout");
  if (options_.error) StartOutput(error_, error_fd_, stream_->Error(), "stderr");
  ended_fd_.Watch(stream_->Ended());
  ended_fd_.WhenReadable([this] { HandleEnd(); });
}

void CommandSession::StartOutput(std::unique_ptr<DescriptorReader>& reader, Watched& watched, int fd,
                                 std::string_view type) {
  if (fd < 0) return;
  // A terminal may have one descriptor for both directions, and each can be watched only once.
  const bool shared = input_fd_.watching() && input_fd_.fd() == fd;
  if (!shared) watched.Watch(fd);
  const StreamId id = *Find(type);
  reader = std::make_unique<DescriptorReader>(shared ? input_fd_ : watched, *client_, id, [this, id](int) {
    client_->End(id);
    FinishIfDone();
  });
  if (reset_.contains(id)) reader->Discard();
  reader->Start();
}

void CommandSession::OnData(StreamId id, std::string_view bytes) {
  if (id == Find("stdin") && options_.input) {
    input_.Write(bytes);
    if (input_.queued() >= kMostQueuedInput) client_->Pause();
  } else if (id == Find("resize") && options_.terminal) {
    HandleResize(bytes);
  }
}

void CommandSession::HandleResize(std::string_view bytes) {
  for (const char byte : bytes) {
    resize_text_.push_back(byte);
    if (byte != '}' && resize_text_.size() < kMostResizeBytes) continue;
    if (const auto size = ParseSize(resize_text_)) size_ = size;
    resize_text_.clear();
  }
  if (!size_ || !stream_) return;
  const base::Status status = stream_->Resize(size_->first, size_->second);
  if (!status.ok()) base::Log(base::LogLevel::kDebug, "resize a terminal: " + status.error().message());
  size_.reset();
}

void CommandSession::OnEnd(StreamId id) {
  if (id != Find("stdin")) return;
  input_.End([this] {
    // Where a terminal has one descriptor for both directions, its output is still read from that.
    if (stream_->Input() != stream_->Output()) input_fd_.Forget();
    stream_->CloseInput();
  });
}

void CommandSession::OnReset(StreamId id) {
  OnEnd(id);
  reset_.insert(id);
  if (id == Find("stdout") && output_) output_->Discard();
  if (id == Find("stderr") && error_) error_->Discard();
}

void CommandSession::HandleEnd() {
  exit_code_ = stream_->ExitCode();
  input_.Stop();
  client_->Resume();
  timer_.expires_after(kDrainTime);
  timer_.async_wait([weak = weak_from_this()](error_code error) {
    const auto self = std::static_pointer_cast<CommandSession>(weak.lock());
    if (error || !self) return;
    if (self->output_) self->output_->Drain();
    if (self->error_) self->error_->Drain();
  });
  FinishIfDone();
}

void CommandSession::FinishIfDone() {
  if (!exit_code_ || (output_ && !output_->ended()) || (error_ && !error_->ended())) return;
  Finish(*exit_code_);
}

std::string CommandSession::StatusText(const base::Result<int>& exit_code) const {
  if (!exit_code.ok()) {
    std::string message = exit_code.error().message();
    if (!options_.status_json) return message;
    return Dump({{"metadata", Json::object()},
                 {"status", "Failure"},
                 {"message", message},
                 {"reason", "InternalError"},
                 {"code", 500}});
  }
  if (*exit_code == 0 || !options_.exit_code) {
    return options_.status_json ? Dump({{"metadata", Json::object()}, {"status", "Success"}}) : "";
  }
  const std::string code = std::to_string(*exit_code);
  std::string message = "command terminated with exit code " + code;
  if (!options_.status_json) return message;
  return Dump({{"metadata", Json::object()},
               {"status", "Failure"},
               {"message", message},
               {"reason", "NonZeroExitCode"},
               {"details", {{"causes", Json::array({{{"reason", "ExitCode"}, {"message", code}}})}}}});
}

void CommandSession::Finish(const base::Result<int>& exit_code) {
  for (const std::string_view type : {"stdout", "stderr"}) {
    if (const auto id = Find(type)) client_->End(*id);
  }
  if (const auto id = Find("error")) {
    const auto text = std::make_shared<std::string>(StatusText(exit_code));
    if (!text->empty()) client_->Write(*id, *text, [text] {});
    client_->End(*id);
  }
  for (const std::string_view type : {"stdin", "resize"}) {
    if (const auto id = Find(type)) client_->End(*id);
  }
  client_->Finish();
  DropStream();
  on_end_();
}

void CommandSession::OnGone(const base::Error& why) {
  const bool protocol = why.code() == base::Code::kInvalidArgument;
  base::Log(protocol ? base::LogLevel::kWarning : base::LogLevel::kDebug,
            "a streaming session ended: " + why.message());
  DropStream();
  on_end_();
}

void CommandSession::DropStream() {
  over_ = true;
  timer_.cancel();
  input_.Stop();
  for (Watched* each : {&input_fd_, &output_fd_, &error_fd_, &ended_fd_}) each->Forget();
  if (!stream_) return;
  // Ending a command may take a while.
  (void)calls_.Run([stream = std::shared_ptr<nspawn::Stream>(std::move(stream_))] {});
}

}  // namespace cri::streaming
