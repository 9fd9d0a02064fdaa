#include "image/layer_fetch.h"

#include <optional>
#include <thread>

#include "image/digest.h"
#include "image/stream.h"

namespace image {
namespace {

using base::Code;
using base::Error;

constexpr size_t kQueueBytes = size_t{4} << 20;

base::Result<UnpackedSize> Unpack(ByteQueue& queue, const std::string& diff_id, const std::string& directory,
                                  const UnpackBounds& bounds) {
  const auto plain = Decompress(queue);
  DigestingReader tar(*plain, DigestAlgorithm(diff_id), bounds.most_bytes);
  ASSIGN_OR_RETURN(const auto recorder, TreeRecorder::Create(directory + std::string(kTreeRecordSuffix)));
  ASSIGN_OR_RETURN(const UnpackedSize size, UnpackTar(tar, directory, bounds, recorder.get()));
  RETURN_IF_ERROR(recorder->Finish());
  ASSIGN_OR_RETURN(const std::string actual, tar.Finish());
  if (actual != diff_id) {
    return Error(Code::kDataLoss, "wrong diff ID: the unpacked content has " + actual + ", not " + diff_id);
  }
  return size;
}

// Reads what is left, so that the writer can find whether the stream was what it should be.
void Drain(ByteQueue& queue) {
  while (true) {
    const auto piece = queue.Next();
    if (!piece.ok() || piece->empty()) return;
  }
}

}  // namespace

base::Result<UnpackedSize> FetchLayer(Source& source, const Descriptor& layer, const std::string& diff_id,
                                      const std::string& directory, const UnpackBounds& bounds,
                                      const std::stop_token& stop) {
  ByteQueue queue(kQueueBytes, stop);
  std::optional<base::Result<UnpackedSize>> unpacked;
  std::thread unpacker([&] {
    unpacked = Unpack(queue, diff_id, directory, bounds);
    if (unpacked->ok()) return;
    // Broken content may be the transfer's fault: the blob's own digest tells, once all of it is here.
    if (unpacked->error().code() == Code::kDataLoss) Drain(queue);
    queue.Abandon();
  });
  bool reader_stopped = false;
  const auto sink = [&](std::string_view bytes) {
    base::Status pushed = queue.Push(bytes);
    reader_stopped = !pushed.ok();
    return pushed;
  };
  base::Status fetched = source.FetchBlob(layer, sink, stop);
  queue.Close(fetched);
  unpacker.join();
  if (stop.stop_requested()) return Error(Code::kCancelled, "cancelled");
  if (!fetched.ok() && !reader_stopped) return std::move(fetched).error();
  return *std::move(unpacked);
}

}  // namespace image
