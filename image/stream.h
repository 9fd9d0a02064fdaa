// Streams of bytes between threads and through decompression.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <memory>
#include <mutex>
#include <span>
#include <stop_token>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace image {

// Gives a stream piece by piece.
class ByteReader {
 public:
  virtual ~ByteReader() = default;
  // The next bytes, empty at the end. They stay valid until the next call.
  virtual base::Result<std::string_view> Next() = 0;
};

// Hands bytes from one thread to another in blocks that go back and forth: of these there is a bounded number, made as
// they are needed.
class ByteQueue : public ByteReader {
 public:
  ByteQueue(size_t blocks, size_t block_bytes, std::stop_token stop)
      : block_bytes_(block_bytes), stop_(std::move(stop)), left_to_make_(blocks) {}

  // For the writer. Room for at least one byte, which Filled then passes on; it is the writer's until then. Waits for
  // a block that the reader is done with; kCancelled after a stop, kAborted once the reader has gone.
  base::Result<std::span<char>> Room();
  // So many bytes at the beginning of the room are filled. The reader gets them when the block is full or when it waits
  // for any.
  void Filled(size_t bytes);
  // Both of it, by copying.
  base::Status Push(std::string_view bytes);
  // The end of the stream, or why it broke off: the reader sees it after all bytes.
  void Close(base::Status status);

  // For the reader. Waits for bytes; kCancelled after a stop.
  base::Result<std::string_view> Next() override;
  // The reader wants no more.
  void Abandon();

 private:
  struct Block {
    std::unique_ptr<char[]> bytes;
    size_t size = 0;
  };
  void PassOn();

  const size_t block_bytes_;
  const std::stop_token stop_;
  // The writer's and the reader's own.
  Block writing_;
  Block reading_;

  std::mutex mutex_;
  std::condition_variable_any changed_;
  size_t left_to_make_;
  std::vector<Block> free_;
  std::deque<Block> filled_;
  bool reader_waits_ = false;
  bool closed_ = false;
  bool abandoned_ = false;
  base::Status status_;
};

class Decompressor {
 public:
  virtual ~Decompressor() = default;
  // Fills the beginning of `room`, which is not empty, and says how far: nothing at the end of the stream. Less than
  // all of it does not mean the end. kDataLoss when the stream is broken or cut off.
  virtual base::Result<size_t> Read(std::span<char> room) = 0;
};

// Decompresses gzip and zstd, which it recognizes by their first bytes, and passes on anything else. `input` must
// outlive it.
std::unique_ptr<Decompressor> Decompress(ByteReader& input);

// A decompressor with a buffer of its own.
class DecompressingReader : public ByteReader {
 public:
  explicit DecompressingReader(ByteReader& input);
  base::Result<std::string_view> Next() override;

 private:
  const std::unique_ptr<Decompressor> decompressor_;
  std::vector<char> buffer_;
};

}  // namespace image
