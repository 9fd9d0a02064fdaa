#include "test_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cstdlib>

namespace image {
namespace {

bool SendAll(int fd, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(fd, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) return false;
    bytes.remove_prefix(static_cast<size_t>(sent));
  }
  return true;
}

// Reads until the peer closes or the server shuts the connection down.
void WaitForEnd(int fd) {
  char byte = 0;
  while (::recv(fd, &byte, 1, 0) > 0) {
  }
}

bool ReadRequest(int fd, std::string& pending, TestRequest& request) {
  char buffer[4096];
  size_t end = 0;
  while ((end = pending.find("\r\n\r\n")) == std::string::npos) {
    const ssize_t got = ::recv(fd, buffer, sizeof buffer, 0);
    if (got <= 0) return false;
    pending.append(buffer, static_cast<size_t>(got));
  }
  const std::string head = pending.substr(0, end);
  pending.erase(0, end + 4);
  size_t at = head.find("\r\n");
  const std::string first = head.substr(0, at);
  const size_t space = first.find(' ');
  request.method = first.substr(0, space);
  std::string target = first.substr(space + 1, first.rfind(' ') - space - 1);
  const size_t question = target.find('?');
  request.path = target.substr(0, question);
  request.query = question == std::string::npos ? "" : target.substr(question + 1);
  while (at != std::string::npos) {
    const size_t start = at + 2;
    at = head.find("\r\n", start);
    const std::string line = head.substr(start, at == std::string::npos ? at : at - start);
    const size_t colon = line.find(": ");
    if (colon == std::string::npos) continue;
    std::string name = line.substr(0, colon);
    std::transform(name.begin(), name.end(), name.begin(),
                   [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
    request.headers[name] = line.substr(colon + 2);
  }
  const size_t length = std::strtoul(request.Header("content-length").c_str(), nullptr, 10);
  while (pending.size() < length) {
    const ssize_t got = ::recv(fd, buffer, sizeof buffer, 0);
    if (got <= 0) return false;
    pending.append(buffer, static_cast<size_t>(got));
  }
  request.body = pending.substr(0, length);
  pending.erase(0, length);
  return true;
}

// Whether the connection may be used for the next request.
bool SendResponse(int fd, const TestResponse& response) {
  if (response.silent) {
    WaitForEnd(fd);
    return false;
  }
  if (!response.raw.empty()) {
    SendAll(fd, response.raw);
    return false;
  }
  std::string head = "HTTP/1.1 " + std::to_string(response.status) + " Status\r\n";
  bool has_length = false;
  for (const auto& [name, value] : response.headers) {
    head.append(name).append(": ").append(value).append("\r\n");
    has_length = has_length || name == "Content-Length";
  }
  if (!has_length) head += "Content-Length: " + std::to_string(response.body.size()) + "\r\n";
  const size_t most = std::min({response.cut_after, response.hang_after, response.drip_after});
  if (!SendAll(fd, head + "\r\n") || !SendAll(fd, std::string_view(response.body).substr(0, most))) return false;
  if (response.hang_after != std::string::npos) {
    WaitForEnd(fd);
    return false;
  }
  for (size_t at = response.drip_after; at < response.body.size(); at += response.drip_bytes) {
    std::this_thread::sleep_for(response.drip_pause);
    if (!SendAll(fd, std::string_view(response.body).substr(at, response.drip_bytes))) return false;
  }
  return response.cut_after == std::string::npos;
}

}  // namespace

TestServer::TestServer(Handler handler) : handler_(std::move(handler)) {
  listener_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  if (listener_ < 0 || ::bind(listener_, reinterpret_cast<sockaddr*>(&address), size) != 0 ||
      ::listen(listener_, 64) != 0 || ::getsockname(listener_, reinterpret_cast<sockaddr*>(&address), &size) != 0) {
    std::abort();
  }
  port_ = ntohs(address.sin_port);
  acceptor_ = std::thread([this] { Accept(); });
}

TestServer::~TestServer() {
  stopping_ = true;
  ::shutdown(listener_, SHUT_RDWR);
  acceptor_.join();
  {
    const std::lock_guard lock(mutex_);
    for (const int fd : connections_) ::shutdown(fd, SHUT_RDWR);
  }
  for (std::thread& server : servers_) server.join();
  for (const int fd : connections_) ::close(fd);
  ::close(listener_);
}

void TestServer::Accept() {
  while (!stopping_) {
    const int fd = ::accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
    if (fd < 0) continue;
    const std::lock_guard lock(mutex_);
    connections_.push_back(fd);
    servers_.emplace_back([this, fd] { Serve(fd); });
  }
}

void TestServer::Serve(int fd) {
  std::string pending;
  while (!stopping_) {
    TestRequest request;
    if (!ReadRequest(fd, pending, request)) break;
    {
      const std::lock_guard lock(mutex_);
      requests_.push_back(request);
    }
    if (!SendResponse(fd, handler_(request))) break;
  }
  // The descriptor itself stays reserved until the server ends, so that it is not reused under its feet.
  ::shutdown(fd, SHUT_RDWR);
}

std::vector<TestRequest> TestServer::requests() const {
  const std::lock_guard lock(mutex_);
  return requests_;
}

size_t TestServer::CountRequests(const std::string& method, const std::string& path) const {
  const auto all = requests();
  return static_cast<size_t>(std::count_if(all.begin(), all.end(), [&](const TestRequest& request) {
    return request.method == method && request.path == path;
  }));
}

}  // namespace image
