#include "cri/streaming/upgrade.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace cri::streaming {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using Fields = std::vector<std::pair<std::string, std::string>>;

HttpRequest Http(const Fields& fields, http::verb method = http::verb::post, const std::string& target = "/exec/t") {
  HttpRequest request(method, target, 11);
  for (const auto& [name, value] : fields) request.insert(name, value);
  return request;
}
HttpRequest Spdy(const std::vector<std::string>& protocols) {
  Fields fields = {{"Connection", "Upgrade"}, {"Upgrade", "SPDY/3.1"}};
  for (const std::string& each : protocols) fields.emplace_back("X-Stream-Protocol-Version", each);
  return Http(fields);
}
HttpRequest WebSocket(const std::string& protocols, const std::string& target = "/exec/t") {
  Fields fields = {{"Host", "x"}, {"Connection", "keep-alive, Upgrade"}, {"Upgrade", "websocket"}};
  if (!protocols.empty()) fields.emplace_back("Sec-WebSocket-Protocol", protocols);
  return Http(fields, http::verb::get, target);
}

Upgrade Accepted(const HttpRequest& http, const Request& request = runtime::v1::ExecRequest()) {
  auto negotiated = Negotiate(http, request);
  if (const auto* error = std::get_if<HttpError>(&negotiated)) ADD_FAILURE() << error->message;
  return std::holds_alternative<Upgrade>(negotiated) ? std::get<Upgrade>(negotiated) : Upgrade();
}
HttpError Refused(const HttpRequest& http, const Request& request = runtime::v1::ExecRequest()) {
  auto negotiated = Negotiate(http, request);
  if (const auto* error = std::get_if<HttpError>(&negotiated)) return *error;
  ADD_FAILURE() << "not refused";
  return {};
}

TEST(Upgrade, OfSpdyTakesTheFirstProtocolInCommon) {
  // As kubectl's requests arrive from the kubelet.
  Upgrade upgrade = Accepted(Spdy({"v5.channel.k8s.io", "v4.channel.k8s.io", "v3.channel.k8s.io", "channel.k8s.io"}));
  EXPECT_EQ(upgrade.kind, Upgrade::Kind::kSpdy);
  EXPECT_EQ(upgrade.protocol, "v4.channel.k8s.io");
  EXPECT_TRUE(upgrade.status_json);
  upgrade = Accepted(Spdy({"v3.channel.k8s.io, v4.channel.k8s.io"}));
  EXPECT_EQ(upgrade.protocol, "v3.channel.k8s.io");
  EXPECT_FALSE(upgrade.status_json);
  EXPECT_TRUE(upgrade.has_resize);
  upgrade = Accepted(Spdy({"v2.channel.k8s.io"}));
  EXPECT_FALSE(upgrade.has_resize);
}

TEST(Upgrade, OfSpdyWithoutACommonProtocolSaysWhichThereAre) {
  HttpError error = Refused(Spdy({"v9.channel.k8s.io"}));
  EXPECT_EQ(error.status, http::status::forbidden);
  EXPECT_THAT(error.accepted_protocols,
              ElementsAre("v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io"));
  error = Refused(Spdy({"v4.channel.k8s.io"}), runtime::v1::PortForwardRequest());
  EXPECT_THAT(error.accepted_protocols, ElementsAre("portforward.k8s.io"));
  EXPECT_EQ(Refused(Spdy({})).status, http::status::bad_request);
}

TEST(Upgrade, IsNeeded) {
  EXPECT_EQ(Refused(Http({})).status, http::status::bad_request);
  EXPECT_EQ(Refused(Http({{"Upgrade", "SPDY/3.1"}})).status, http::status::bad_request);
  EXPECT_EQ(Refused(Http({{"Connection", "Upgrade"}, {"Upgrade", "h2c"}})).status, http::status::bad_request);
  // A WebSocket begins with GET.
  EXPECT_EQ(Refused(Http({{"Connection", "Upgrade"}, {"Upgrade", "websocket"}})).status, http::status::bad_request);
}

