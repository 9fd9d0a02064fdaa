// A small HTTP/1.1 server on 127.0.0.1 for registries that behave, or do not.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

namespace image {

struct TestRequest {
  std::string method;
  std::string path;                            // without the query; what a proxy gets begins with "http://"
  std::string query;                           // after the '?'
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;

  std::string Header(const std::string& name) const {
    const auto found = headers.find(name);
    return found == headers.end() ? "" : found->second;
  }
};

struct TestResponse {
  int status = 200;
  std::vector<std::pair<std::string, std::string>> headers = {};
  std::string body = {};
  // Closes the connection after so many bytes of the body.
  size_t cut_after = std::string::npos;
  // Sends nothing more after so many bytes of the body, and keeps the connection open.
  size_t hang_after = std::string::npos;
  // Sends what comes after so many bytes in pieces, with a pause before each.
  size_t drip_after = std::string::npos;
  std::chrono::microseconds drip_pause{20'000};
  size_t drip_bytes = 1;
  // Never answers at all.
  bool silent = false;
  // Sent as it is instead of an HTTP answer.
  std::string raw = {};
};

class TestServer {
 public:
  using Handler = std::function<TestResponse(const TestRequest&)>;

  explicit TestServer(Handler handler);
  ~TestServer();
  TestServer(const TestServer&) = delete;
  TestServer& operator=(const TestServer&) = delete;

  // "127.0.0.1:PORT"
  std::string authority() const { return "127.0.0.1:" + std::to_string(port_); }
  // All requests so far.
  std::vector<TestRequest> requests() const;
  size_t CountRequests(const std::string& method, const std::string& path) const;

 private:
  void Accept();
  void Serve(int fd);

  Handler handler_;
  int listener_ = -1;
  int port_ = 0;
  mutable std::mutex mutex_;
  std::vector<TestRequest> requests_;
  std::vector<int> connections_;
  std::vector<std::thread> servers_;
  std::atomic<bool> stopping_{false};
  std::thread acceptor_;
};

}  // namespace image
