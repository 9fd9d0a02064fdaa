// Frames that only clients send, and a receiver that writes down what it is told.
#pragma once

#include <string>
#include <string_view>

#include "cri/streaming/spdy_frame.h"

namespace cri::streaming::spdy {

inline std::string Number(uint32_t number) {
  return {static_cast<char>(number >> 24), static_cast<char>(number >> 16), static_cast<char>(number >> 8),
          static_cast<char>(number)};
}

inline std::string ControlFrame(uint32_t type, std::string_view payload, uint32_t flags = 0, uint32_t version = 3) {
  return Number(0x80000000 | version << 16 | type) + Number(flags << 24 | static_cast<uint32_t>(payload.size())) +
         std::string(payload);
}

inline std::string SynStreamFrame(StreamId stream, const Headers& headers, HeaderCompressor& compressor,
                                  uint32_t flags = 0) {
  return ControlFrame(1, Number(stream) + Number(0) + std::string(2, '\0') + compressor.Compress(headers), flags);
}

inline std::string DataFrame(StreamId stream, std::string_view bytes, bool end = false) {
  return DataFrameHeader(stream, bytes.size(), end) + std::string(bytes);
}

// One line for each call; parts of data are put together.
class Recorder final : public FrameReceiver {
 public:
  void OnSynStream(StreamId stream, bool end, const Headers& headers) override {
    Open("SYN_STREAM", stream, end, headers);
  }
  void OnSynReply(StreamId stream, bool end, const Headers& headers) override {
    Open("SYN_REPLY", stream, end, headers);
  }
  void OnHeaders(StreamId stream, bool end, const Headers& headers) override { Open("HEADERS", stream, end, headers); }
  void OnData(StreamId stream, bool end, std::string_view bytes) override {
    const std::string begin = "DATA " + std::to_string(stream) + " ";
    if (text.rfind(begin) == std::string::npos || text.rfind(begin) != line_) {
      NewLine();
      text += begin;
    }
    text += std::string(bytes);
    if (end) text += " END";
  }
  void OnReset(StreamId stream) override { Line("RST_STREAM " + std::to_string(stream)); }
  void OnPing(uint32_t id) override { Line("PING " + std::to_string(id)); }
  void OnGoAway() override { Line("GOAWAY"); }

  std::string text;

 private:
  void NewLine() {
    if (!text.empty()) text += '\n';
    line_ = text.size();
  }
  void Line(const std::string& line) {
    NewLine();
    text += line;
  }
  void Open(const std::string& name, StreamId stream, bool end, const Headers& headers) {
    std::string line = name + " " + std::to_string(stream);
    for (const auto& [key, value] : headers) line += " " + key + "=" + value;
    Line(line + (end ? " END" : ""));
  }

  size_t line_ = 0;
};

}  // namespace cri::streaming::spdy
