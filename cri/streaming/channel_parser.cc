#include "cri/streaming/channel_parser.h"

#include <openssl/evp.h>

#include <optional>

namespace cri::streaming {
namespace {

constexpr uint8_t kCloseSignal = 255;

base::Error Malformed(const char* what) {
  return base::InvalidArgument(std::string("malformed message: ") + what);
}

std::optional<uint32_t> Base64Value(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  if (c == '+') return 62;
  if (c == '/') return 63;
  return {};
}

// Appends what four characters stand for: three bytes, fewer with padding. False when they are no base64.
bool DecodeGroup(std::string_view group, std::string& bytes) {
  const size_t digits = group.find('=') == std::string_view::npos ? 4 : group.find('=');
  if (digits < 2 || group.find_first_not_of('=', digits) != std::string_view::npos) return false;
  uint32_t bits = 0;
  for (size_t i = 0; i < 4; ++i) {
    const std::optional<uint32_t> value = i < digits ? Base64Value(group[i]) : 0;
    if (!value) return false;
    bits = bits << 6 | *value;
  }
  for (size_t i = 0; i + 1 < digits; ++i) bytes.push_back(static_cast<char>(bits >> (16 - 8 * i)));
  return true;
}

}  // namespace

base::Status ChannelParser::Feed(std::string_view bytes, bool end_of_message) {
  if (expecting_ == Expecting::kChannel && !bytes.empty()) {
    channel_ = static_cast<uint8_t>(bytes[0]);
    bytes.remove_prefix(1);
    if (has_close_signal_ && channel_ == kCloseSignal) {
      expecting_ = Expecting::kClosedChannel;
    } else {
      if (encoding_ == ChannelEncoding::kBase64) channel_ = static_cast<uint8_t>(channel_ - '0');
      expecting_ = Expecting::kBytes;
    }
  }
  if (expecting_ == Expecting::kClosedChannel && !bytes.empty()) {
    channel_ = static_cast<uint8_t>(bytes[0]);
    bytes.remove_prefix(1);
    expecting_ = Expecting::kEnd;
  }
  if (expecting_ == Expecting::kEnd && !bytes.empty()) return Malformed("bytes after the closed channel");
  if (expecting_ == Expecting::kNothing && !bytes.empty()) return Malformed("base64 after its padding");
  if (expecting_ == Expecting::kBytes && !bytes.empty()) {
    if (encoding_ == ChannelEncoding::kBase64) {
      RETURN_IF_ERROR(FeedBase64(bytes));
    } else {
      receiver_.OnChannelData(channel_, bytes);
    }
  }
  if (!end_of_message) return base::Ok();
  if (expecting_ == Expecting::kClosedChannel) return Malformed("no channel to close");
  if (!group_.empty()) return Malformed("the base64 is cut off");
  if (expecting_ == Expecting::kEnd) receiver_.OnChannelEnd(channel_);
  expecting_ = Expecting::kChannel;
  return base::Ok();
}

base::Status ChannelParser::FeedBase64(std::string_view text) {
  std::string bytes;
  bytes.reserve(text.size() / 4 * 3 + 3);
  while (!text.empty()) {
    const std::string_view part = text.substr(0, 4 - group_.size());
    group_ += part;
    text.remove_prefix(part.size());
    if (group_.size() < 4) break;
    if (!DecodeGroup(group_, bytes)) return Malformed("no base64");
    const bool padded = group_.back() == '=';
    group_.clear();
    if (padded) {
      expecting_ = Expecting::kNothing;
      break;
    }
  }
  if (!bytes.empty()) receiver_.OnChannelData(channel_, bytes);
  if (!text.empty()) return Malformed("base64 after its padding");
  return base::Ok();
}

std::string ChannelHead(uint8_t channel) {
  return std::string(1, static_cast<char>(channel));
}

std::string Base64ChannelMessage(uint8_t channel, std::string_view bytes) {
  std::string message((bytes.size() + 2) / 3 * 4 + 2, '\0');  // the zero byte at the end is written by OpenSSL
  message[0] = static_cast<char>('0' + channel);
  ::EVP_EncodeBlock(reinterpret_cast<unsigned char*>(message.data() + 1),
                    reinterpret_cast<const unsigned char*>(bytes.data()), static_cast<int>(bytes.size()));
  message.pop_back();
  return message;
}

}  // namespace cri::streaming
