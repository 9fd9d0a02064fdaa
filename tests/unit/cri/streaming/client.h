// Clients as plain as can be: what they send is given byte by byte where that matters.
#pragma once

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <openssl/ssl.h>
#include <openssl/x509.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/fd.h"
#include "spdy_bytes.h"

namespace cri::streaming {

// http://127.0.0.1:<port><path>, or https
inline std::pair<uint16_t, std::string> SplitUrl(const std::string& url) {
  const size_t colon = url.rfind(':');
  const size_t slash = url.find('/', colon);
  return {static_cast<uint16_t>(std::stoi(url.substr(colon + 1, slash - colon - 1))), url.substr(slash)};
}

inline base::UniqueFd ConnectTo(uint16_t port) {
  base::UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = ::htons(port);
  address.sin_addr.s_addr = ::htonl(INADDR_LOOPBACK);
  EXPECT_EQ(::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0) << std::strerror(errno);
  return fd;
}

class Client {
 public:
  explicit Client(const std::string& url) : path_(SplitUrl(url).second), fd_(ConnectTo(SplitUrl(url).first)) {
    if (url.starts_with("https:")) StartTls();
  }

  // False when the server has closed the connection.
  bool Send(std::string_view bytes) {
    while (!bytes.empty()) {
      const ssize_t count = tls_ ? ::SSL_write(tls_.get(), bytes.data(), static_cast<int>(bytes.size()))
                                 : ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (count <= 0) return false;
      bytes.remove_prefix(static_cast<size_t>(count));
    }
    return true;
  }
  // Empty at the end, or when nothing comes for ten seconds.
  std::string Read() {
    pollfd polled{fd_.get(), POLLIN, 0};
    if ((!tls_ || ::SSL_pending(tls_.get()) == 0) && ::poll(&polled, 1, 10'000) <= 0) {
      ADD_FAILURE() << "the server sends nothing";
      return "";
    }
    char buffer[64 * 1024];
    const ssize_t count =
        tls_ ? ::SSL_read(tls_.get(), buffer, sizeof buffer) : ::recv(fd_.get(), buffer, sizeof buffer, 0);
    return {buffer, count > 0 ? static_cast<size_t>(count) : 0};
  }
  // Whether the server closes the connection in time, whatever it sends before.
  bool IsClosed() {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (std::chrono::steady_clock::now() < end) {
      if (Read().empty()) return !testing::Test::HasFailure();
    }
    return false;
  }

  // Sends a request and gives the answer's header; what follows is in `rest`.
  std::string Request(const std::string& method, const std::string& headers, const std::string& query = "") {
    Send(method + " " + path_ + query + " HTTP/1.1\r\nHost: test\r\n" + headers + "\r\n");
    return ReadHeader();
  }
  std::string ReadHeader() {
    std::string answer;
    while (answer.find("\r\n\r\n") == std::string::npos) {
      const std::string part = Read();
      if (part.empty()) return answer;
      answer += part;
    }
    const size_t end = answer.find("\r\n\r\n") + 4;
    rest = answer.substr(end);
    return answer.substr(0, end);
  }
  void Close() { fd_.reset(); }
  int fd() const { return fd_.get(); }
  // The common name of the certificate that the server showed; empty without TLS.
  std::string ServerName() const {
    if (!tls_) return "";
    const std::unique_ptr<X509, decltype(&::X509_free)> shown(::SSL_get1_peer_certificate(tls_.get()), ::X509_free);
    char name[128] = "";
    ::X509_NAME_get_text_by_NID(::X509_get_subject_name(shown.get()), NID_commonName, name, sizeof name);
    return name;
  }

  std::string rest;

 private:
  // Any certificate will do.
  void StartTls() {
    // A session ticket makes the socket readable, too: nobody must wait for ever for what comes behind it.
    const timeval patience{.tv_sec = 10, .tv_usec = 0};
    EXPECT_EQ(::setsockopt(fd_.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience), 0);
    const std::unique_ptr<SSL_CTX, decltype(&::SSL_CTX_free)> context(::SSL_CTX_new(::TLS_client_method()),
                                                                      ::SSL_CTX_free);
    tls_.reset(::SSL_new(context.get()));
    ::SSL_set_fd(tls_.get(), fd_.get());
    EXPECT_EQ(::SSL_connect(tls_.get()), 1);
  }

  const std::string path_;
  base::UniqueFd fd_;
  std::unique_ptr<SSL, decltype(&::SSL_free)> tls_{nullptr, ::SSL_free};
};

inline std::string SpdyHeaders(const std::string& protocols = "v4.channel.k8s.io") {
  return "Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\nX-Stream-Protocol-Version: " + protocols + "\r\n";
}
inline std::string WebSocketHeaders(const std::string& protocols) {
  return "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
         "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" +
         (protocols.empty() ? "" : "Sec-WebSocket-Protocol: " + protocols + "\r\n");
}

// Streams over SPDY, by the type that they are opened with (and the port).
class SpdyClient : public Client, private spdy::FrameReceiver {
 public:
  explicit SpdyClient(const std::string& url, const std::string& protocols = "v4.channel.k8s.io") : Client(url) {
    answer = Request("POST", SpdyHeaders(protocols));
    EXPECT_EQ(answer.substr(0, 12), "HTTP/1.1 101");
    Feed(rest);
  }

