#include "image/signature.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "image/base64.h"
#include "image/digest.h"
#include "image/public_key.h"
#include "test_key.h"

namespace image {
namespace {

using nlohmann::json;
using testing::HasSubstr;

const std::string kDigest = Sha256("manifest");

std::string WhyNot(const std::string& payload) {
  const auto signature = ReadSimpleSigning(payload, "AAAA");
  if (!signature.ok()) return signature.error().message();
  const auto claims = ReadClaims(*signature);
  return claims.ok() ? "accepted" : claims.error().message();
}

std::string WhyNotBundle(const json& bundle) {
  const auto signature = ReadBundle(bundle.dump());
  if (!signature.ok()) return signature.error().message();
  const auto claims = ReadClaims(*signature);
  return claims.ok() ? "accepted" : claims.error().message();
}

TEST(SimpleSigning, ClaimsADigestAndAName) {
  const TestKey key;
  const std::string payload = SimpleSigning(kDigest, "registry.example/app");
  const auto signature = ReadSimpleSigning(payload, EncodeBase64(key.Sign(payload)));
  ASSERT_TRUE(signature.ok()) << signature.error().message();
  EXPECT_TRUE(PublicKey::Parse(key.Public())->Verifies(signature->message, signature->value));
  const auto claims = ReadClaims(*signature);
  ASSERT_TRUE(claims.ok()) << claims.error().message();
  ASSERT_EQ(claims->size(), 1u);
  EXPECT_EQ(claims->front().digest, kDigest);
  EXPECT_EQ(claims->front().reference, "registry.example/app");
}

TEST(SimpleSigning, OtherPayloadsAreRefused) {
  const json good = json::parse(SimpleSigning(kDigest, "registry.example/app"));
  ASSERT_EQ(WhyNot(good.dump()), "accepted");
  const auto changed = [&](const std::function<void(json&)>& change) {
    json payload = good;
    change(payload);
    return WhyNot(payload.dump());
  };
  EXPECT_THAT(WhyNot("[]"), HasSubstr("no JSON object"));
  EXPECT_THAT(WhyNot("{"), HasSubstr("not valid JSON"));
  EXPECT_THAT(WhyNot(R"({"critical":{},"critical":{}})"), HasSubstr("\"critical\" twice"));
  EXPECT_THAT(changed([](json& p) { p["critical"]["type"] = "atomic container signature"; }), HasSubstr("is of type"));
  EXPECT_THAT(changed([](json& p) { p["more"] = 1; }), HasSubstr("members of simple signing"));
  EXPECT_THAT(changed([](json& p) { p.erase("optional"); }), HasSubstr("members of simple signing"));
  EXPECT_THAT(changed([](json& p) { p["critical"]["more"] = 1; }), HasSubstr("members of simple signing"));
  EXPECT_THAT(changed([](json& p) { p["critical"]["identity"] = json::object(); }), HasSubstr("members of simple"));
  EXPECT_THAT(changed([](json& p) { p["critical"]["identity"]["docker-reference"] = ""; }), HasSubstr("no repository"));
  EXPECT_THAT(changed([](json& p) { p["critical"]["identity"]["docker-reference"] = 1; }), HasSubstr("no repository"));
  EXPECT_THAT(changed([](json& p) { p["critical"]["image"]["docker-manifest-digest"] = "sha256:1"; }),
              HasSubstr("no valid digest"));
}

TEST(SimpleSigning, WithoutItsSignatureIsRefused) {
  const std::string payload = SimpleSigning(kDigest, "registry.example/app");
  EXPECT_THAT(ReadSimpleSigning(payload, "").error().message(), HasSubstr("annotation"));
  EXPECT_THAT(ReadSimpleSigning(payload, "***").error().message(), HasSubstr("base64"));
}

TEST(Bundle, OfAStatementClaimsItsSubjects) {
  const TestKey key;
  json statement = SignStatement(kDigest);
  statement["subject"].push_back({{"name", "registry.example/app"}, {"digest", {{"sha256", kDigest.substr(7)}}}});
  const auto signature = ReadBundle(StatementBundle(statement.dump(), key).dump());
  ASSERT_TRUE(signature.ok()) << signature.error().message();
  EXPECT_TRUE(PublicKey::Parse(key.Public())->Verifies(signature->message, signature->value));
  const auto claims = ReadClaims(*signature);
  ASSERT_TRUE(claims.ok()) << claims.error().message();
  ASSERT_EQ(claims->size(), 2u);
  EXPECT_EQ(claims->front().digest, kDigest);
  EXPECT_EQ(claims->front().reference, "");
  EXPECT_EQ(claims->back().reference, "registry.example/app");
}

TEST(Bundle, OfAFileIsTheFilesDigest) {
  const TestKey key;
  const auto signature = ReadBundle(MessageBundle("manifest", key).dump());
  ASSERT_TRUE(signature.ok()) << signature.error().message();
  EXPECT_EQ(signature->form, Signature::Form::kManifest);
  EXPECT_TRUE(PublicKey::Parse(key.Public())->Verifies("manifest", signature->value));
  EXPECT_EQ(ReadClaims(*signature)->front().digest, kDigest);
}

TEST(Bundle, WhatSignsNoImageIsRefused) {
  const TestKey key;
  const json statement = SignStatement(kDigest);
  const auto changed = [&](const std::function<void(json&)>& change) {
    json other = statement;
    change(other);
    return WhyNotBundle(StatementBundle(other.dump(), key));
  };
  ASSERT_EQ(changed([](json&) {}), "accepted");
  EXPECT_THAT(changed([](json& s) { s["predicateType"] = "https://slsa.dev/provenance/v1"; }),
              HasSubstr("no signature but of type \"https://slsa.dev/provenance/v1\""));
  EXPECT_THAT(changed([](json& s) { s["_type"] = "x"; }), HasSubstr("is of type \"x\""));
  EXPECT_THAT(changed([](json& s) { s["subject"] = json::array(); }), HasSubstr("no subject"));
  EXPECT_THAT(changed([](json& s) { s["subject"][0].erase("digest"); }), HasSubstr("no digest"));
  EXPECT_THAT(changed([](json& s) { s["subject"][0]["digest"] = {{"sha1", "00"}}; }), HasSubstr("no sha256"));
  EXPECT_THAT(changed([](json& s) { s["subject"][0]["digest"] = {{"sha256", "00"}}; }), HasSubstr("no valid digest"));
  EXPECT_THAT(changed([](json& s) { s["subject"] = json::array_t(65, s["subject"][0]); }), HasSubstr("too many"));
}

TEST(Bundle, OfAnotherFormIsRefused) {
  const TestKey key;
  const json good = StatementBundle(SignStatement(kDigest).dump(), key);
  const auto changed = [&](const std::function<void(json&)>& change) {
    json other = good;
    change(other);
    return WhyNotBundle(other);
  };
  ASSERT_EQ(changed([](json&) {}), "accepted");
  EXPECT_THAT(changed([](json& b) { b["mediaType"] = "application/json"; }), HasSubstr("bundle is of type"));
  EXPECT_THAT(changed([](json& b) { b.erase("verificationMaterial"); }), HasSubstr("what verifies it"));
  EXPECT_THAT(changed([](json& b) {
                b["verificationMaterial"] = {{"certificate", json::object()}};
              }),
              HasSubstr("certificate, which is not supported"));
  EXPECT_THAT(changed([](json& b) { b["messageSignature"] = json::object(); }), HasSubstr("or both"));
  EXPECT_THAT(changed([](json& b) { b.erase("dsseEnvelope"); }), HasSubstr("neither"));
  EXPECT_THAT(changed([](json& b) { b["dsseEnvelope"]["payloadType"] = "text/plain"; }), HasSubstr("no in-toto"));
  EXPECT_THAT(changed([](json& b) { b["dsseEnvelope"]["payload"] = "*"; }), HasSubstr("base64"));
  EXPECT_THAT(changed([](json& b) { b["dsseEnvelope"]["signatures"] = json::array(); }), HasSubstr("one signature"));
  json message = MessageBundle("manifest", key);
  message["messageSignature"]["messageDigest"]["algorithm"] = "SHA2_512";
  EXPECT_THAT(WhyNotBundle(message), HasSubstr("malformed"));
  message["messageSignature"].erase("messageDigest");
  EXPECT_THAT(WhyNotBundle(message), HasSubstr("no digest"));
}

}  // namespace
}  // namespace image
