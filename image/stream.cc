#include "image/stream.h"

#include <isa-l/igzip_lib.h>
#include <zstd.h>

#include <algorithm>
#include <cstring>
#include <string>

namespace image {
namespace {

using base::Code;
using base::Error;

constexpr size_t kBufferBytes = size_t{256} << 10;

Error Broken(std::string_view format, std::string_view why) {
  return {Code::kDataLoss, "the " + std::string(format) + " data is broken: " + std::string(why)};
}

std::string_view WhyNotInflated(int outcome) {
  switch (outcome) {
    case ISAL_INVALID_BLOCK:
      return "invalid block";
    case ISAL_INVALID_SYMBOL:
      return "invalid symbol";
    case ISAL_INVALID_LOOKBACK:
      return "invalid distance too far back";
    case ISAL_INVALID_WRAPPER:
      return "invalid header";
    case ISAL_UNSUPPORTED_METHOD:
      return "unknown compression method";
    case ISAL_INCORRECT_CHECKSUM:
      return "incorrect data check";
    case ISAL_NEED_DICT:
      return "a dictionary is needed";
    default:
      return "unknown error";
  }
}

// One or more gzip members, as RFC 1952 allows.
class GzipDecompressor : public Decompressor {
 public:
  explicit GzipDecompressor(ByteReader& input) : input_(input), state_(std::make_unique<inflate_state>()) {
    ::isal_inflate_init(state_.get());
    state_->crc_flag = ISAL_GZIP;
  }

  base::Result<size_t> Read(std::span<char> room) override {
    room = room.first(std::min(room.size(), kBufferBytes));
    state_->next_out = reinterpret_cast<uint8_t*>(room.data());
    state_->avail_out = static_cast<uint32_t>(room.size());
    while (state_->avail_out == room.size()) {
      if (state_->avail_in == 0 && !output_waits_) {
        ASSIGN_OR_RETURN(const std::string_view piece, input_.Next());
        if (piece.empty()) {
          // Before the first member it cannot be: the format was recognized by it.
          if (!member_ended_) return Broken("gzip", "it is cut off");
          return size_t{0};
        }
        if (piece.size() > UINT32_MAX) return Error(Code::kInternal, "a piece of more than 4 GiB");
        state_->next_in = reinterpret_cast<uint8_t*>(const_cast<char*>(piece.data()));
        state_->avail_in = static_cast<uint32_t>(piece.size());
      }
      if (member_ended_) {
        ::isal_inflate_reset(state_.get());
        member_ended_ = false;
      }
      const uint32_t in_before = state_->avail_in;
      const uint32_t out_before = state_->avail_out;
      const auto phase_before = state_->block_state;
      const int outcome = ::isal_inflate(state_.get());
      if (outcome != ISAL_DECOMP_OK) return Broken("gzip", WhyNotInflated(outcome));
      member_ended_ = state_->block_state == ISAL_BLOCK_FINISH;
      // A full output may mean that more of it is waiting inside.
      output_waits_ = state_->avail_out == 0 && !member_ended_;
      if (state_->avail_in == in_before && state_->avail_in > 0 && state_->avail_out == out_before &&
          state_->block_state == phase_before) {
        return Broken("gzip", "it cannot be continued");
      }
    }
    return room.size() - state_->avail_out;
  }

 private:
  ByteReader& input_;
  const std::unique_ptr<inflate_state> state_;  // 80 KiB
  bool member_ended_ = false;
  bool output_waits_ = false;
};

class ZstdDecompressor : public Decompressor {
 public:
  explicit ZstdDecompressor(ByteReader& input) : input_(input), state_(ZSTD_createDStream(), &ZSTD_freeDStream) {}

  base::Result<size_t> Read(std::span<char> room) override {
    if (!state_) return Error(Code::kResourceExhausted, "out of memory");
    ZSTD_outBuffer out{room.data(), room.size(), 0};
    while (out.pos == 0) {
      if (in_.pos == in_.size && !flushing_) {
        ASSIGN_OR_RETURN(const std::string_view piece, input_.Next());
        if (piece.empty()) {
          if (!frame_ended_) return Broken("zstd", "it is cut off");
          return size_t{0};
        }
        in_ = {piece.data(), piece.size(), 0};
      }
      const size_t outcome = ZSTD_decompressStream(state_.get(), &out, &in_);
      if (ZSTD_isError(outcome) != 0) return Broken("zstd", ZSTD_getErrorName(outcome));
      frame_ended_ = outcome == 0;
      // A full output may mean that more of it is waiting inside.
      flushing_ = out.pos == out.size && !frame_ended_;
    }
    return out.pos;
  }

