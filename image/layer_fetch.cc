#include "image/layer_fetch.h"

#include <algorithm>
#include <system_error>
#include <thread>

#include "image/digest.h"
#include "image/stream.h"

namespace image {
namespace {

using base::Code;
using base::Error;

// What a layer holds in memory between its threads, at most.
constexpr size_t kBlockBytes = size_t{128} << 10;
constexpr size_t kCompressedBlocks = 8;
constexpr size_t kPlainBlocks = 8;

// Deflate cannot express more than 1032 bytes in one; what zstd makes of less is no layer but a bomb. Small layers may
// hold one large file of zeros.
constexpr uint64_t kMostExpansion = 1100;
constexpr uint64_t kAlwaysAllowed = uint64_t{16} << 20;

// What a layer of the manifest's size may unpack to.
uint64_t MostBytes(const Descriptor& layer, uint64_t configured) {
  if (layer.size >= (configured - std::min(configured, kAlwaysAllowed)) / kMostExpansion) return configured;
  return kAlwaysAllowed + layer.size * kMostExpansion;
}

// Reads what is left.
base::Status Drain(ByteReader& reader) {
  while (true) {
    ASSIGN_OR_RETURN(const std::string_view piece, reader.Next());
    if (piece.empty()) return base::Ok();
  }
}

// Decompresses one queue into the other, and checks size and diff ID on the way.
base::Status Inflate(ByteQueue& compressed, ByteQueue& plain, const std::string& diff_id, uint64_t most_bytes) {
  const auto decompressor = Decompress(compressed);
  Hasher hasher(DigestAlgorithm(diff_id));
  uint64_t bytes = 0;
  while (true) {
    ASSIGN_OR_RETURN(const std::span<char> room, plain.Room());
    ASSIGN_OR_RETURN(const size_t size, decompressor->Read(room));
    if (size == 0) break;
    bytes += size;
    if (bytes > most_bytes) {
      return Error(Code::kResourceExhausted,
                   "unpacks to more than the " + std::to_string(most_bytes) + " bytes allowed for a layer of its size");
    }
    hasher.Update({room.data(), size});
    plain.Filled(size);
  }
  const std::string actual = hasher.Finish();
  if (actual != diff_id) {
    return Error(Code::kDataLoss, "wrong diff ID: the unpacked content has " + actual + ", not " + diff_id);
  }
  return base::Ok();
}

base::Result<UnpackedSize> Unpack(ByteQueue& plain, const std::string& directory, const UnpackBounds& bounds) {
  ASSIGN_OR_RETURN(const auto recorder, TreeRecorder::Create(directory + std::string(kTreeRecordSuffix)));
  ASSIGN_OR_RETURN(const UnpackedSize size, UnpackTar(plain, directory, bounds, recorder.get()));
  RETURN_IF_ERROR(recorder->Finish());
  // Only now is known whether it was the right content.
  RETURN_IF_ERROR(Drain(plain));
  return size;
}

}  // namespace

base::Result<UnpackedSize> FetchLayer(Source& source, const Descriptor& layer, const std::string& diff_id,
                                      const std::string& directory, const UnpackBounds& bounds,
                                      const std::stop_token& stop) {
  ByteQueue compressed(kCompressedBlocks, kBlockBytes, stop);
  ByteQueue plain(kPlainBlocks, kBlockBytes, stop);
  base::Result<UnpackedSize> unpacked = Error(Code::kResourceExhausted, "no thread could be started");
  std::jthread inflater;
  std::jthread unpacker;
  try {
    unpacker = std::jthread([&] {
      unpacked = Unpack(plain, directory, bounds);
      // Broken content may be the transfer's fault: the blob's own digest tells, once all of it is here.
      if (!unpacked.ok() && unpacked.error().code() == Code::kDataLoss) (void)Drain(plain);
      if (!unpacked.ok()) plain.Abandon();
    });
    inflater = std::jthread([&] {
      const base::Status inflated = Inflate(compressed, plain, diff_id, MostBytes(layer, bounds.most_bytes));
      plain.Close(inflated);
      if (!inflated.ok() && inflated.error().code() == Code::kDataLoss) (void)Drain(compressed);
      if (!inflated.ok()) compressed.Abandon();
    });
  } catch (const std::system_error&) {
    plain.Close(Error(Code::kResourceExhausted, "no thread could be started"));
    return Error(Code::kResourceExhausted, "no thread could be started");
  }
  bool reader_stopped = false;
  const auto sink = [&](std::string_view bytes) {
    base::Status pushed = compressed.Push(bytes);
    reader_stopped = !pushed.ok();
    return pushed;
  };
  base::Status fetched = source.FetchBlob(layer, sink, stop);
  compressed.Close(fetched);
  inflater.join();
  unpacker.join();
  if (stop.stop_requested()) return Error(Code::kCancelled, "cancelled");
  if (!fetched.ok() && !reader_stopped) return std::move(fetched).error();
  return unpacked;
}

}  // namespace image
