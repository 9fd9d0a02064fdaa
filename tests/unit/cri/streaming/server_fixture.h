// A server over a backend whose processes are really there.
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <string>
#include <thread>

#include "base/files.h"
#include "certificate.h"
#include "client.h"
#include "cri/streaming/server.h"
#include "fake_backend.h"

namespace cri::streaming {

class ServerTest : public testing::Test {
 protected:
  static void SetUpTestSuite() { ::signal(SIGPIPE, SIG_IGN); }

  void Start() {
    auto started = Server::Start(options_, backend_);
    ASSERT_TRUE(started.ok()) << started.error().message();
    server_ = *std::move(started);
  }
  void SetUp() override { Start(); }
  void TearDown() override {
    server_.reset();
    if (!directory_.empty()) std::filesystem::remove_all(directory_);
  }

  // To be called before Start().
  void UseTls(const KeyPair& pair) {
    directory_ = testing::TempDir() + "streaming.XXXXXX";
    ASSERT_NE(::mkdtemp(directory_.data()), nullptr);
    options_.tls = {directory_ + "/tls.crt", directory_ + "/tls.key", ""};
    Write(options_.tls.certificate, pair.certificate);
    Write(options_.tls.key, pair.key);
  }
  static void Write(const std::string& path, const std::string& text) {
    const base::Status status = base::WriteFileAtomic(path, text);
    ASSERT_TRUE(status.ok()) << status.error().message();
  }

  static runtime::v1::ExecRequest ExecRequest(const std::string& script, const std::string& streams) {
    runtime::v1::ExecRequest request;
    request.set_container_id("container");
    for (const char* const each : {"sh", "-c", script.c_str()}) request.add_cmd(each);
    request.set_stdin(streams.find('i') != std::string::npos);
    request.set_stdout(streams.find('o') != std::string::npos);
    request.set_stderr(streams.find('e') != std::string::npos);
    request.set_tty(streams.find('t') != std::string::npos);
    return request;
  }
  std::string Exec(const std::string& script, const std::string& streams) {
    return Url(server_->Exec(ExecRequest(script, streams)));
  }
  std::string Attach(const std::string& script) {
    runtime::v1::AttachRequest request;
    request.set_container_id(script);
    request.set_stdout(true);
    return Url(server_->Attach(request));
  }
  std::string PortForward() {
    runtime::v1::PortForwardRequest request;
    request.set_pod_sandbox_id("pod");
    return Url(server_->PortForward(request));
  }
  static std::string Url(base::Result<std::string> url) {
    if (url.ok()) return *std::move(url);
    ADD_FAILURE() << url.error().message();
    return "";
  }
  bool AllProcessesEnd(std::chrono::seconds within = std::chrono::seconds(10)) {
    const auto end = std::chrono::steady_clock::now() + within;
    while (backend_.alive > 0 && std::chrono::steady_clock::now() < end) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
    return backend_.alive == 0;
  }
  // That nothing else is disturbed.
  void ExpectServes() {
    SpdyClient client(Exec("echo fine", "o"));
    client.Open("error");
    client.Open("stdout");
    EXPECT_TRUE(client.UntilEnd("error"));
    EXPECT_EQ(client.Text("stdout"), "fine\n");
  }

  ServerOptions options_;
  FakeBackend backend_;
  std::unique_ptr<Server> server_;

 private:
  std::string directory_;
};

}  // namespace cri::streaming