 private:
  ByteReader& input_;
  std::unique_ptr<ZSTD_DStream, decltype(&ZSTD_freeDStream)> state_;
  ZSTD_inBuffer in_{nullptr, 0, 0};
  bool frame_ended_ = false;
  bool flushing_ = false;
};

class PlainReader : public Decompressor {
 public:
  explicit PlainReader(ByteReader& input) : input_(input) {}

  base::Result<size_t> Read(std::span<char> room) override {
    if (rest_.empty()) {
      ASSIGN_OR_RETURN(rest_, input_.Next());
    }
    const size_t bytes = std::min(rest_.size(), room.size());
    // At the end there is no memory to copy from.
    if (bytes > 0) std::memcpy(room.data(), rest_.data(), bytes);
    rest_.remove_prefix(bytes);
    return bytes;
  }

 private:
  ByteReader& input_;
  std::string_view rest_;
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

class DetectingDecompressor : public Decompressor {
 public:
  explicit DetectingDecompressor(ByteReader& input) : input_(input) {}

  base::Result<size_t> Read(std::span<char> room) override {
    if (!decompressor_) RETURN_IF_ERROR(Detect());
    return decompressor_->Read(room);
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
      decompressor_ = std::make_unique<GzipDecompressor>(*prefixed_);
    } else if (zstd) {
      decompressor_ = std::make_unique<ZstdDecompressor>(*prefixed_);
    } else {
      decompressor_ = std::make_unique<PlainReader>(*prefixed_);
    }
    return base::Ok();
  }

  ByteReader& input_;
  std::unique_ptr<ByteReader> prefixed_;
  std::unique_ptr<Decompressor> decompressor_;
};

}  // namespace

base::Result<std::span<char>> ByteQueue::Room() {
  if (!writing_.bytes) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, stop_, [&] { return abandoned_ || !free_.empty() || left_to_make_ > 0; });
    if (stop_.stop_requested()) return Error(Code::kCancelled, "cancelled");
    if (abandoned_) return Error(Code::kAborted, "the reader has stopped");
    if (!free_.empty()) {
      writing_ = std::move(free_.back());
      free_.pop_back();
    } else {
      --left_to_make_;
      lock.unlock();
      // Not filled with zeros first.
      writing_.bytes.reset(new char[block_bytes_]);
    }
    writing_.size = 0;
  }
  return std::span<char>(writing_.bytes.get() + writing_.size, block_bytes_ - writing_.size);
}

void ByteQueue::Filled(size_t bytes) {
  writing_.size += bytes;
  if (writing_.size == 0) return;
  const std::lock_guard lock(mutex_);
  if (writing_.size == block_bytes_ || reader_waits_) PassOn();
}

void ByteQueue::PassOn() {
  filled_.push_back(std::move(writing_));
  writing_ = {};
  reader_waits_ = false;
  changed_.notify_all();
}

base::Status ByteQueue::Push(std::string_view bytes) {
  while (!bytes.empty()) {
    ASSIGN_OR_RETURN(const std::span<char> room, Room());
    const size_t piece = std::min(room.size(), bytes.size());
    std::memcpy(room.data(), bytes.data(), piece);
    bytes.remove_prefix(piece);
    Filled(piece);
  }
  return base::Ok();
}

void ByteQueue::Close(base::Status status) {
  const std::lock_guard lock(mutex_);
  if (writing_.size > 0) PassOn();
  closed_ = true;
  status_ = std::move(status);
  changed_.notify_all();
}

base::Result<std::string_view> ByteQueue::Next() {
  std::unique_lock lock(mutex_);
  if (reading_.bytes) {
    free_.push_back(std::move(reading_));
    reading_ = {};
    changed_.notify_all();
  }
  reader_waits_ = filled_.empty();
  changed_.wait(lock, stop_, [&] { return closed_ || !filled_.empty(); });
  if (stop_.stop_requested()) return Error(Code::kCancelled, "cancelled");
  if (filled_.empty()) {
    if (!status_.ok()) return status_.error();
    return std::string_view();
  }
  reading_ = std::move(filled_.front());
  filled_.pop_front();
  return std::string_view(reading_.bytes.get(), reading_.size);
}

void ByteQueue::Abandon() {
  const std::lock_guard lock(mutex_);
  abandoned_ = true;
  filled_.clear();
  changed_.notify_all();
}

std::unique_ptr<Decompressor> Decompress(ByteReader& input) {
  return std::make_unique<DetectingDecompressor>(input);
}

DecompressingReader::DecompressingReader(ByteReader& input) : decompressor_(Decompress(input)), buffer_(kBufferBytes) {}

base::Result<std::string_view> DecompressingReader::Next() {
  ASSIGN_OR_RETURN(const size_t bytes, decompressor_->Read(buffer_));
  return std::string_view(buffer_.data(), bytes);
}

}  // namespace image
