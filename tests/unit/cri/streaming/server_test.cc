// The server as its clients see it: over sockets, with processes that are really there.

#include "cri/streaming/server.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>
#include <nlohmann/json.hpp>
#include <thread>

#include "client.h"
#include "server_fixture.h"

namespace cri::streaming {
namespace {

using std::chrono::seconds;
using testing::HasSubstr;
using testing::StartsWith;

nlohmann::json Json(const std::string& text) {
  return nlohmann::json::parse(text, nullptr, false);
}

TEST_F(ServerTest, GivesUrlsOnLoopback) {
  EXPECT_THAT(Exec("true", "o"), testing::MatchesRegex("http://127\\.0\\.0\\.1:[0-9]+/exec/[0-9a-f]+"));
  EXPECT_THAT(Attach("true"), testing::MatchesRegex("http://127\\.0\\.0\\.1:[0-9]+/attach/[0-9a-f]+"));
  EXPECT_THAT(PortForward(), testing::MatchesRegex("http://127\\.0\\.0\\.1:[0-9]+/portforward/[0-9a-f]+"));
}

TEST_F(ServerTest, RefusesRequestsThatTheCriDoesNotAllow) {
  const auto code = [&](const runtime::v1::ExecRequest& request) { return server_->Exec(request).error().code(); };
  EXPECT_EQ(code(ExecRequest("true", "")), base::Code::kInvalidArgument);
  EXPECT_EQ(code(ExecRequest("true", "oet")), base::Code::kInvalidArgument);
  runtime::v1::ExecRequest request = ExecRequest("true", "o");
  request.clear_cmd();
  EXPECT_EQ(code(request), base::Code::kInvalidArgument);
  request = ExecRequest("true", "o");
  request.clear_container_id();
  EXPECT_EQ(code(request), base::Code::kInvalidArgument);
  EXPECT_EQ(server_->Attach({}).error().code(), base::Code::kInvalidArgument);
  EXPECT_EQ(server_->PortForward({}).error().code(), base::Code::kInvalidArgument);
}

TEST_F(ServerTest, SpdyCarriesBothOutputsAndTheExitCode) {
  SpdyClient client(Exec("echo out; echo err >&2; exit 3", "oe"));
  EXPECT_THAT(client.answer, HasSubstr("X-Stream-Protocol-Version: v4.channel.k8s.io\r\n"));
  for (const char* const type : {"error", "stdout", "stderr"}) client.Open(type);
  ASSERT_TRUE(client.UntilEnd("error"));
  EXPECT_EQ(client.Text("stdout"), "out\n");
  EXPECT_EQ(client.Text("stderr"), "err\n");
  const auto status = Json(client.Text("error"));
  EXPECT_EQ(status["status"], "Failure");
  EXPECT_EQ(status["reason"], "NonZeroExitCode");
  EXPECT_EQ(status["details"]["causes"], Json(R"([{"reason":"ExitCode","message":"3"}])"));
  EXPECT_TRUE(client.Until([&] { return client.gone_away; }));
  EXPECT_TRUE(client.IsClosed());
}

TEST_F(ServerTest, SuccessIsToldOnTheErrorStream) {
  SpdyClient client(Exec("true", "o"));
  client.Open("error");
  client.Open("stdout");
  ASSERT_TRUE(client.UntilEnd("error"));
  EXPECT_EQ(Json(client.Text("error")), Json(R"({"metadata":{},"status":"Success"})"));
}

TEST_F(ServerTest, EarlierProtocolsTellTheExitCodeAsText) {
  SpdyClient client(Exec("exit 3", "o"), "v2.channel.k8s.io");
  client.Open("error");
  client.Open("stdout");
  ASSERT_TRUE(client.UntilEnd("error"));
  EXPECT_EQ(client.Text("error"), "command terminated with exit code 3");
}

TEST_F(ServerTest, ACommandThatCannotBeRunIsAnError) {
  runtime::v1::ExecRequest request = ExecRequest("", "o");
  request.clear_cmd();
  request.add_cmd("refused");
  SpdyClient client(Url(server_->Exec(request)));
  client.Open("error");
  client.Open("stdout");
  ASSERT_TRUE(client.UntilEnd("error"));
  const auto status = Json(client.Text("error"));
  EXPECT_EQ(status["reason"], "InternalError");
  EXPECT_EQ(status["message"], "no such command");
  EXPECT_EQ(status["code"], 500);
}

TEST_F(ServerTest, TheEndOfInputReachesTheCommand) {
  SpdyClient client(Exec("cat; echo over", "io"));
  for (const char* const type : {"error", "stdin", "stdout"}) client.Open(type);
  client.Data(client.ids["stdin"], "hello ");
  client.Data(client.ids["stdin"], "world\n");
  ASSERT_TRUE(client.Until([&] { return client.Text("stdout") == "hello world\n"; }));
  client.Data(client.ids["stdin"], "", /*end=*/true);
  ASSERT_TRUE(client.UntilEnd("error"));
  EXPECT_EQ(client.Text("stdout"), "hello world\nover\n");
}

TEST_F(ServerTest, ATerminalHasTheClientsSizeAndOneOutput) {
  SpdyClient client(Exec("read line; stty size; echo \"$line\" >&2", "iot"));
  for (const char* const type : {"error", "stdin", "stdout", "resize"}) client.Open(type);
  client.Data(client.ids["resize"], R"({"Width":120,"Hei)");
  client.Data(client.ids["resize"], "ght\":33}\n");
  client.Data(client.ids["stdin"], "typed\n");
  ASSERT_TRUE(client.UntilEnd("error"));
  EXPECT_EQ(client.Text("stdout"), "typed\r\n33 120\r\ntyped\r\n");
}

TEST_F(ServerTest, OutputThatChildrenHoldOpenDoesNotDelayTheEnd) {
  const auto begin = std::chrono::steady_clock::now();
  SpdyClient client(Exec("(sleep 5; echo late) & echo now", "o"));
  client.Open("error");
  client.Open("stdout");
  ASSERT_TRUE(client.UntilEnd("error"));
  EXPECT_EQ(client.Text("stdout"), "now\n");
  EXPECT_LT(std::chrono::steady_clock::now() - begin, seconds(3));
}

TEST_F(ServerTest, AllOutputComesBeforeTheExitCode) {
  for (int i = 0; i < 20; ++i) {
    SpdyClient client(Exec("head -c 200000 /dev/zero", "o"));
    client.Open("error");
    client.Open("stdout");
    ASSERT_TRUE(client.UntilEnd("error"));
    EXPECT_EQ(client.Text("stdout").size(), 200'000u);
  }
}

TEST_F(ServerTest, InputThatNobodyReadsDoesNotKeepTheEndFromTheClient) {
  SpdyClient client(Exec("exit 4", "io"));
  for (const char* const type : {"error", "stdin", "stdout"}) client.Open(type);
  const std::string chunk(32 * 1024, 'x');
  std::atomic<bool> done{false};
  std::thread writer([&] {
    while (!done && client.Send(spdy::DataFrame(client.ids["stdin"], chunk))) {
    }
  });
  EXPECT_TRUE(client.UntilEnd("error"));
  EXPECT_THAT(client.Text("error"), HasSubstr("\"4\""));
  done = true;
  writer.join();
}

TEST_F(ServerTest, ACommandEndsWithItsClient) {
  {
    SpdyClient client(Exec("echo ready; sleep 1000", "o"));
    client.Open("error");
    client.Open("stdout");
    ASSERT_TRUE(client.Until([&] { return client.Text("stdout") == "ready\n"; }));
    EXPECT_EQ(backend_.alive, 1);
  }
  EXPECT_TRUE(AllProcessesEnd());
}

TEST_F(ServerTest, ACommandEndsWithItsServer) {
  SpdyClient client(Exec("echo ready; sleep 1000", "o"));
  client.Open("error");
  client.Open("stdout");
  ASSERT_TRUE(client.Until([&] { return client.Text("stdout") == "ready\n"; }));
  server_.reset();
  EXPECT_EQ(backend_.alive, 0);
  EXPECT_TRUE(client.IsClosed());
}

// The client sends without end to a command that reads nothing, and its connection breaks. (An orderly end would stand
// behind what the command has not read: nobody can see it there.)
TEST_F(ServerTest, AClientThatIsHeldBackIsNoticedToBeGone) {
  {
    SpdyClient client(Exec("echo ready; sleep 1000", "io"));
    for (const char* const type : {"error", "stdin", "stdout"}) client.Open(type);
    ASSERT_TRUE(client.Until([&] { return client.Text("stdout") == "ready\n"; }));
    ::fcntl(client.fd(), F_SETFL, O_NONBLOCK);
    const std::string chunk = spdy::DataFrame(client.ids["stdin"], std::string(32 * 1024, 'x'));
    // Until nothing has been read of it for a while.
    pollfd writable{client.fd(), POLLOUT, 0};
    while (::poll(&writable, 1, 500) > 0) {
      while (client.Send(chunk)) {
      }
    }
    const linger at_once{.l_onoff = 1, .l_linger = 0};
    ASSERT_EQ(::setsockopt(client.fd(), SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once), 0);
  }
  EXPECT_TRUE(AllProcessesEnd(seconds(25)));
}

TEST_F(ServerTest, ASlowClientHoldsUpItsOwnCommandOnly) {
  SpdyClient slow(Exec("while echo aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa; do :; done", "o"));
  slow.Open("error");
  slow.Open("stdout");
  for (int i = 0; i < 5; ++i) ExpectServes();
}

TEST_F(ServerTest, OutputThatTheClientDoesNotWantIsDropped) {
  SpdyClient client(Exec("head -c 1000000 /dev/zero; echo err >&2; exit 5", "oe"));
  client.Open("stdout");
  client.Send(spdy::ResetFrame(client.ids["stdout"], spdy::ResetReason::kCancel));
  client.Open("stderr");
  client.Open("error");
  ASSERT_TRUE(client.UntilEnd("error"));
  EXPECT_EQ(client.Text("stdout"), "");
  EXPECT_EQ(client.Text("stderr"), "err\n");
  EXPECT_THAT(client.Text("error"), HasSubstr("\"5\""));
}

TEST_F(ServerTest, PingsAreAnswered) {
  SpdyClient client(Exec("sleep 1000", "o"));
  client.Send(spdy::PingFrame(1) + spdy::PingFrame(2) + spdy::PingFrame(3));
  ASSERT_TRUE(client.Until([&] { return client.pongs.contains(3); }));
  EXPECT_FALSE(client.pongs.contains(2));  // a server's own pings have even ids
}

TEST_F(ServerTest, AnAttachedClientHearsOnlyThatItWentWell) {
  SpdyClient client(Attach("echo attached; exit 3"));
  client.Open("error");
  client.Open("stdout");
  ASSERT_TRUE(client.UntilEnd("error"));
  EXPECT_EQ(client.Text("stdout"), "attached\n");
  EXPECT_EQ(Json(client.Text("error"))["status"], "Success");
}

TEST_F(ServerTest, AStreamOfAnUnknownTypeIsReset) {
  SpdyClient client(Exec("true", "o"));
  const uint32_t unknown = client.Open("other");
  const uint32_t error = client.Open("error");
  const uint32_t again = client.Open("error");
  ASSERT_TRUE(client.Until([&] { return client.reset.contains(again); }));
  EXPECT_TRUE(client.reset.contains(unknown));
  EXPECT_TRUE(client.replied.contains(error));
}

// WebSocket.

TEST_F(ServerTest, AWebSocketCarriesAllChannels) {
  WebSocketClient client(Exec("cat; echo err >&2; exit 3", "ioe"), "v5.channel.k8s.io");
  EXPECT_THAT(client.answer, HasSubstr("Sec-WebSocket-Protocol: v5.channel.k8s.io\r\n"));
  client.Message(0, "hello\n");
  client.Message(255, std::string(1, '\0'));
  EXPECT_EQ(client.ReadChannels(), 1000);
  EXPECT_EQ(client.channels[1], "hello\n");
  EXPECT_EQ(client.channels[2], "err\n");
  EXPECT_EQ(Json(client.channels[3])["details"]["causes"][0]["message"], "3");
}

TEST_F(ServerTest, AWebSocketBeginsWithAnEmptyMessage) {
  WebSocketClient client(Exec("sleep 1000", "e"), "v4.channel.k8s.io");
  const auto frame = client.ReadFrame();
  EXPECT_EQ(frame.opcode, WebSocketClient::kBinary);
  EXPECT_EQ(frame.payload, "\2");
}

TEST_F(ServerTest, AWebSocketMayBeInBase64) {
  WebSocketClient client(Exec("read line; echo $line", "io"), "v4.base64.channel.k8s.io");
  client.Send(WebSocketClient::FrameBytes(WebSocketClient::kText, "0aGVsbG8K"));
  EXPECT_EQ(client.ReadFrame().payload, "1");
  const auto frame = client.ReadFrame();
  EXPECT_EQ(frame.opcode, WebSocketClient::kText);
  EXPECT_EQ(frame.payload, "1aGVsbG8K");
}

TEST_F(ServerTest, MessagesMayComeInFragments) {
  WebSocketClient client(Exec("read line; echo $line", "io"), "v4.channel.k8s.io");
  client.Send(WebSocketClient::FrameBytes(WebSocketClient::kBinary, std::string("\0he", 3), /*fin=*/false));
  client.Send(WebSocketClient::FrameBytes(WebSocketClient::kPing, "are you there"));
  client.Send(WebSocketClient::FrameBytes(WebSocketClient::kContinuation, "llo\n"));
  bool ponged = false;
  while (client.channels[1] != "hello\n") {
    const auto frame = client.ReadFrame();
    ASSERT_NE(frame.opcode, -1);
    if (frame.opcode == WebSocketClient::kPong) {
      EXPECT_EQ(frame.payload, "are you there");
      ponged = true;
    } else {
      client.channels[frame.payload[0]] += frame.payload.substr(1);
    }
  }
  EXPECT_TRUE(ponged);
}

// WebSockets of clients that break its rules, and stay.
class WebSocketErrorTest : public ServerTest, public testing::WithParamInterface<bool> {
 protected:
  void SetUp() override {
    if (GetParam()) UseTls(MakeKeyPair("server"));
    Start();
  }
  // A client whose command runs: one that is yet to be started is not there to be ended.
  std::unique_ptr<WebSocketClient> StartCommand(const std::string& script) {
    auto client = std::make_unique<WebSocketClient>(Exec("echo ready; " + script, "io"), "v5.channel.k8s.io");
    while (client->channels[1] != "ready\n") {
      const auto frame = client->ReadFrame();
      EXPECT_EQ(frame.opcode, WebSocketClient::kBinary);
      if (frame.opcode != WebSocketClient::kBinary) break;
      client->channels[1] += frame.payload.substr(1);
    }
    EXPECT_GT(backend_.alive, 0);
    return client;
  }
};

INSTANTIATE_TEST_SUITE_P(Over, WebSocketErrorTest, testing::Bool(),
                         [](const auto& tls) { return tls.param ? "Tls" : "Tcp"; });

TEST_P(WebSocketErrorTest, UnmaskedFramesEndTheConnection) {
  const auto client = StartCommand("sleep 1000");
  client->Send(WebSocketClient::FrameBytes(WebSocketClient::kBinary, "\0x", true, /*masked=*/false));
  EXPECT_EQ(client->ReadChannels(), 1002);  // protocol error
  EXPECT_TRUE(client->IsClosed());
  EXPECT_TRUE(AllProcessesEnd(seconds(5)));
  ExpectServes();
}

TEST_P(WebSocketErrorTest, OversizedMessagesEndTheConnection) {
  const auto client = StartCommand("cat >/dev/null");
  std::string header = WebSocketClient::FrameBytes(WebSocketClient::kBinary, std::string(200, 'x')).substr(0, 2);
  for (int shift = 56; shift >= 0; shift -= 8) header.push_back(static_cast<char>((uint64_t{33} << 20) >> shift));
  client->Send(header + "key!");
  EXPECT_EQ(client->ReadChannels(), 1009);  // too big
  EXPECT_TRUE(client->IsClosed());
  EXPECT_TRUE(AllProcessesEnd(seconds(5)));
  ExpectServes();
}

TEST_P(WebSocketErrorTest, AClientThatGoesOnSendingIsToldAndCutOff) {
  const auto client = StartCommand("sleep 1000");
  client->Send(WebSocketClient::FrameBytes(WebSocketClient::kBinary, "\0x", true, /*masked=*/false));
  const auto begin = std::chrono::steady_clock::now();
  while (client->Send(std::string(1000, 'x')) && std::chrono::steady_clock::now() - begin < seconds(10)) {
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  EXPECT_LT(std::chrono::steady_clock::now() - begin, seconds(5));
  EXPECT_EQ(client->ReadChannels(), 1002);
  EXPECT_TRUE(AllProcessesEnd(seconds(5)));
}

TEST_P(WebSocketErrorTest, AClientThatSaysGoodbyeAndStaysIsCutOff) {
  const auto client = StartCommand("sleep 1000");
  client->Send(WebSocketClient::FrameBytes(WebSocketClient::kClose, "\x03\xe8"));
  EXPECT_EQ(client->ReadChannels(), 1000);
  EXPECT_TRUE(client->IsClosed());
  EXPECT_TRUE(AllProcessesEnd(seconds(5)));
}

TEST_P(WebSocketErrorTest, OversizedMessagesInManyFragmentsEndTheConnection) {
  const auto client = StartCommand("cat >/dev/null");
  client->Send(WebSocketClient::FrameBytes(WebSocketClient::kBinary, std::string(1, '\0'), false));
  const std::string fragment = WebSocketClient::FrameBytes(0, std::string(1 << 20, 'x'), false);
  bool open = true;
  for (int i = 0; i < 40 && open; ++i) open = client->Send(fragment);
  EXPECT_TRUE(client->IsClosed());
  EXPECT_TRUE(AllProcessesEnd(seconds(5)));
}

TEST_P(WebSocketErrorTest, MalformedFramesEndTheConnection) {
  std::vector<std::unique_ptr<WebSocketClient>> clients;
  for (const std::string& bytes :
       {WebSocketClient::FrameBytes(3, "reserved opcode"), WebSocketClient::FrameBytes(0, "continues nothing"),
        WebSocketClient::FrameBytes(WebSocketClient::kPing, std::string(200, 'x')), std::string(14, '\xff'),
        WebSocketClient::FrameBytes(WebSocketClient::kBinary, "\xff")}) {
    clients.push_back(StartCommand("sleep 1000"));
    clients.back()->Send(bytes);
    EXPECT_TRUE(clients.back()->IsClosed());
  }
  EXPECT_TRUE(AllProcessesEnd(seconds(5)));
}

// Bad requests.

TEST_F(ServerTest, AUrlServesOnce) {
  const std::string url = Exec("true", "o");
  SpdyClient first(url);
  Client second(url);
  EXPECT_THAT(second.Request("POST", SpdyHeaders()), StartsWith("HTTP/1.1 404 "));
  EXPECT_TRUE(second.IsClosed());
}

TEST_F(ServerTest, WithoutATokenThereIsNothing) {
  const std::string url = Exec("true", "o");
  const std::string base = url.substr(0, url.find("/exec/"));
  for (const char* const path : {"/", "/exec", "/exec/", "/exec/0123", "/metrics", "/exec/../exec/1"}) {
    EXPECT_THAT(Client(base + path).Request("POST", SpdyHeaders()), StartsWith("HTTP/1.1 404 ")) << path;
  }
}

TEST_F(ServerTest, AnotherMethodIsRefusedAndTheUrlStaysGood) {
  const std::string url = Exec("true", "o");
  const std::string answer = Client(url).Request("DELETE", SpdyHeaders());
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 405 "));
  EXPECT_THAT(answer, HasSubstr("Allow: GET, POST\r\n"));
  SpdyClient client(url);
}

TEST_F(ServerTest, WithoutAnUpgradeTheRequestIsBad) {
  EXPECT_THAT(Client(Exec("true", "o")).Request("GET", ""), StartsWith("HTTP/1.1 400 "));
  EXPECT_THAT(Client(Exec("true", "o")).Request("POST", "Connection: Upgrade\r\nUpgrade: SPDY/3.1\r\n"),
              StartsWith("HTTP/1.1 400 "));
  EXPECT_THAT(Client(Exec("true", "o")).Request("POST", SpdyHeaders() + "Content-Length: 5\r\n"),
              StartsWith("HTTP/1.1 400 "));
}

TEST_F(ServerTest, AnUnknownProtocolIsForbidden) {
  const std::string answer = Client(Exec("true", "o")).Request("POST", SpdyHeaders("v9.channel.k8s.io"));
  EXPECT_THAT(answer, StartsWith("HTTP/1.1 403 "));
  EXPECT_THAT(answer, HasSubstr("X-Accepted-Stream-Protocol-Versions: v4.channel.k8s.io\r\n"));
  EXPECT_THAT(Client(Exec("true", "o")).Request("GET", WebSocketHeaders("chat")), StartsWith("HTTP/1.1 403 "));
}

TEST_F(ServerTest, MalformedHttpIsBad) {
  Client client(Exec("true", "o"));
  client.Send("this is no HTTP\r\n\r\n");
  EXPECT_THAT(client.ReadHeader(), StartsWith("HTTP/1.1 400 "));
}

TEST_F(ServerTest, AnOversizedHeaderIsRefused) {
  Client client(Exec("true", "o"));
  EXPECT_THAT(client.Request("POST", "X: " + std::string(100'000, 'x') + "\r\n"), StartsWith("HTTP/1.1 431 "));
}

TEST_F(ServerTest, MalformedSpdyEndsTheConnection) {
  spdy::HeaderCompressor compressor;
  for (const std::string& bytes : {spdy::ControlFrame(1, "short"), spdy::Number(0x80030001) + spdy::Number(0xffffff),
                                   spdy::SynStreamFrame(1, {{"a", std::string(1 << 20, 'x')}}, compressor),
                                   spdy::ControlFrame(6, spdy::Number(1), 0, /*version=*/2), spdy::DataFrame(0, "x")}) {
    SpdyClient client(Exec("sleep 1000", "o"));
    client.Send(bytes);
    EXPECT_TRUE(client.Until([&] { return client.gone_away; }));
    EXPECT_TRUE(client.IsClosed());
  }
  ExpectServes();
}

TEST_F(ServerTest, MalformedSpdyEndsTheCommand) {
  SpdyClient client(Exec("echo ready; sleep 1000", "o"));
  client.Open("error");
  client.Open("stdout");
  ASSERT_TRUE(client.Until([&] { return client.Text("stdout") == "ready\n"; }));
  client.Send(spdy::ControlFrame(1, "short"));
  EXPECT_TRUE(client.IsClosed());
  EXPECT_TRUE(AllProcessesEnd());
}

TEST_F(ServerTest, AStreamIdThatWasUsedIsReset) {
  SpdyClient client(Exec("true", "oe"));
  spdy::HeaderCompressor compressor;
  for (const uint32_t id : {5, 3, 4}) {
    client.Send(spdy::SynStreamFrame(id, {{"streamtype", id == 5 ? "error" : "stdout"}}, compressor));
  }
  ASSERT_TRUE(client.Until([&] { return client.reset.size() == 2; }));
  EXPECT_TRUE(client.replied.contains(5));
}

TEST_F(ServerTest, EndlessPingsDoNotGrowItsMemory) {
  SpdyClient client(Exec("sleep 1000", "o"));
  ::fcntl(client.fd(), F_SETFL, O_NONBLOCK);
  std::string pings;
  for (int i = 0; i < 1000; ++i) pings += spdy::PingFrame(1);
  size_t sent = 0;
  for (int i = 0; i < 2000; ++i) {
    const ssize_t count = ::send(client.fd(), pings.data(), pings.size(), MSG_NOSIGNAL);
    if (count > 0) sent += static_cast<size_t>(count);
    if (count < 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  EXPECT_LT(sent, size_t{24} << 20);  // what the kernel's buffers hold, both ways
  ExpectServes();
}

// Port-forward.

// Accepts connections on loopback and gives each to `serve` in a thread of its own.
class Listener {
 public:
  explicit Listener(std::function<void(int fd)> serve) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = ::htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    EXPECT_EQ(::bind(fd_.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
    EXPECT_EQ(::listen(fd_.get(), 100), 0);
    EXPECT_EQ(::getsockname(fd_.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
    port = ::ntohs(address.sin_port);
    acceptor_ = std::thread([this, serve = std::move(serve)] {
      while (true) {
        const int connection = ::accept4(fd_.get(), nullptr, nullptr, SOCK_CLOEXEC);
        if (connection < 0) return;
        threads_.emplace_back([serve, connection] {
          serve(connection);
          ::close(connection);
        });
      }
    });
  }
  ~Listener() {
    ::shutdown(fd_.get(), SHUT_RDWR);
    acceptor_.join();
    for (std::thread& thread : threads_) thread.join();
  }
  uint16_t port = 0;

 private:
  base::UniqueFd fd_;
  std::thread acceptor_;
  std::vector<std::thread> threads_;
};

void Echo(int fd) {
  char buffer[4096];
  ssize_t count = 0;
  while ((count = ::read(fd, buffer, sizeof buffer)) > 0) {
    EXPECT_EQ(::write(fd, buffer, static_cast<size_t>(count)), count);
  }
}

Headers Forward(const std::string& type, uint16_t port, const std::string& request) {
  return {{"streamtype", type}, {"port", std::to_string(port)}, {"requestid", request}};
}

TEST_F(ServerTest, ManyConnectionsAreForwardedSideBySide) {
  Listener echo(Echo);
  SpdyClient client(PortForward(), "portforward.k8s.io");
  std::vector<std::pair<uint32_t, uint32_t>> streams;
  for (int i = 0; i < 50; ++i) {
    const uint32_t error = client.Open(Forward("error", echo.port, std::to_string(i)));
    client.Data(error, "", true);
    streams.emplace_back(error, client.Open(Forward("data", echo.port, std::to_string(i))));
  }
  for (size_t i = 0; i < streams.size(); ++i) client.Data(streams[i].second, "hello " + std::to_string(i), true);
  for (size_t i = 0; i < streams.size(); ++i) {
    const auto [error, data] = streams[i];
    ASSERT_TRUE(
        client.Until([&, e = error, d = data] { return client.ended.contains(e) && client.ended.contains(d); }));
    EXPECT_EQ(client.texts[data], "hello " + std::to_string(i));
    EXPECT_EQ(client.texts[error], "");
  }
}

TEST_F(ServerTest, APortThatNobodyListensOnIsAnErrorOfThatConnectionOnly) {
  Listener echo(Echo);
  uint16_t closed = 0;
  { closed = Listener(Echo).port; }
  SpdyClient client(PortForward(), "portforward.k8s.io");
  const uint32_t error = client.Open(Forward("error", closed, "0"));
  const uint32_t data = client.Open(Forward("data", closed, "0"));
  ASSERT_TRUE(client.Until([&] { return client.ended.contains(error) && client.reset.contains(data); }));
  EXPECT_THAT(client.texts[error], HasSubstr("forwarding port " + std::to_string(closed) + ": "));
  EXPECT_THAT(client.texts[error], HasSubstr("Connection refused"));
  client.Open(Forward("error", echo.port, "1"));
  const uint32_t good = client.Open(Forward("data", echo.port, "1"));
  client.Data(good, "hello", true);
  ASSERT_TRUE(client.Until([&] { return client.ended.contains(good); }));
  EXPECT_EQ(client.texts[good], "hello");
}

TEST_F(ServerTest, AForwardedServerMayEndFirst) {
  std::promise<std::string> received;
  Listener server([&](int fd) {
    EXPECT_EQ(::write(fd, "banner", 6), 6);
    ::shutdown(fd, SHUT_WR);
    char buffer[64];
    ssize_t count = 0;
    std::string text;
    while ((count = ::read(fd, buffer, sizeof buffer)) > 0) text.append(buffer, static_cast<size_t>(count));
    received.set_value(text);
  });
  SpdyClient client(PortForward(), "portforward.k8s.io");
  const uint32_t error = client.Open(Forward("error", server.port, "0"));
  const uint32_t data = client.Open(Forward("data", server.port, "0"));
  ASSERT_TRUE(client.Until([&] { return client.ended.contains(data) && client.ended.contains(error); }));
  EXPECT_EQ(client.texts[data], "banner");
  client.Data(data, "still heard", true);
  client.Send(spdy::PingFrame(1));
  ASSERT_TRUE(client.Until([&] { return client.pongs.contains(1); }));
  auto heard = received.get_future();
  ASSERT_EQ(heard.wait_for(seconds(10)), std::future_status::ready);
  EXPECT_EQ(heard.get(), "still heard");
}

TEST_F(ServerTest, AConnectionThatIsNotReadDoesNotHoldUpAnother) {
  std::atomic<bool> done{false};
  Listener deaf([&](int) {
    while (!done) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  });
  Listener echo(Echo);
  SpdyClient client(PortForward(), "portforward.k8s.io");
  client.Open(Forward("error", deaf.port, "0"));
  const uint32_t unread = client.Open(Forward("data", deaf.port, "0"));
  client.Open(Forward("error", echo.port, "1"));
  const uint32_t read = client.Open(Forward("data", echo.port, "1"));
  client.Data(unread, std::string(1 << 20, 'x'));
  client.Data(read, "hello", true);
  EXPECT_TRUE(client.Until([&] { return client.ended.contains(read); }));
  EXPECT_EQ(client.texts[read], "hello");
  done = true;
}

TEST_F(ServerTest, StreamsWithBadHeadersAreReset) {
  SpdyClient client(PortForward(), "portforward.k8s.io");
  std::set<uint32_t> bad;
  for (const Headers& headers :
       {Headers{{"streamtype", "data"}}, Headers{{"streamtype", "data"}, {"port", "0"}},
        Headers{{"streamtype", "data"}, {"port", "65536"}}, Headers{{"streamtype", "data"}, {"port", "http"}},
        Headers{{"streamtype", "stdin"}, {"port", "80"}}, Headers{{"port", "80"}}}) {
    bad.insert(client.Open(headers));
  }
  ASSERT_TRUE(client.Until([&] { return client.reset.size() == bad.size(); }));
  EXPECT_EQ(client.reset, bad);
}

TEST_F(ServerTest, MoreStreamsThanThereMayBeAreRefused) {
  SpdyClient client(PortForward(), "portforward.k8s.io");
  uint32_t last = 0;
  for (int i = 0; i <= 1000; ++i) last = client.Open(Forward("error", 80, std::to_string(i)));
  ASSERT_TRUE(client.Until([&] { return client.reset.contains(last); }));
  EXPECT_EQ(client.reset.size(), 1u);
  EXPECT_EQ(client.replied.size(), 1000u);
}

TEST_F(ServerTest, PortsAreForwardedOverChannels) {
  Listener echo(Echo);
  WebSocketClient client(PortForward(), "v4.channel.k8s.io", "?port=" + std::to_string(echo.port));
  const std::string port = {static_cast<char>(echo.port & 0xff), static_cast<char>(echo.port >> 8)};
  EXPECT_EQ(client.ReadFrame().payload, std::string(1, '\0') + port);
  EXPECT_EQ(client.ReadFrame().payload, "\1" + port);
  client.Message(0, "hello");
  EXPECT_EQ(client.ReadFrame().payload, std::string(1, '\0') + "hello");
}

TEST_F(ServerTest, AWebSocketEndsWithTheLastForwardedConnection) {
  Listener server([](int fd) { EXPECT_EQ(::write(fd, "bye", 3), 3); });
  WebSocketClient client(PortForward(), "v4.channel.k8s.io", "?port=" + std::to_string(server.port));
  EXPECT_EQ(client.ReadChannels(), 1000);
  EXPECT_EQ(client.channels[0].substr(2), "bye");
}

// Timeouts.

class ImpatientServerTest : public ServerTest {
 protected:
  void SetUp() override {
    options_.creation_timeout = seconds(1);
    options_.idle_timeout = seconds(2);
    Start();
  }
};

TEST_F(ImpatientServerTest, AClientThatSendsNothingIsCutOff) {
  Client client(Exec("true", "o"));
  EXPECT_TRUE(client.IsClosed());
}

TEST_F(ImpatientServerTest, AClientThatDoesNotOpenItsStreamsIsTold) {
  SpdyClient client(Exec("true", "oe"));
  client.Open("error");
  client.Open("stdout");
  ASSERT_TRUE(client.UntilEnd("error"));
  EXPECT_THAT(client.Text("error"), HasSubstr("did not open its streams in time"));
  EXPECT_TRUE(client.IsClosed());
}

TEST_F(ImpatientServerTest, HalfAForwardedConnectionIsGivenUp) {
  SpdyClient client(PortForward(), "portforward.k8s.io");
  const uint32_t error = client.Open(Forward("error", 80, "0"));
  ASSERT_TRUE(client.Until([&] { return client.ended.contains(error); }));
  EXPECT_THAT(client.texts[error], HasSubstr("did not open both streams in time"));
}

TEST_F(ImpatientServerTest, AnIdleSessionIsEnded) {
  SpdyClient client(Exec("sleep 1000", "o"));
  client.Open("error");
  client.Open("stdout");
  EXPECT_TRUE(client.IsClosed());
  EXPECT_TRUE(AllProcessesEnd());
}

TEST_F(ImpatientServerTest, ASessionThatIsPingedIsNotIdle) {
  SpdyClient client(Exec("sleep 3; echo over", "o"));
  client.Open("error");
  client.Open("stdout");
  for (int i = 0; i < 6; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(500));
    client.Send(spdy::PingFrame(1));
  }
  EXPECT_TRUE(client.UntilEnd("error"));
  EXPECT_EQ(client.Text("stdout"), "over\n");
}

}  // namespace
}  // namespace cri::streaming
