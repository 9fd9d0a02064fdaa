#include "cri/streaming/spdy_frame.h"

#include <algorithm>

namespace cri::streaming::spdy {
namespace {

constexpr size_t kFrameHeaderBytes = 8;
constexpr uint32_t kVersion = 3;
constexpr uint32_t kFlagEnd = 1;
constexpr uint32_t kMostStreamId = 0x7fffffff;

enum FrameType : uint32_t {
  kSynStream = 1,
  kSynReply = 2,
  kRstStream = 3,
  kSettings = 4,
  kPing = 6,
  kGoAway = 7,
  kHeaders = 8,
  kWindowUpdate = 9,
};

uint32_t NumberAt(std::string_view bytes, size_t offset) {
  uint32_t number = 0;
  for (const char byte : bytes.substr(offset, 4)) number = number << 8 | static_cast<unsigned char>(byte);
  return number;
}

void AppendNumber(std::string& out, uint32_t number) {
  for (const int shift : {24, 16, 8, 0}) out.push_back(static_cast<char>(number >> shift));
}

base::Error Malformed(const std::string& what) {
  return base::InvalidArgument("malformed SPDY frame: " + what);
}

std::string ControlFrame(FrameType type, std::string_view payload) {
  std::string frame;
  frame.reserve(kFrameHeaderBytes + payload.size());
  AppendNumber(frame, 0x80000000 | kVersion << 16 | type);
  AppendNumber(frame, static_cast<uint32_t>(payload.size()));
  return frame.append(payload);
}

std::string TwoNumbers(uint32_t first, uint32_t second) {
  std::string payload;
  AppendNumber(payload, first);
  AppendNumber(payload, second);
  return payload;
}

}  // namespace

base::Status FrameParser::Feed(std::string_view bytes) {
  while (!bytes.empty()) {
    if (expecting_ == Expecting::kData) {
      const std::string_view part = bytes.substr(0, remaining_);
      bytes.remove_prefix(part.size());
      remaining_ -= part.size();
      if (remaining_ == 0) expecting_ = Expecting::kFrameHeader;
      receiver_.OnData(stream_, remaining_ == 0 && (flags_ & kFlagEnd) != 0, part);
      continue;
    }
    const size_t wanted = expecting_ == Expecting::kFrameHeader ? kFrameHeaderBytes : remaining_;
    const std::string_view part = bytes.substr(0, wanted - buffer_.size());
    buffer_ += part;
    bytes.remove_prefix(part.size());
    if (buffer_.size() < wanted) return base::Ok();
    if (expecting_ == Expecting::kFrameHeader) {
      RETURN_IF_ERROR(BeginFrame());
    } else {
      expecting_ = Expecting::kFrameHeader;
      RETURN_IF_ERROR(FinishControlFrame());
    }
    if (expecting_ != Expecting::kControl) buffer_.clear();
  }
  return base::Ok();
}

base::Status FrameParser::BeginFrame() {
  const uint32_t first = NumberAt(buffer_, 0);
  const uint32_t second = NumberAt(buffer_, 4);
  flags_ = second >> 24;
  remaining_ = second & 0xffffff;
  if ((first & 0x80000000) == 0) {
    stream_ = first;
    if (stream_ == 0) return Malformed("data of stream 0");
    if (remaining_ > 0) {
      expecting_ = Expecting::kData;
    } else {
      receiver_.OnData(stream_, (flags_ & kFlagEnd) != 0, {});
    }
    return base::Ok();
  }
  type_ = first & 0xffff;
  const uint32_t version = first >> 16 & 0x7fff;
  if (version != kVersion) return Malformed("version " + std::to_string(version));
  if (remaining_ > kMostControlBytes) {
    return Malformed("a control frame of " + std::to_string(remaining_) + " bytes");
  }
  buffer_.clear();
  if (remaining_ == 0) return FinishControlFrame();
  expecting_ = Expecting::kControl;
  return base::Ok();
}

base::Result<Headers> FrameParser::TakeHeaders(size_t offset) {
  stream_ = NumberAt(buffer_, 0);
  if (stream_ == 0 || stream_ > kMostStreamId) return Malformed("stream id " + std::to_string(stream_));
  return decompressor_.Decompress(std::string_view(buffer_).substr(offset));
}

base::Status FrameParser::FinishControlFrame() {
  const bool end = (flags_ & kFlagEnd) != 0;
  const auto has = [&](size_t least, size_t most = kMostControlBytes) {
    return buffer_.size() >= least && buffer_.size() <= most;
  };
  switch (type_) {
    case kSynStream: {
      if (!has(10)) return Malformed("a short SYN_STREAM");
      ASSIGN_OR_RETURN(const Headers headers, TakeHeaders(10));
      receiver_.OnSynStream(stream_, end, headers);
      return base::Ok();
    }
    case kSynReply: {
      if (!has(4)) return Malformed("a short SYN_REPLY");
      ASSIGN_OR_RETURN(const Headers headers, TakeHeaders(4));
      receiver_.OnSynReply(stream_, end, headers);
      return base::Ok();
    }
    case kHeaders: {
      if (!has(4)) return Malformed("a short HEADERS");
      ASSIGN_OR_RETURN(const Headers headers, TakeHeaders(4));
      receiver_.OnHeaders(stream_, end, headers);
      return base::Ok();
    }
    case kRstStream:
      if (!has(8, 8) || NumberAt(buffer_, 0) == 0 || NumberAt(buffer_, 4) == 0) return Malformed("RST_STREAM");
      receiver_.OnReset(NumberAt(buffer_, 0) & kMostStreamId);
      return base::Ok();
    case kSettings:
      if (!has(4) || (buffer_.size() - 4) % 8 != 0 || NumberAt(buffer_, 0) != (buffer_.size() - 4) / 8) {
        return Malformed("SETTINGS");
      }
      return base::Ok();
    case kPing:
      if (!has(4, 4) || flags_ != 0) return Malformed("PING");
      receiver_.OnPing(NumberAt(buffer_, 0));
      return base::Ok();
    case kGoAway:
      if (!has(8, 8) || flags_ != 0) return Malformed("GOAWAY");
      receiver_.OnGoAway();
      return base::Ok();
    case kWindowUpdate:
      if (!has(8, 8) || flags_ != 0) return Malformed("WINDOW_UPDATE");
      return base::Ok();
    default:
      // Section 2.2.1: frames of an unknown type are passed over.
      return base::Ok();
  }
}

std::string SynReplyFrame(StreamId stream, HeaderCompressor& compressor) {
  std::string payload;
  AppendNumber(payload, stream);
  return ControlFrame(kSynReply, payload + compressor.Compress({}));
}

std::string ResetFrame(StreamId stream, ResetReason reason) {
  return ControlFrame(kRstStream, TwoNumbers(stream, static_cast<uint32_t>(reason)));
}

std::string PingFrame(uint32_t id) {
  std::string payload;
  AppendNumber(payload, id);
  return ControlFrame(kPing, payload);
}

std::string GoAwayFrame(StreamId last_accepted, GoAwayReason reason) {
  return ControlFrame(kGoAway, TwoNumbers(last_accepted, static_cast<uint32_t>(reason)));
}

std::string DataFrameHeader(StreamId stream, size_t size, bool end) {
  return TwoNumbers(stream, (end ? kFlagEnd << 24 : 0) | static_cast<uint32_t>(size));
}

}  // namespace cri::streaming::spdy
