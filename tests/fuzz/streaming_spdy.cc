#include <algorithm>
#include <string>

#include "cri/streaming/spdy_frame.h"
#include "tests/fuzz/fuzz.h"

namespace {

using cri::streaming::Headers;
using cri::streaming::spdy::StreamId;

// Sums up what it is told, so that two ways to parse can be compared.
class Receiver final : public cri::streaming::spdy::FrameReceiver {
 public:
  void OnSynStream(StreamId stream, bool end, const Headers& headers) override { Open('s', stream, end, headers); }
  void OnSynReply(StreamId stream, bool end, const Headers& headers) override { Open('r', stream, end, headers); }
  void OnHeaders(StreamId stream, bool end, const Headers& headers) override { Open('h', stream, end, headers); }
  void OnData(StreamId stream, bool end, std::string_view bytes) override {
    fuzz::Require(stream > 0 && stream < 0x80000000, "data belongs to a stream");
    if (stream != data_of_) Add('d', stream);
    data_of_ = stream;
    text += bytes;
    if (end) Add('e', stream);
  }
  void OnReset(StreamId stream) override { Add('x', stream); }
  void OnPing(uint32_t id) override { Add('p', id); }
  void OnGoAway() override { Add('g', 0); }

  std::string text;

 private:
  void Add(char what, uint32_t number) {
    data_of_ = 0;
    text += what + std::to_string(number) + ' ';
  }
  void Open(char what, StreamId stream, bool end, const Headers& headers) {
    fuzz::Require(stream > 0 && stream < 0x80000000, "headers belong to a stream");
    fuzz::Require(headers.size() <= cri::streaming::spdy::kMostHeaders, "the number of headers is bounded");
    size_t bytes = 0;
    Add(what, stream);
    for (const auto& [name, value] : headers) {
      fuzz::Require(!name.empty(), "headers have names");
      bytes += name.size() + value.size();
      text += name + '=' + value + ' ';
    }
    fuzz::Require(bytes <= cri::streaming::spdy::kMostHeaderBytes, "the size of headers is bounded");
    if (end) Add('e', stream);
  }

  StreamId data_of_ = 0;
};

// Whether the bytes, coming in pieces, were well formed.
bool Parse(std::string_view bytes, size_t piece, Receiver& receiver) {
  cri::streaming::spdy::FrameParser parser(receiver);
  for (; !bytes.empty(); bytes.remove_prefix(std::min(piece, bytes.size()))) {
    if (!parser.Feed(bytes.substr(0, piece)).ok()) return false;
  }
  return true;
}

}  // namespace

// Frames mean the same in whatever pieces they come.
int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  const std::string_view bytes = fuzz::Text(data + 1, size - 1);
  Receiver whole;
  Receiver in_pieces;
  const bool good = Parse(bytes, bytes.size() + 1, whole);
  fuzz::Require(Parse(bytes, size_t{1} + data[0] % 16, in_pieces) == good, "pieces are as good as the whole");
  fuzz::Require(whole.text == in_pieces.text, "pieces say what the whole says");
  return 0;
}
