// Streams of bytes between threads and through decompression.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <stop_token>
#include <string>
#include <string_view>

#include "base/result.h"
#include "image/digest.h"

namespace image {

// Gives a stream piece by piece.
class ByteReader {
 public:
  virtual ~ByteReader() = default;
  // The next bytes, empty at the end. They stay valid until the next call.
  virtual base::Result<std::string_view> Next() = 0;
};

// Hands bytes from one thread to another, of which it holds a bounded amount.
class ByteQueue : public ByteReader {
 public:
  ByteQueue(size_t most_bytes, std::stop_token stop) : most_bytes_(most_bytes), stop_(std::move(stop)) {}

  // For the writer. Waits for room; kCancelled after a stop, kAborted once the reader has gone.
  base::Status Push(std::string_view bytes);
  // The end of the stream, or why it broke off: the reader sees it after all bytes.
  void Close(base::Status status);

  // For the reader. Waits for bytes; kCancelled after a stop.
  base::Result<std::string_view> Next() override;
  // The reader wants no more.
  void Abandon();

 private:
  const size_t most_bytes_;
  const std::stop_token stop_;
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::deque<std::string> chunks_;
  std::string current_;
  size_t bytes_ = 0;
  bool closed_ = false;
  bool abandoned_ = false;
  base::Status status_;
};

// Decompresses gzip and zstd, which it recognizes by their first bytes, and passes on anything else. kDataLoss when the
// stream is broken or cut off. `input` must outlive the reader.
std::unique_ptr<ByteReader> Decompress(ByteReader& input);

// Passes a stream on and computes its digest; more than `most_bytes` are kResourceExhausted.
class DigestingReader : public ByteReader {
 public:
  DigestingReader(ByteReader& input, std::string_view algorithm, uint64_t most_bytes)
      : input_(input), most_bytes_(most_bytes), hasher_(algorithm) {}
  base::Result<std::string_view> Next() override;
  // Reads the rest of the stream, then gives the digest of all of it.
  base::Result<std::string> Finish();

 private:
  ByteReader& input_;
  const uint64_t most_bytes_;
  uint64_t bytes_ = 0;
  Hasher hasher_;
};

}  // namespace image
