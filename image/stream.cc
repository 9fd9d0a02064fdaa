#include "image/stream.h"

#include <zlib.h>
#include <zstd.h>

#include <vector>

namespace image {
namespace {

using base::Code;
using base::Error;

constexpr size_t kOutputBytes = size_t{256} << 10;

Error Broken(std::string_view format, std::string_view why) {
  return {Code::kDataLoss, "the " + std::string(format) + " data is broken: " + std::string(why)};
}

// One or more gzip members, as RFC 1952 allows.
class GzipReader : public ByteReader {
 public:
  explicit GzipReader(ByteReader& input) : input_(input), output_(kOutputBytes) {}
  ~GzipReader() override { ::inflateEnd(&state_); }
  GzipReader(const GzipReader&) = delete;
  GzipReader& operator=(const GzipReader&) = delete;

  base::Result<std::string_view> Next() override {
    if (!started_) {
      if (::inflateInit2(&state_, 15 + 16) != Z_OK) return Error(Code::kResourceExhausted, "out of memory");
      started_ = true;
    }
    state_.next_out = output_.data();
    state_.avail_out = static_cast<unsigned>(output_.size());
    while (state_.avail_out > 0) {
      if (state_.avail_in == 0) {
        // What is decompressed already is passed on before waiting for more.
        ASSIGN_OR_RETURN(const std::string_view piece, input_.Next());
        if (piece.empty()) {
          if (!member_ended_) return Broken("gzip", "it is cut off");
          break;
        }
        state_.next_in = reinterpret_cast<unsigned char*>(const_cast<char*>(piece.data()));
        state_.avail_in = static_cast<unsigned>(piece.size());
      }
      if (member_ended_) {
        if (::inflateReset(&state_) != Z_OK) return Broken("gzip", "it cannot be continued");
        member_ended_ = false;
      }
      const int outcome = ::inflate(&state_, Z_NO_FLUSH);
      if (outcome == Z_STREAM_END) {
        member_ended_ = true;
      } else if (outcome != Z_OK && outcome != Z_BUF_ERROR) {
        return Broken("gzip", state_.msg == nullptr ? "unknown error" : state_.msg);
      }
    }
    return std::string_view(reinterpret_cast<char*>(output_.data()), output_.size() - state_.avail_out);
  }

 private:
  ByteReader& input_;
  std::vector<unsigned char> output_;
  z_stream state_{};
  bool started_ = false;
  bool member_ended_ = false;
};

class ZstdReader : public ByteReader {
 public:
  explicit ZstdReader(ByteReader& input)
      : input_(input), output_(kOutputBytes), state_(ZSTD_createDStream(), &ZSTD_freeDStream) {}

  base::Result<std::string_view> Next() override {
    if (!state_) return Error(Code::kResourceExhausted, "out of memory");
    ZSTD_outBuffer out{output_.data(), output_.size(), 0};
    while (out.pos < out.size) {
      if (in_.pos == in_.size && !flushing_) {
        ASSIGN_OR_RETURN(const std::string_view piece, input_.Next());
        if (piece.empty()) {
          if (!frame_ended_) return Broken("zstd", "it is cut off");
          break;
        }
        in_ = {piece.data(), piece.size(), 0};
      }
      const size_t outcome = ZSTD_decompressStream(state_.get(), &out, &in_);
      if (ZSTD_isError(outcome) != 0) return Broken("zstd", ZSTD_getErrorName(outcome));
      frame_ended_ = outcome == 0;
      // A full output may mean that more of it is waiting inside.
      flushing_ = out.pos == out.size && !frame_ended_;
    }
    return std::string_view(output_.data(), out.pos);
  }

 private:
  ByteReader& input_;
  std::vector<char> output_;
  std::unique_ptr<ZSTD_DStream, decltype(&ZSTD_freeDStream)> state_;
  ZSTD_inBuffer in_{nullptr, 0, 0};
  bool frame_ended_ = false;
  bool flushing_ = false;
};

// Gives back the bytes by which the format was recognized, then the rest.
class PrefixedReader : public ByteReader {
 public:
  PrefixedReader(std::string prefix, ByteReader& input) : prefix_(std::move(prefix)), input_(input) {}
  base::Result<std::string_view> Next() override {
    if (!prefix_given_) {
      prefix_given_ = true;
      if (!prefix_.empty()) return std::string_view(prefix_);
    }
    return input_.Next();
  }