  uint32_t Open(const Headers& headers) {
    const uint32_t id = next_id_;
    next_id_ += 2;
    Send(spdy::SynStreamFrame(id, headers, compressor_));
    return id;
  }
  uint32_t Open(const std::string& type) { return ids[type] = Open(Headers{{"streamtype", type}}); }
  void Data(uint32_t id, std::string_view bytes, bool end = false) { Send(spdy::DataFrame(id, bytes, end)); }

  // Reads until that holds; false when the connection ends before.
  bool Until(const std::function<bool()>& holds) {
    while (!holds()) {
      const std::string bytes = Read();
      if (bytes.empty()) return false;
      Feed(bytes);
    }
    return true;
  }
  bool UntilEnd(const std::string& type) {
    return Until([&] { return ended.contains(ids[type]); });
  }
  const std::string& Text(const std::string& type) { return texts[ids[type]]; }

  std::string answer;
  std::map<std::string, uint32_t> ids;
  std::map<uint32_t, std::string> texts;
  std::set<uint32_t> replied, ended, reset;
  std::set<uint32_t> pongs;
  bool gone_away = false;

 private:
  void Feed(std::string_view bytes) {
    const base::Status status = parser_.Feed(bytes);
    EXPECT_TRUE(status.ok()) << status.error().message();
  }
  void OnSynStream(uint32_t, bool, const Headers&) override { ADD_FAILURE() << "the server opened a stream"; }
  void OnSynReply(uint32_t stream, bool, const Headers&) override { replied.insert(stream); }
  void OnHeaders(uint32_t, bool, const Headers&) override {}
  void OnData(uint32_t stream, bool end, std::string_view bytes) override {
    EXPECT_TRUE(replied.contains(stream)) << "data before the reply";
    texts[stream] += bytes;
    if (end) ended.insert(stream);
  }
  void OnReset(uint32_t stream) override { reset.insert(stream); }
  void OnPing(uint32_t id) override { pongs.insert(id); }
  void OnGoAway() override { gone_away = true; }

  spdy::FrameParser parser_{*this};
  spdy::HeaderCompressor compressor_;
  uint32_t next_id_ = 1;
};

class WebSocketClient : public Client {
 public:
  enum Opcode { kContinuation = 0, kText = 1, kBinary = 2, kClose = 8, kPing = 9, kPong = 10 };
  struct Frame {
    int opcode = 0;
    std::string payload;
  };

  explicit WebSocketClient(const std::string& url, const std::string& protocols, const std::string& query = "")
      : Client(url) {
    answer = Request("GET", WebSocketHeaders(protocols), query);
    EXPECT_EQ(answer.substr(0, 12), "HTTP/1.1 101") << answer;
    buffer_ = rest;
  }

  static std::string FrameBytes(int opcode, std::string_view payload, bool fin = true, bool masked = true) {
    std::string bytes;
    bytes.push_back(static_cast<char>(opcode | (fin ? 0x80 : 0)));
    const int mask = masked ? 0x80 : 0;
    if (payload.size() < 126) {
      bytes.push_back(static_cast<char>(mask | static_cast<int>(payload.size())));
    } else {
      bytes.push_back(static_cast<char>(mask | 127));
      for (int shift = 56; shift >= 0; shift -= 8) bytes.push_back(static_cast<char>(payload.size() >> shift));
    }
    const std::string key = masked ? "\x12\x34\x56\x78" : std::string(4, '\0');
    if (masked) bytes += key;
    for (size_t i = 0; i < payload.size(); ++i) bytes.push_back(static_cast<char>(payload[i] ^ key[i % 4]));
    return bytes;
  }
  void Message(uint8_t channel, const std::string& bytes) {
    Send(FrameBytes(kBinary, std::string(1, static_cast<char>(channel)) + bytes));
  }

  // The next frame; one of opcode -1 at the end of the connection.
  Frame ReadFrame() {
    while (true) {
      size_t header = 2;
      if (buffer_.size() >= 2) {
        uint64_t size = static_cast<uint8_t>(buffer_[1]);
        if (size >= 126) {
          const size_t count = size == 126 ? 2 : 8;
          header += count;
          size = 0;
          for (size_t i = 0; i < count && buffer_.size() >= header; ++i) {
            size = size << 8 | static_cast<uint8_t>(buffer_[2 + i]);
          }
        }
        if (buffer_.size() >= header + size) {
          Frame frame{buffer_[0] & 0x0f, buffer_.substr(header, size)};
          buffer_.erase(0, header + size);
          return frame;
        }
      }
      const std::string bytes = Read();
      if (bytes.empty()) return {-1, ""};
      buffer_ += bytes;
    }
  }
  // Collects the channels' bytes until the server closes; gives the code with which it does.
  int ReadChannels() {
    while (true) {
      const Frame frame = ReadFrame();
      if (frame.opcode == -1) return -1;
      if (frame.opcode == kClose) {
        return frame.payload.size() < 2
                   ? 0
                   : static_cast<uint8_t>(frame.payload[0]) << 8 | static_cast<uint8_t>(frame.payload[1]);
      }
      if (frame.payload.empty()) ADD_FAILURE() << "a message without a channel";
      channels[frame.payload[0]] += frame.payload.substr(1);
    }
  }

  std::string answer;
  std::map<int, std::string> channels;

 private:
  std::string buffer_;
};

}  // namespace cri::streaming
