// Certificates that are replaced while the server runs.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "certificate.h"
#include "client.h"
#include "server_fixture.h"

namespace cri::streaming {
namespace {

using testing::HasSubstr;

class TlsTest : public ServerTest {
 protected:
  void SetUp() override {
    UseTls(first_);
    Start();
  }

  // What a new connection is shown, and that it is served.
  std::string ShownName() {
    WebSocketClient client(Exec("echo fine", "o"), "v4.channel.k8s.io");
    EXPECT_EQ(client.ReadChannels(), 1000);
    EXPECT_EQ(client.channels[1], "fine\n");
    return client.ServerName();
  }
  // As copying over it does: the file stays the same one, and is short for a while.
  static void Overwrite(const std::string& path, const std::string& text) {
    std::ofstream file(path, std::ios::trunc);
    file << text;
    ASSERT_TRUE(file.flush().good());
  }
  // What was logged meanwhile.
  template <typename Function>
  static std::string Logged(const Function& function) {
    testing::internal::CaptureStderr();
    function();
    return testing::internal::GetCapturedStderr();
  }

  const KeyPair first_ = MakeKeyPair("first");
  const KeyPair second_ = MakeKeyPair("second");
};

TEST_F(TlsTest, ANewCertificateIsForNewConnections) {
  SpdyClient earlier(Exec("cat", "io"));
  for (const char* const type : {"error", "stdin", "stdout"}) earlier.Open(type);
  EXPECT_EQ(earlier.ServerName(), "first");
  Write(options_.tls.certificate, second_.certificate);
  Write(options_.tls.key, second_.key);
  EXPECT_EQ(ShownName(), "second");

  earlier.Data(earlier.ids["stdin"], "still served\n", /*end=*/true);
  EXPECT_TRUE(earlier.UntilEnd("error"));
  EXPECT_EQ(earlier.Text("stdout"), "still served\n");
}

TEST_F(TlsTest, ACertificateIsFollowedToWhereALinkLeads) {
  const std::string pair = options_.tls.certificate + ".pair";
  const auto turn_to = [&](const std::string& directory) {
    std::filesystem::create_symlink(directory, pair + ".new");
    std::filesystem::rename(pair + ".new", pair);
  };
  for (const KeyPair* const each : {&first_, &second_}) {
    const std::string directory = pair + (each == &first_ ? ".1" : ".2");
    std::filesystem::create_directory(directory);
    Write(directory + "/crt", each->certificate);
    Write(directory + "/key", each->key);
  }
  turn_to(pair + ".1");
  options_.tls.certificate = pair + "/crt";
  options_.tls.key = pair + "/key";
  Start();
  EXPECT_EQ(ShownName(), "first");
  turn_to(pair + ".2");
  EXPECT_EQ(ShownName(), "second");
}

TEST_F(TlsTest, AHalfReplacedPairIsNotUsed) {
  Write(options_.tls.certificate, second_.certificate);
  EXPECT_THAT(Logged([&] { EXPECT_EQ(ShownName(), "first"); }),
              HasSubstr("the earlier TLS certificate stays in use: "));
  // Not for every connection.
  EXPECT_EQ(Logged([&] { EXPECT_EQ(ShownName(), "first"); }), "");
  Write(options_.tls.key, second_.key);
  EXPECT_EQ(ShownName(), "second");
}

TEST_F(TlsTest, AHalfWrittenCertificateIsNotUsed) {
  Write(options_.tls.key, second_.key);
  for (const size_t size : {size_t{0}, second_.certificate.size() / 2, second_.certificate.size() - 2}) {
    Overwrite(options_.tls.certificate, second_.certificate.substr(0, size));
    EXPECT_THAT(Logged([&] { EXPECT_EQ(ShownName(), "first"); }), HasSubstr(options_.tls.certificate)) << size;
  }
  Overwrite(options_.tls.certificate, second_.certificate);
  EXPECT_EQ(ShownName(), "second");
}

TEST_F(TlsTest, FilesThatAreGoneLeaveTheEarlierPairInUse) {
  std::filesystem::remove(options_.tls.key);
  EXPECT_THAT(Logged([&] { EXPECT_EQ(ShownName(), "first"); }), HasSubstr(options_.tls.key));
  Write(options_.tls.key, first_.key);
  EXPECT_EQ(Logged([&] { EXPECT_EQ(ShownName(), "first"); }), "");
}

TEST_F(TlsTest, AClientThatSpeaksNoTlsIsCutOff) {
  const std::string url = Exec("true", "o");
  Client client("http" + url.substr(5));
  client.Send("GET / HTTP/1.1\r\n\r\n");
  EXPECT_TRUE(client.IsClosed());
  EXPECT_EQ(ShownName(), "first");
}

TEST_F(TlsTest, APairThatDoesNotFitKeepsTheServerFromStarting) {
  Write(options_.tls.key, second_.key);
  const auto started = Server::Start(options_, backend_);
  ASSERT_FALSE(started.ok());
  EXPECT_EQ(started.error().code(), base::Code::kInvalidArgument);
  EXPECT_THAT(started.error().message(), HasSubstr(options_.tls.key));
}

}  // namespace
}  // namespace cri::streaming