TEST(Upgrade, OfAWebSocketSetsWhatTheProtocolHas) {
  struct Case {
    const char* protocol;
    bool close, json, base64;
  };
  for (const Case& each :
       {Case{"v5.channel.k8s.io", true, true, false}, Case{"v4.channel.k8s.io", false, true, false},
        Case{"v3.channel.k8s.io", false, false, false}, Case{"v2.channel.k8s.io", false, false, false},
        Case{"channel.k8s.io", false, false, false}, Case{"base64.channel.k8s.io", false, false, true},
        Case{"v4.base64.channel.k8s.io", false, true, true}, Case{"", false, false, false}}) {
    const Upgrade upgrade = Accepted(WebSocket(each.protocol));
    EXPECT_EQ(upgrade.kind, Upgrade::Kind::kChannels);
    EXPECT_EQ(upgrade.protocol, each.protocol);
    EXPECT_EQ(upgrade.has_close_signal, each.close) << each.protocol;
    EXPECT_EQ(upgrade.status_json, each.json) << each.protocol;
    EXPECT_EQ(upgrade.encoding == ChannelEncoding::kBase64, each.base64) << each.protocol;
  }
  EXPECT_EQ(Accepted(WebSocket("v9.channel.k8s.io, v4.channel.k8s.io")).protocol, "v4.channel.k8s.io");
  EXPECT_EQ(Refused(WebSocket("v9.channel.k8s.io")).status, http::status::forbidden);
  EXPECT_EQ(Refused(WebSocket("SPDY/3.1+portforward.k8s.io")).status, http::status::forbidden);
}

TEST(Upgrade, OfAWebSocketForPortForwardMayHaveSpdyInside) {
  const Upgrade upgrade = Accepted(WebSocket("SPDY/3.1+portforward.k8s.io"), runtime::v1::PortForwardRequest());
  EXPECT_EQ(upgrade.kind, Upgrade::Kind::kSpdyInWebSocket);
  EXPECT_EQ(upgrade.protocol, "SPDY/3.1+portforward.k8s.io");
}

TEST(Upgrade, OfAWebSocketForPortForwardTakesThePortsFromTheRequestOrTheQuery) {
  runtime::v1::PortForwardRequest request;
  EXPECT_THAT(Accepted(WebSocket("v4.channel.k8s.io", "/portforward/t?port=80&port=81,82&x=1"), request).ports,
              ElementsAre(80, 81, 82));
  EXPECT_THAT(Refused(WebSocket("v4.channel.k8s.io", "/portforward/t"), request).message, HasSubstr("port is missing"));
  for (const char* const port : {"0", "65536", "x", ""}) {
    const HttpError error = Refused(WebSocket("", "/portforward/t?port=" + std::string(port)), request);
    EXPECT_EQ(error.status, http::status::bad_request);
    EXPECT_THAT(error.message, HasSubstr("is no port"));
  }
  request.add_port(90);
  EXPECT_THAT(Accepted(WebSocket("v4.base64.channel.k8s.io", "/portforward/t?port=80"), request).ports,
              ElementsAre(90));
  EXPECT_EQ(Refused(WebSocket("v5.channel.k8s.io"), request).status, http::status::forbidden);
}

TEST(Target, NamesKindAndToken) {
  const auto target = ParseTarget("/exec/abc?x=1");
  ASSERT_TRUE(target);
  EXPECT_EQ(target->kind, "exec");
  EXPECT_EQ(target->token, "abc");
  for (const char* const wrong : {"", "/", "/exec", "/exec/", "/exec/a/b", "/other/a", "exec/a", "http://x/exec/a"}) {
    EXPECT_FALSE(ParseTarget(wrong)) << wrong;
  }
}

}  // namespace
}  // namespace cri::streaming
