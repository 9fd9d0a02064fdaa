// The streaming lists: the same items as those of the plain list, in messages of a size that every client takes.
#pragma once

#include <grpcpp/support/sync_stream.h>

#include <utility>

namespace cri {

// Gathers items and writes a message whenever there are enough of them. A client that is gone ends it: Add() and
// Finish() say false then.
template <typename Response, typename Item>
class Batches {
 public:
  // `add` makes a new item in a response: &Response::add_containers.
  Batches(grpc::ServerWriter<Response>& writer, Item* (Response::*add)()) : writer_(writer), add_(add) {}

  bool Add(Item item) {
    bytes_ += item.ByteSizeLong();
    *(response_.*add_)() = std::move(item);
    return bytes_ < kBytes || Flush();
  }
  bool Finish() { return bytes_ == 0 || Flush(); }

 private:
  // Far below the 16 MiB that a kubelet takes, whatever the last item adds.
  static constexpr size_t kBytes = size_t{1} << 20;

  bool Flush() {
    const bool written = writer_.Write(response_);
    response_.Clear();
    bytes_ = 0;
    return written;
  }

  grpc::ServerWriter<Response>& writer_;
  Item* (Response::*add_)();
  Response response_;
  size_t bytes_ = 0;
};

}  // namespace cri
