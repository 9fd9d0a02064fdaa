// Frames of SPDY/3.1 (draft-mbelshe-httpbis-spdy-00), as far as Kubernetes' clients use them: a parser that takes bytes
// as they come, and the frames that a server sends.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "cri/streaming/spdy_headers.h"

namespace cri::streaming::spdy {

using StreamId = uint32_t;

// Of RST_STREAM (section 2.6.3).
enum class ResetReason : uint32_t { kProtocolError = 1, kRefusedStream = 3, kCancel = 5 };
// Of GOAWAY (section 2.6.6).
enum class GoAwayReason : uint32_t { kOk = 0, kProtocolError = 1 };

// What the frames of the other end say. Stream ids are from 1 to 2^31 - 1.
class FrameReceiver {
 public:
  virtual ~FrameReceiver() = default;
  virtual void OnSynStream(StreamId stream, bool end, const Headers& headers) = 0;
  virtual void OnSynReply(StreamId stream, bool end, const Headers& headers) = 0;
  virtual void OnHeaders(StreamId stream, bool end, const Headers& headers) = 0;
  // A part of a DATA frame, however large the frame is; `end` goes with its last part, which may be empty.
  virtual void OnData(StreamId stream, bool end, std::string_view bytes) = 0;
  virtual void OnReset(StreamId stream) = 0;
  virtual void OnPing(uint32_t id) = 0;
  virtual void OnGoAway() = 0;
};

// Its memory is bounded: payloads of DATA frames are passed on as they come, and a control frame has at most
// kMostControlBytes. SETTINGS and WINDOW_UPDATE are checked and passed over: neither end of Kubernetes' streaming (Go's
// spdystream) grants or obeys windows, so what holds back a sender that is too fast is TCP.
class FrameParser {
 public:
  static constexpr size_t kMostControlBytes = 16 * 1024;

  explicit FrameParser(FrameReceiver& receiver) : receiver_(receiver) {}

  // Calls the receiver for what `bytes` complete. After an error nothing more can be parsed: the connection must end.
  base::Status Feed(std::string_view bytes);

 private:
  base::Status BeginFrame();
  base::Status FinishControlFrame();
  base::Result<Headers> TakeHeaders(size_t offset);

  FrameReceiver& receiver_;
  HeaderDecompressor decompressor_;
  enum class Expecting { kFrameHeader, kControl, kData } expecting_ = Expecting::kFrameHeader;
  std::string buffer_;    // of the frame's header, then of a control frame's payload
  uint32_t type_ = 0;     // of the control frame
  uint32_t flags_ = 0;    // of the frame
  StreamId stream_ = 0;   // of the DATA frame
  size_t remaining_ = 0;  // bytes of its payload that are yet to come
};

std::string SynReplyFrame(StreamId stream, HeaderCompressor& compressor);
std::string ResetFrame(StreamId stream, ResetReason reason);
std::string PingFrame(uint32_t id);
std::string GoAwayFrame(StreamId last_accepted, GoAwayReason reason);
// What stands before the `size` bytes of a DATA frame: less than 2^24.
std::string DataFrameHeader(StreamId stream, size_t size, bool end);

}  // namespace cri::streaming::spdy