 private:
  const std::string prefix_;
  bool prefix_given_ = false;
  ByteReader& input_;
};

class DetectingReader : public ByteReader {
 public:
  explicit DetectingReader(ByteReader& input) : input_(input) {}

  base::Result<std::string_view> Next() override {
    if (!reader_) RETURN_IF_ERROR(Detect());
    return reader_->Next();
  }

 private:
  base::Status Detect() {
    std::string prefix;
    while (prefix.size() < 4) {
      ASSIGN_OR_RETURN(const std::string_view piece, input_.Next());
      if (piece.empty()) break;
      prefix += piece;
    }
    using namespace std::string_view_literals;
    const std::string_view start = prefix;
    const bool gzip = start.starts_with("\x1F\x8B\x08"sv);
    // A zstd stream may begin with a skippable frame (RFC 8878), whose first byte is 0x50 to 0x5F.
    const bool skippable = start.size() >= 4 && (start[0] & 0xF0) == 0x50 && start.substr(1, 3) == "\x2A\x4D\x18"sv;
    const bool zstd = skippable || start.starts_with("\x28\xB5\x2F\xFD"sv);
    prefixed_ = std::make_unique<PrefixedReader>(std::move(prefix), input_);
    if (gzip) {
      reader_ = std::make_unique<GzipReader>(*prefixed_);
    } else if (zstd) {
      reader_ = std::make_unique<ZstdReader>(*prefixed_);
    } else {
      reader_ = std::move(prefixed_);
    }
    return base::Ok();
  }

  ByteReader& input_;
  std::unique_ptr<ByteReader> prefixed_;
  std::unique_ptr<ByteReader> reader_;
};

}  // namespace

base::Status ByteQueue::Push(std::string_view bytes) {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, stop_, [&] { return abandoned_ || bytes_ < most_bytes_; });
  if (abandoned_) return Error(Code::kAborted, "the reader has stopped");
  if (stop_.stop_requested()) return Error(Code::kCancelled, "cancelled");
  bytes_ += bytes.size();
  chunks_.emplace_back(bytes);
  changed_.notify_all();
  return base::Ok();
}

void ByteQueue::Close(base::Status status) {
  const std::lock_guard lock(mutex_);
  closed_ = true;
  status_ = std::move(status);
  changed_.notify_all();
}

base::Result<std::string_view> ByteQueue::Next() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, stop_, [&] { return closed_ || !chunks_.empty(); });
  if (stop_.stop_requested()) return Error(Code::kCancelled, "cancelled");
  if (chunks_.empty()) {
    if (!status_.ok()) return status_.error();
    return std::string_view();
  }
  current_ = std::move(chunks_.front());
  chunks_.pop_front();
  bytes_ -= current_.size();
  changed_.notify_all();
  return std::string_view(current_);
}

void ByteQueue::Abandon() {
  const std::lock_guard lock(mutex_);
  abandoned_ = true;
  chunks_.clear();
  changed_.notify_all();
}

std::unique_ptr<ByteReader> Decompress(ByteReader& input) {
  return std::make_unique<DetectingReader>(input);
}

base::Result<std::string_view> DigestingReader::Next() {
  ASSIGN_OR_RETURN(const std::string_view piece, input_.Next());
  bytes_ += piece.size();
  if (bytes_ > most_bytes_) {
    return Error(Code::kResourceExhausted,
                 "unpacks to more than the " + std::to_string(most_bytes_) + " bytes allowed");
  }
  hasher_.Update(piece);
  return piece;
}

base::Result<std::string> DigestingReader::Finish() {
  while (true) {
    ASSIGN_OR_RETURN(const std::string_view piece, Next());
    if (piece.empty()) return hasher_.Finish();
  }
}

}  // namespace image
